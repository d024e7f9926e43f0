#include "server/flash/index/flash_index.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "common/base/check.h"
#include "common/base/little_endian.h"
#include "common/base/units.h"

namespace tarn::flash {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint32_t kHitsBits = 5;
constexpr uint32_t kHitsMask = (1u << kHitsBits) - 1;
static_assert(kBlockBytesMax < uint64_t{1} << (32 - kHitsBits));

uint64_t draw_seed() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

}  // namespace

FlashIndex::FlashIndex() : x_seed(draw_seed()) {}

void FlashIndex::add_drive(uint8_t drive, uint32_t regions) {
  TARN_CHECK(x_drives[drive].regions == nullptr && regions <= kRegionsMax);
  x_drives[drive].regions = std::make_unique<Use[]>(regions);
}

FlashIndex::Print FlashIndex::print_of(const block::BlockKey& key) const {
  std::array<std::byte, 16 + 16 + 4 + 1 + kHashBytesMax> bytes{};
  std::memcpy(bytes.data(), key.tenant.bytes.data(), 16);
  std::memcpy(bytes.data() + 16, key.space.bytes.data(), 16);
  store_le(bytes.data() + 32, key.shard.value);
  store_le(bytes.data() + 36, key.hash.size);
  std::memcpy(bytes.data() + 37, key.hash.bytes.data(), key.hash.size);
  const uint64_t print = XXH3_64bits_withSeed(bytes.data(), 37u + key.hash.size, x_seed);
  return {static_cast<uint32_t>(print >> 32), static_cast<uint32_t>(print)};
}

FlashIndex::Use& FlashIndex::use_at(const Row& row) const {
  return x_drives[row.drive_region >> 24].regions[row.drive_region & (kRegionsMax - 1)];
}

FlashPlace FlashIndex::place_of(const Row& row) {
  FlashPlace place;
  place.drive = static_cast<uint8_t>(row.drive_region >> 24);
  place.region = row.drive_region & (kRegionsMax - 1);
  place.offset = row.page * kPage;
  place.group = (uint64_t{row.page} - row.back) * kPage;
  place.bytes = row.bytes_hits >> kHitsBits;
  return place;
}

bool FlashIndex::leads_to(const Row& row, const FlashPlace& place) {
  return row.drive_region == (uint32_t{place.drive} << 24 | place.region) &&
         row.page == place.offset / kPage;
}

void FlashIndex::count(const Row& row) {
  const uint64_t bytes = row.bytes_hits >> kHitsBits;
  Use& use = use_at(row);
  use.live_bytes.fetch_add(bytes, std::memory_order_relaxed);
  use.live_blocks.fetch_add(1, std::memory_order_relaxed);
  x_blocks.fetch_add(1, std::memory_order_relaxed);
  x_payload_bytes.fetch_add(bytes, std::memory_order_relaxed);
}

void FlashIndex::discount(const Row& row) {
  const uint64_t bytes = row.bytes_hits >> kHitsBits;
  Use& use = use_at(row);
  use.live_bytes.fetch_sub(bytes, std::memory_order_relaxed);
  use.live_blocks.fetch_sub(1, std::memory_order_relaxed);
  x_blocks.fetch_sub(1, std::memory_order_relaxed);
  x_payload_bytes.fetch_sub(bytes, std::memory_order_relaxed);
}

std::optional<FlashPlace> FlashIndex::find(const block::BlockKey& key) const {
  const Print print = print_of(key);
  const Part& part = part_of(print);
  const MutexLock lock(part.mutex);
  const auto found = part.rows.find(print);
  if (found == part.rows.end()) return std::nullopt;
  return place_of(found->second);
}

std::optional<FlashPlace> FlashIndex::hit(const block::BlockKey& key) {
  const Print print = print_of(key);
  Part& part = part_of(print);
  const MutexLock lock(part.mutex);
  const auto found = part.rows.find(print);
  if (found == part.rows.end()) return std::nullopt;
  Row& row = found->second;
  if ((row.bytes_hits & kHitsMask) < kHitsMax) ++row.bytes_hits;
  use_at(row).hits.fetch_add(1, std::memory_order_relaxed);
  return place_of(row);
}

// Nothing where a floor has removed the block.
std::optional<uint32_t> FlashIndex::space_number(const block::BlockKey& key, Epoch put_in) {
  const MutexLock lock(x_spaces_mutex);
  for (const SpaceId& space : {SpaceId{}, key.space}) {
    const auto floor = x_floors.find({key.tenant, space});
    if (floor != x_floors.end() && put_in < floor->second) return std::nullopt;
  }
  const auto [at, is_new] = x_spaces.try_emplace({key.tenant, key.space}, x_next_space);
  if (is_new) ++x_next_space;
  return at->second;
}

FlashIndex::Row FlashIndex::row_of(const FlashPlace& place) {
  TARN_DCHECK(place.group < place.offset && place.bytes <= kBlockBytesMax);
  Row row;
  row.drive_region = uint32_t{place.drive} << 24 | place.region;
  row.page = static_cast<uint16_t>(place.offset / kPage);
  row.back = static_cast<uint16_t>((place.offset - place.group) / kPage);
  row.bytes_hits = static_cast<uint32_t>(place.bytes) << kHitsBits;
  return row;
}

bool FlashIndex::put(const block::BlockKey& key, const FlashPlace& place, Epoch put_in) {
  Row row = row_of(place);
  const Print print = print_of(key);
  Part& part = part_of(print);
  const MutexLock lock(part.mutex);
  // Under the part's lock: a floor that comes later finds the row.
  const auto space = space_number(key, put_in);
  if (!space) return false;
  row.space = *space;
  const auto [at, is_new] = part.rows.try_emplace(print, row);
  if (!is_new) {
    discount(at->second);
    at->second = row;
  }
  count(row);
  return is_new;
}

bool FlashIndex::move(const block::BlockKey& key, const FlashPlace& from, const FlashPlace& to) {
  Row row = row_of(to);
  const Print print = print_of(key);
  Part& part = part_of(print);
  const MutexLock lock(part.mutex);
  const auto found = part.rows.find(print);
  if (found == part.rows.end() || !leads_to(found->second, from)) return false;
  row.space = found->second.space;
  discount(found->second);
  found->second = row;
  count(row);
  return true;
}

bool FlashIndex::erase(const block::BlockKey& key) {
  const Print print = print_of(key);
  Part& part = part_of(print);
  const MutexLock lock(part.mutex);
  const auto found = part.rows.find(print);
  if (found == part.rows.end()) return false;
  discount(found->second);
  part.rows.erase(found);
  return true;
}

bool FlashIndex::erase(const block::BlockKey& key, const FlashPlace& place) {
  const Print print = print_of(key);
  Part& part = part_of(print);
  const MutexLock lock(part.mutex);
  const auto found = part.rows.find(print);
  if (found == part.rows.end() || !leads_to(found->second, place)) return false;
  discount(found->second);
  part.rows.erase(found);
  return true;
}

std::optional<uint8_t> FlashIndex::hits_at(const block::BlockKey& key,
                                           const FlashPlace& place) const {
  const Print print = print_of(key);
  const Part& part = part_of(print);
  const MutexLock lock(part.mutex);
  const auto found = part.rows.find(print);
  if (found == part.rows.end() || !leads_to(found->second, place)) return std::nullopt;
  return static_cast<uint8_t>(found->second.bytes_hits & kHitsMask);
}

template <typename IsMeant>
uint64_t FlashIndex::erase_if(const IsMeant& is_meant) {
  uint64_t erased = 0;
  for (Part& part : x_parts) {
    const MutexLock lock(part.mutex);
    erased += absl::erase_if(part.rows, [&](const auto& each) {
      if (!is_meant(each.second)) return false;
      discount(each.second);
      return true;
    });
  }
  return erased;
}

uint64_t FlashIndex::erase_all(const TenantId& tenant, const SpaceId& space, Epoch floor) {
  std::vector<uint32_t> doomed;
  {
    const MutexLock lock(x_spaces_mutex);
    Epoch& known = x_floors[{tenant, space}];
    if (floor <= known) return 0;
    known = floor;
    std::erase_if(x_spaces, [&](const auto& each) {
      const auto& [name, number] = each;
      if (name.first != tenant || (!space.is_zero() && name.second != space)) return false;
      doomed.push_back(number);
      return true;
    });
  }
  if (doomed.empty()) return 0;
  return erase_if(
      [&](const Row& row) { return std::ranges::find(doomed, row.space) != doomed.end(); });
}

uint64_t FlashIndex::erase_region(uint8_t drive, uint32_t region) {
  return erase_if(
      [&](const Row& row) { return row.drive_region == (uint32_t{drive} << 24 | region); });
}

uint64_t FlashIndex::erase_drive(uint8_t drive) {
  return erase_if([&](const Row& row) { return row.drive_region >> 24 == drive; });
}

RegionUse FlashIndex::use_of(uint8_t drive, uint32_t region) const {
  const Use& use = x_drives[drive].regions[region];
  return {use.live_bytes.load(std::memory_order_relaxed),
          use.live_blocks.load(std::memory_order_relaxed),
          use.hits.load(std::memory_order_relaxed)};
}

void FlashIndex::halve_hits(uint8_t drive, uint32_t region) {
  Use& use = x_drives[drive].regions[region];
  use.hits.store(use.hits.load(std::memory_order_relaxed) / 2, std::memory_order_relaxed);
}

uint64_t FlashIndex::memory_bytes() const {
  uint64_t bytes = 0;
  for (const Part& part : x_parts) {
    const MutexLock lock(part.mutex);
    bytes += part.rows.capacity() * (sizeof(std::pair<Print, Row>) + 1);
  }
  return bytes;
}

}  // namespace tarn::flash
