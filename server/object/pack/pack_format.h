#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "server/flash/region_format.h"

// What lies in a pack, an object of many blocks (docs/OBJECT_FORMAT.md): the pages of a region of
// flash, with one block in each group, and the footer right behind them. Pure: bytes to values and
// back. Whatever an object store gives may be decoded.
namespace tarn::object {

// The names of objects: v1/SERVER/NUMBER.pack, and v1/SERVER/NUMBER.gone beside it.
std::string pack_folder(std::string_view server);
std::string pack_key(std::string_view server, uint64_t number);
std::string notes_key(std::string_view server, uint64_t number);

struct PackName {
  uint64_t number = 0;
  bool is_notes = false;
};
// Nothing for a name that is none of this server's.
std::optional<PackName> parse_name(std::string_view server, std::string_view key);

// Part of every checksum of a pack: that it is this server's, and this one of its packs.
flash::RegionStamp pack_stamp(std::string_view server, uint64_t number);

// The smallest pack: a header and the last page of a footer.
inline constexpr uint64_t kPackBytesMin = 2 * flash::kPageBytes;
// Of a pack's end, what a first look reads: whole footers of some 280 blocks.
inline constexpr uint64_t kTailBytes = 64 * 1024;

// Blocks on their way into a pack, in memory. One-thread. Life: construct, add(), seal() once.
class PackBuilder {
 public:
  // Room for so many bytes is taken at once.
  PackBuilder(const flash::RegionStamp& stamp, uint64_t bytes_expected);

  // The pack's bytes if the block were added and no other.
  uint64_t bytes_with(uint64_t payload_bytes) const;
  // Copies the payload. False: no pack holds so much.
  bool add(flash::Entry entry, std::span<const std::byte> payload);
  // Appends the footer; all of the pack's bytes.
  std::span<const std::byte> seal();

  // With their offsets, in their order.
  const std::vector<flash::Entry>& entries() const { return x_plan.entries(); }
  uint64_t bytes() const { return x_bytes.size(); }
  // Of one of entries().
  std::span<const std::byte> payload(const flash::Entry& entry) const {
    return std::span(x_bytes).subspan(entry.offset, entry.header.payload_bytes);
  }
  const flash::RegionStamp& stamp() const { return x_stamp; }

 private:
  flash::RegionStamp x_stamp;
  flash::RegionPlan x_plan;
  std::vector<std::byte> x_bytes;
};

// How many bytes of a pack's end its footer is. `tail` are the last bytes of the pack, a page of
// them at least. Returns: the footer's size, corrupt.
Result<uint64_t> footer_size(const flash::RegionStamp& stamp, std::span<const std::byte> tail);
// Returns: the entries of a pack of so many bytes, corrupt.
Result<std::vector<flash::Entry>> read_footer(const flash::RegionStamp& stamp, uint64_t pack_bytes,
                                              std::span<const std::byte> footer);

// The blocks of a pack that were removed, by the page at which their payload begins.
std::vector<std::byte> encode_notes(uint64_t number, std::span<const uint32_t> pages);
// Returns: the pages, corrupt, unsupported (another version).
Result<std::vector<uint32_t>> decode_notes(uint64_t number, std::span<const std::byte> bytes);

}  // namespace tarn::object
