#include "server/store/eviction_queue.h"

#include <algorithm>

#include "common/base/check.h"

namespace tarn::store {
namespace {

constexpr uint8_t kHitsMax = 3;
constexpr uint64_t kSmallShare = 10;  // the small queue is due when it has a tenth of the bytes

uint64_t fingerprint(const Extent& extent) {
  return ring::ExtentKeyHash()(extent.key);
}

}  // namespace

void EvictionQueue::add(Extent& extent) {
  TARN_CHECK(extent.queue == QueueKind::none);
  const bool came_back = x_ghost_set.contains(fingerprint(extent));
  extent.queue = came_back ? QueueKind::main : QueueKind::small;
  list_of(extent).push_front(&extent);
  extent.place = list_of(extent).begin();
  extent.hits = 0;
  bytes_of(extent) += extent.bytes;
}

void EvictionQueue::remove(Extent& extent, bool evicted) {
  TARN_CHECK(extent.queue != QueueKind::none);
  if (evicted && extent.queue == QueueKind::small) remember(extent);
  bytes_of(extent) -= extent.bytes;
  list_of(extent).erase(extent.place);
  extent.queue = QueueKind::none;
  extent.is_passed_over = false;
}

void EvictionQueue::remember(const Extent& extent) {
  if (!x_ghost_set.insert(fingerprint(extent)).second) return;
  x_ghosts.push_back(fingerprint(extent));
  while (x_ghosts.size() > std::max(kGhostsMin, size())) {
    x_ghost_set.erase(x_ghosts.front());
    x_ghosts.pop_front();
  }
}

void EvictionQueue::grow(Extent& extent, uint64_t bytes) {
  TARN_DCHECK(extent.queue != QueueKind::none);
  extent.bytes += bytes;
  bytes_of(extent) += bytes;
}

void EvictionQueue::shrink(Extent& extent, uint64_t bytes) {
  TARN_CHECK(extent.queue != QueueKind::none && extent.bytes >= bytes);
  extent.bytes -= bytes;
  bytes_of(extent) -= bytes;
}

void EvictionQueue::hit(Extent& extent) {
  if (extent.hits < kHitsMax) ++extent.hits;
}

// Ends: each turn of the loop takes a hit from an extent or moves it to the main queue for good.
Extent* EvictionQueue::victim() {
  while (!x_small.empty() || !x_main.empty()) {
    const bool small_is_due =
        !x_small.empty() && (x_main.empty() || x_small_bytes * kSmallShare >= bytes());
    Extent& oldest = small_is_due ? *x_small.back() : *x_main.back();
    if (oldest.hits == 0) return &oldest;
    if (small_is_due) {
      promote(oldest);
    } else {
      --oldest.hits;
      x_main.splice(x_main.begin(), x_main, oldest.place);
    }
  }
  return nullptr;
}

void EvictionQueue::promote(Extent& extent) {
  x_main.splice(x_main.begin(), x_small, extent.place);
  x_small_bytes -= extent.bytes;
  x_main_bytes += extent.bytes;
  extent.queue = QueueKind::main;
  extent.hits = 0;
}

// Aside, not behind: the small queue must not hide the main one, nor the other way round, when all
// that it holds is passed over.
void EvictionQueue::pass_over(Extent& extent) {
  TARN_DCHECK(!extent.is_passed_over);
  x_passed.splice(x_passed.begin(), list_of(extent), extent.place);
  extent.is_passed_over = true;
}

void EvictionQueue::end_round() {
  while (!x_passed.empty()) {
    Extent& oldest = *x_passed.back();
    oldest.is_passed_over = false;
    auto& list = list_of(oldest);
    list.splice(list.begin(), x_passed, oldest.place);
  }
}

void EvictionQueue::bring_back(Extent& extent) {
  TARN_DCHECK(!extent.is_passed_over);
  auto& list = list_of(extent);
  list.splice(list.end(), list, extent.place);
}

}  // namespace tarn::store
