#include "server/flash/drive/reclaimer.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "common/base/log.h"
#include "common/block/checksum.h"
#include "server/flash/log/region_list.h"

namespace tarn::flash {
namespace {

// Smaller drives have no room for a second region ahead.
constexpr uint32_t kSmallDriveRegions = 8;

uint32_t free_wanted(uint32_t regions) {
  const uint32_t least = regions < kSmallDriveRegions ? 1 : 2;
  return std::clamp(regions / Reclaimer::kFreeShare, least, Reclaimer::kFreeMax);
}

}  // namespace

Reclaimer::Reclaimer(RegionLog& log, ReclaimerOptions options)
    : x_log(log), x_options(std::move(options)), x_free_wanted(free_wanted(log.region_count())) {}

void Reclaimer::on_put(uint64_t bytes) {
  // What is not used in a region's time is not hoarded.
  x_budget = std::min(x_budget + bytes / kMoveShare, kRegionBytes);
}

bool Reclaimer::tick() {
  if (!x_victim) return begin();
  if (!x_is_listed || x_is_trimming) return false;
  if (!x_log.writable().is_ok()) return leave();
  if (x_to_move.empty()) {
    if (x_moves == 0) finish();
    return x_is_trimming;
  }
  if (x_moves == kMovesMax) return false;
  const Rescue rescue = x_to_move.back();
  x_to_move.pop_back();
  move(rescue);
  return true;
}

bool Reclaimer::begin() {
  if (x_log.counts().free >= x_free_wanted || !x_log.writable().is_ok()) return false;
  x_victim = choose();
  if (!x_victim) return false;
  x_is_listed = x_is_trimming = false;
  list_region(x_log, *x_victim, [this](Result<std::vector<Entry>> entries) {
    x_is_listed = true;
    // A drive that hangs, or has too much to do, has not lost the region.
    const Code listed = entries.status().code();
    if (listed == Code::deadline_exceeded || listed == Code::overloaded) return x_victim.reset();
    if (!x_log.writable().is_ok()) return;
    if (entries) return sort_out(*entries);
    log::warn("region {} goes unread: {}", *x_victim, entries.error().to_string());
  });
  return true;
}

// Nothing can be written there any more: what lies there stays.
bool Reclaimer::leave() {
  x_to_move.clear();
  if (x_moves > 0) return false;
  x_victim.reset();
  tell_dropped();
  return true;
}

// An empty region, else the one that was asked for least, block by block, of the older half: the
// newer ones have not had their time. What is older than it and stays has to earn that anew.
std::optional<uint32_t> Reclaimer::choose() const {
  std::vector<uint32_t> closed;
  for (uint32_t region = 0; region < x_log.region_count(); ++region) {
    if (!x_log.may_reclaim(region)) continue;
    if (x_options.index->use_of(x_options.drive, region).live_blocks == 0) return region;
    closed.push_back(region);
  }
  if (closed.empty()) return std::nullopt;
  std::ranges::sort(closed, {}, [this](uint32_t each) { return x_log.stamp_of(each).epoch; });
  closed.resize((closed.size() + 1) / 2);
  const auto hits_per_block = [this](uint32_t region) {
    const RegionUse use = x_options.index->use_of(x_options.drive, region);
    return static_cast<double>(use.hits) /
           static_cast<double>(std::max<uint64_t>(1, use.live_blocks));
  };
  const auto least = std::ranges::min_element(closed, {}, hits_per_block);
  for (auto older = closed.begin(); older != least; ++older)
    x_options.index->halve_hits(x_options.drive, *older);
  return *least;
}

FlashPlace Reclaimer::place_of(const Entry& entry) const {
  return {x_options.drive, *x_victim, entry.offset, entry.offset - kPageBytes,
          entry.header.payload_bytes};
}

void Reclaimer::sort_out(std::span<const Entry> entries) {
  for (const Entry& entry : entries) {
    const auto hits = x_options.index->hits_at(entry.header.key, place_of(entry));
    if (!hits) continue;  // removed, or lies elsewhere
    const uint64_t bytes = stored_bytes(entry) + kPageBytes;
    const bool is_leaving = bytes > x_budget;
    const bool is_taken =
        is_leaving && x_options.below.takes_blocks && x_options.below.takes_blocks();
    if (*hits == 0 || (is_leaving && !is_taken)) {
      drop(entry);
      continue;
    }
    if (!is_leaving) x_budget -= bytes;
    x_to_move.push_back({entry, is_leaving});
  }
}

void Reclaimer::drop(const Entry& entry) {
  if (!x_options.index->erase(entry.header.key, place_of(entry))) return;
  ++x_dropped;
  x_gone.push_back(entry.header);
}

void Reclaimer::move(const Rescue& rescue) {
  ++x_moves;
  const Entry& entry = rescue.entry;
  const auto payload = std::make_shared<io::PageBuffer>(entry.header.payload_bytes);
  const LogPlace place = {*x_victim, x_log.stamp_of(*x_victim).epoch, entry.offset, 0};
  const auto on_read = [this, rescue, payload](Status read) {
    if (!read.is_ok()) return give_up(rescue.entry);
    if (rescue.is_leaving) return give_below(rescue.entry, payload);
    write_again(rescue.entry, payload);
  };
  const Status taken = x_log.read(
      place, payload->bytes(), [payload] {}, on_read);
  if (!taken.is_ok()) give_up(entry);
}

// Who takes it looks at the checksum again when it is read.
void Reclaimer::give_below(const Entry& entry, const std::shared_ptr<io::PageBuffer>& payload) {
  const auto bytes = payload->bytes().first(entry.header.payload_bytes);
  if (block::crc32c(0, bytes.data(), bytes.size()) == entry.header.payload_crc)
    x_options.below.give(entry, bytes);
  give_up(entry);
}

void Reclaimer::write_again(const Entry& entry, const std::shared_ptr<io::PageBuffer>& payload) {
  const auto bytes = payload->bytes().first(entry.header.payload_bytes);
  if (block::crc32c(0, bytes.data(), bytes.size()) != entry.header.payload_crc)
    return give_up(entry);
  LogBlock block = {entry, Lifetime::lasting, bytes, payload};
  const Status taken = x_log.append(std::move(block), [this, entry](Result<LogPlace> kept) {
    if (!kept) return give_up(entry);
    const FlashPlace to = {x_options.drive, kept->region, kept->offset, kept->group,
                           entry.header.payload_bytes};
    if (x_options.index->move(entry.header.key, place_of(entry), to)) {
      ++x_moved;
    } else {
      x_options.on_unwanted(to);
    }
    --x_moves;
  });
  if (!taken.is_ok()) give_up(entry);
}

void Reclaimer::give_up(const Entry& entry) {
  if (x_log.writable().is_ok()) drop(entry);
  --x_moves;
}

void Reclaimer::tell_dropped() {
  if (!x_gone.empty()) x_options.on_dropped(std::exchange(x_gone, {}));
}

void Reclaimer::finish() {
  const Status taken = x_log.reclaim(*x_victim, [this](Status trimmed) {
    if (!trimmed.is_ok()) log::warn("region {} is not trimmed: {}", *x_victim, trimmed.to_string());
    x_victim.reset();
  });
  x_is_trimming = taken.is_ok();
  if (!x_is_trimming) return;
  // What could not be listed cannot be told of, but nobody is to look for it there.
  if (x_options.index->use_of(x_options.drive, *x_victim).live_blocks > 0)
    x_dropped += x_options.index->erase_region(x_options.drive, *x_victim);
  tell_dropped();
}

}  // namespace tarn::flash
