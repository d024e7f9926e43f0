#include "sdk/cpp/src/chain_cache.h"

#include <unordered_set>
#include <utility>

#include "common/base/check.h"

namespace tarn::sdk {

std::optional<ring::KnownPlace> ChainCache::find(const block::BlockHash& hash) const {
  if (x_is_flat) return ring::KnownPlace{{hash, 0}, true};
  const MutexLock lock(x_mutex);
  const ring::KnownPlace* const place = find_locked(hash);
  if (place == nullptr) return std::nullopt;
  return *place;
}

std::vector<std::optional<ring::KnownPlace>> ChainCache::find(
    std::span<const block::BlockHash> hashes) const {
  std::vector<std::optional<ring::KnownPlace>> places(hashes.size());
  if (x_is_flat) {
    for (size_t i = 0; i < hashes.size(); ++i)
      places[i] = ring::KnownPlace{{hashes[i], 0}, true};
    return places;
  }
  const MutexLock lock(x_mutex);
  find_rows(x_young, hashes, [&](size_t i, auto it) TARN_REQUIRES(x_mutex) {
    if (it != x_young.end()) places[i] = it->second;
  });
  for (size_t i = 0; i < hashes.size() && !x_old.empty(); ++i) {
    if (places[i]) continue;
    if (const ring::KnownPlace* const place = find_locked(hashes[i])) places[i] = *place;
  }
  return places;
}

// A block that is looked up while it is among the older half moves to the younger.
ring::KnownPlace* ChainCache::find_locked(const block::BlockHash& hash) const {
  if (const auto young = x_young.find(hash); young != x_young.end()) return &young->second;
  const auto old = x_old.find(hash);
  if (old == x_old.end()) return nullptr;
  const auto moved = x_young.emplace(hash, old->second).first;
  x_old.erase(old);
  return &moved->second;
}

void ChainCache::put_locked(const block::BlockHash& hash, const ring::KnownPlace& place) {
  if (x_young.size() >= kChainCacheBlocksMax / 2) {
    x_old = std::move(x_young);
    x_young.clear();
  }
  x_young.insert_or_assign(hash, place);
}

void ChainCache::learn(const block::BlockHash& hash, const ring::KnownPlace& place) {
  if (x_is_flat) return;
  const MutexLock lock(x_mutex);
  learn_locked(hash, place);
}

// Of a block whose place is known already, this client knows better what stands behind it.
void ChainCache::learn_locked(const block::BlockHash& hash, const ring::KnownPlace& place) {
  const ring::KnownPlace* const known = find_locked(hash);
  if (known == nullptr || known->place != place.place) put_locked(hash, place);
}

void ChainCache::forget(const block::BlockHash& hash) {
  const MutexLock lock(x_mutex);
  x_young.erase(hash);
  x_old.erase(hash);
}

// Both ends known there: so is what lies between, but for what was forgotten.
bool ChainCache::is_known_locked(const Run& run) const {
  const auto is_there = [&](const block::BlockHash& hash) TARN_REQUIRES(x_mutex) {
    const ring::KnownPlace* const known = find_locked(hash);
    return known != nullptr && known->place.anchor == run.anchor;
  };
  return is_there(run.hashes.front()) && is_there(run.hashes.back());
}

void ChainCache::learn(const Run& run) {
  if (x_is_flat || run.hashes.empty()) return;
  const MutexLock lock(x_mutex);
  if (is_known_locked(run)) return;
  for (size_t i = 0; i < run.hashes.size(); ++i) {
    const bool is_last = run.ends_chain && i + 1 == run.hashes.size();
    const ring::BlockPlace place{run.anchor, run.first_index + static_cast<uint32_t>(i)};
    learn_locked(run.hashes[i], {place, is_last});
  }
}

std::vector<block::BlockHash> ChainCache::unknown_for(std::span<const ChainLink> batch) const {
  std::vector<block::BlockHash> unknown;
  if (x_is_flat) return unknown;
  std::unordered_set<block::BlockHash> seen;
  const MutexLock lock(x_mutex);
  for (const ChainLink& link : batch) {
    const bool is_placed = link.parent.is_empty() || seen.contains(link.parent) ||
                           find_locked(link.hash) != nullptr || find_locked(link.parent) != nullptr;
    if (!is_placed) {
      unknown.push_back(link.parent);
      if (!seen.contains(link.hash)) unknown.push_back(link.hash);
      seen.insert(link.parent);
    }
    seen.insert(link.hash);
  }
  return unknown;
}

std::vector<ring::BlockPlace> ChainCache::plan(std::span<const ChainLink> batch) {
  std::vector<ring::BlockPlace> places;
  places.reserve(batch.size());
  const MutexLock lock(x_mutex);
  for (const ChainLink& link : batch)
    places.push_back(x_is_flat ? ring::BlockPlace{link.hash, 0} : plan_one(link));
  return places;
}

ring::BlockPlace ChainCache::plan_one(const ChainLink& link) {
  if (const ring::KnownPlace* const known = find_locked(link.hash)) return known->place;
  const ring::ChainBlock block{link.hash, std::nullopt};
  ring::ExtentPlan plan;
  plan.extent_blocks = x_extent_blocks;
  plan.blocks = {&block, 1};
  ring::KnownPlace* const parent = link.parent.is_empty() ? nullptr : find_locked(link.parent);
  if (parent != nullptr) plan.parent = *parent;
  const auto places = ring::plan_extents(plan);
  TARN_CHECK(places.has_value() && places->size() == 1);
  const ring::BlockPlace place = places->front();
  if (parent != nullptr && place.anchor == parent->place.anchor) parent->is_last = false;
  put_locked(link.hash, {place, true});
  return place;
}

void ChainCache::correct(const block::BlockHash& hash, const ring::BlockPlace& place,
                         bool is_last) {
  if (x_is_flat) return;
  const MutexLock lock(x_mutex);
  ring::KnownPlace* const known = find_locked(hash);
  if (known != nullptr && known->place == place) return;
  put_locked(hash, {place, is_last});
}

size_t ChainCache::size() const {
  const MutexLock lock(x_mutex);
  return x_young.size() + x_old.size();
}

}  // namespace tarn::sdk
