#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/base/ids.h"
#include "common/base/result.h"
#include "common/base/units.h"
#include "common/block/header.h"

// What lies in a region of a drive (docs/FLASH_FORMAT.md): a header page; groups, each a page of
// entries and then their payloads; at the end a footer that names them all. Pure: bytes to values
// and back. Whatever a drive gives may be decoded.
namespace tarn::flash {

inline constexpr uint32_t kContentFormat = 1;
// Of a region; so that they can always be counted on.
inline constexpr uint64_t kEpochMax = UINT64_MAX / 2;
inline constexpr uint64_t kRegionBytes = 128 * kMiB;
inline constexpr uint64_t kPageBytes = 4096;
inline constexpr uint64_t kEntryBytes = 216;
inline constexpr uint64_t kGroupHeadBytes = 16;
// The most entries of a group and of a region.
inline constexpr uint32_t kGroupEntriesMax = (kPageBytes - kGroupHeadBytes - 4) / kEntryBytes;
inline constexpr uint32_t kRegionEntriesMax = 32768;

using Page = std::span<std::byte, kPageBytes>;

// Which life of which region of which drive bytes belong to. Part of every checksum, so that what
// an earlier life left behind, or what lies at a wrong place, does not decode. Value type.
struct RegionStamp {
  std::array<uint8_t, 16> drive{};
  uint32_t region = 0;
  uint64_t epoch = 0;  // rises whenever a region of the drive begins anew; never 0

  friend bool operator==(const RegionStamp&, const RegionStamp&) = default;
};

enum class Lifetime : uint8_t { brief = 0, lasting = 1 };

struct RegionHeader {
  RegionStamp stamp;
  Lifetime lifetime = Lifetime::brief;

  friend bool operator==(const RegionHeader&, const RegionHeader&) = default;
};

// A block in a region.
struct Entry {
  block::BlockHeader header;
  block::BlockHash parent;      // empty for none
  int64_t expires_unix_ms = 0;  // 0 for never
  Epoch put_in;                 // of the config: a floor above it has removed the block
  uint64_t offset = 0;          // of the payload, from the region's first byte

  friend bool operator==(const Entry&, const Entry&) = default;
};

struct Group {
  std::vector<Entry> entries;
  uint64_t end = 0;  // where the next one begins
};

// A payload's room.
constexpr uint64_t stored_bytes(const Entry& entry) {
  return round_up(entry.header.payload_bytes, kPageBytes);
}

// The footer of so many entries, its last page included.
constexpr uint64_t footer_bytes(uint64_t entries) {
  return round_up(entries * kEntryBytes, kPageBytes) + kPageBytes;
}

// Every page that is not a payload ends in a checksum, over whose and where it is and its bytes.
// `offset` is that of the page in its region.
void seal_page(const RegionStamp& stamp, uint64_t offset, Page page);
// Returns: ok, corrupt (cut short, another magic number, or it is not sealed for this place).
Status check_page(const RegionStamp& stamp, uint64_t offset, std::span<const std::byte> page,
                  uint32_t magic);

void encode_header(const RegionHeader& header, Page page);
// Returns: the header, corrupt (none of this drive and region), unsupported (another format).
Result<RegionHeader> decode_header(std::span<const std::byte> page,
                                   const std::array<uint8_t, 16>& drive, uint32_t region);

// Precondition: 1 to kGroupEntriesMax entries, whose payloads follow `offset` + kPageBytes without
// a gap (RegionPlan sees to it).
void encode_group(const RegionStamp& stamp, uint64_t offset, std::span<const Entry> entries,
                  Page page);
// Returns: the group that begins at `offset`, corrupt (none does: the log ends here).
Result<Group> decode_group(const RegionStamp& stamp, uint64_t offset,
                           std::span<const std::byte> page);

// The footer ends where the region does. Precondition: `into` has footer_bytes(entries.size()).
void encode_footer(const RegionStamp& stamp, std::span<const Entry> entries,
                   std::span<std::byte> into);
// From the last page of a region. Returns: the footer's size, corrupt (none of this life).
Result<uint64_t> decode_footer_bytes(const RegionStamp& stamp, std::span<const std::byte> page);
// Returns: the entries in the order of their offsets, corrupt.
Result<std::vector<Entry>> decode_footer(const RegionStamp& stamp,
                                         std::span<const std::byte> footer);

// Gives blocks their places in a new region, so that its footer always has room. One-thread.
class RegionPlan {
 public:
  // Sets the offsets of the first entries that make the next group; returns how many: 0 when the
  // region is full for the first of them. The group is a run from group_offset() to cursor().
  size_t place(std::span<Entry> entries);

  uint64_t group_offset() const { return x_group_offset; }
  uint64_t cursor() const { return x_cursor; }
  const std::vector<Entry>& entries() const { return x_entries; }

 private:
  bool fits(uint64_t bytes) const;

  uint64_t x_group_offset = kPageBytes;
  uint64_t x_cursor = kPageBytes;
  std::vector<Entry> x_entries;
};

}  // namespace tarn::flash
