#pragma once

#include <cstring>
#include <vector>

#include "common/base/check.h"
#include "common/base/little_endian.h"
#include "common/block/checksum.h"
#include "server/flash/region_format.h"

// What must hold for any bytes that a drive gives for a region. Shared by the fuzzer and the tests.
namespace tarn::flash {

inline RegionStamp fuzz_stamp() {
  return {{1, 2, 3}, 7, 9};
}

// The first or last page of `input` under the checksum that it would have at `offset`.
inline void reseal(std::span<std::byte> page, uint64_t offset) {
  const RegionStamp stamp = fuzz_stamp();
  std::array<std::byte, 36> place{};
  std::memcpy(place.data(), stamp.drive.data(), stamp.drive.size());
  store_le(place.data() + 16, stamp.region);
  store_le(place.data() + 20, stamp.epoch);
  store_le(place.data() + 28, offset);
  const uint32_t begun = block::crc32c(0, place.data(), place.size());
  store_le(page.data() + kPageBytes - 4, block::crc32c(begun, page.data(), kPageBytes - 4));
}

// Whether anything of it was taken for a group or a footer.
inline bool check_decoders(std::span<const std::byte> input) {
  const RegionStamp stamp = fuzz_stamp();
  if (const auto header = decode_header(input, stamp.drive, stamp.region))
    TARN_CHECK(header->stamp.epoch > 0 && header->stamp.region == stamp.region);
  const auto group = decode_group(stamp, kPageBytes, input);
  if (group) TARN_CHECK(!group->entries.empty() && group->end <= kRegionBytes);
  if (const auto bytes = decode_footer_bytes(stamp, input))
    TARN_CHECK(*bytes <= footer_bytes(kRegionEntriesMax));
  const auto entries = decode_footer(stamp, input);
  if (!entries) return group.has_value();
  for (const Entry& entry : *entries)
    TARN_CHECK(entry.offset % kPageBytes == 0 &&
               entry.offset + stored_bytes(entry) <= kRegionBytes - input.size());
  return true;
}

// Looks at the bytes as they are, and under fitting checksums, so that what is within is reached.
inline bool check_region_input(std::span<const std::byte> input) {
  bool taken = check_decoders(input);
  if (input.size() < kPageBytes) return taken;
  std::vector<std::byte> sealed(input.begin(), input.end());
  for (const uint64_t offset : {uint64_t{0}, kPageBytes}) {
    reseal(std::span(sealed).first(kPageBytes), offset);
    taken = check_decoders(sealed) || taken;
  }
  sealed.assign(input.begin(), input.end());
  const uint64_t body = sealed.size() - kPageBytes;
  store_le(sealed.data() + body + 8, block::crc32c(0, sealed.data(), body));
  reseal(std::span(sealed).subspan(body), kRegionBytes - kPageBytes);
  return check_decoders(sealed) || taken;
}

}  // namespace tarn::flash
