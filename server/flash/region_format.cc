#include "server/flash/region_format.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "common/base/check.h"
#include "common/base/little_endian.h"
#include "common/block/checksum.h"

namespace tarn::flash {
namespace {

using Bytes = std::span<const std::byte>;

constexpr uint32_t kHeaderMagic = 0x474e5254;   // "TRNG" in memory
constexpr uint32_t kGroupMagic = 0x504e5254;    // "TRNP"
constexpr uint32_t kTrailerMagic = 0x464e5254;  // "TRNF"
constexpr size_t kCrcAt = kPageBytes - 4;

constexpr size_t kExpiresAt = block::kBlockHeaderBytes;
constexpr size_t kPutInAt = kExpiresAt + 8;
constexpr size_t kOffsetAt = kPutInAt + 8;
constexpr size_t kParentSizeAt = kOffsetAt + 4;
constexpr size_t kParentAt = kParentSizeAt + 4;
static_assert(kParentAt + kHashBytesMax == kEntryBytes);

// Goes before the bytes that a checksum covers.
uint32_t crc_of(const RegionStamp& stamp, uint64_t offset) {
  std::array<std::byte, 36> bytes{};
  std::memcpy(bytes.data(), stamp.drive.data(), stamp.drive.size());
  store_le(bytes.data() + 16, stamp.region);
  store_le(bytes.data() + 20, stamp.epoch);
  store_le(bytes.data() + 28, offset);
  return block::crc32c(0, bytes.data(), bytes.size());
}

void encode_entry(const Entry& entry, std::byte* at) {
  const block::EncodedBlockHeader header = block::encode(entry.header);
  std::memcpy(at, header.data(), header.size());
  store_le(at + kExpiresAt, entry.expires_unix_ms);
  store_le(at + kPutInAt, entry.put_in.value);
  store_le(at + kOffsetAt, static_cast<uint32_t>(entry.offset / kPageBytes));
  store_le(at + kParentSizeAt, entry.parent.size);
  std::memcpy(at + kParentAt, entry.parent.bytes.data(), entry.parent.size);
}

Result<Entry> decode_entry(const std::byte* at) {
  Entry entry;
  TARN_ASSIGN_OR_RETURN(entry.header, block::decode(Bytes(at, block::kBlockHeaderBytes)));
  entry.expires_unix_ms = load_le<int64_t>(at + kExpiresAt);
  entry.put_in = {load_le<uint64_t>(at + kPutInAt)};
  entry.offset = load_le<uint32_t>(at + kOffsetAt) * kPageBytes;
  entry.parent.size = load_le<uint8_t>(at + kParentSizeAt);
  if (entry.parent.size > kHashBytesMax) return corrupt("region: size of a parent's hash");
  std::memcpy(entry.parent.bytes.data(), at + kParentAt, entry.parent.size);
  return entry;
}

bool is_within(const Entry& entry, uint64_t from, uint64_t to) {
  return entry.offset >= from && entry.offset <= to && stored_bytes(entry) <= to - entry.offset;
}

}  // namespace

void seal_page(const RegionStamp& stamp, uint64_t offset, Page page) {
  store_le(page.data() + kCrcAt, block::crc32c(crc_of(stamp, offset), page.data(), kCrcAt));
}

Status check_page(const RegionStamp& stamp, uint64_t offset, Bytes page, uint32_t magic) {
  if (page.size() < kPageBytes) return corrupt("region: a page is cut short");
  if (load_le<uint32_t>(page.data()) != magic) return corrupt("region: no page of this kind");
  const uint32_t crc = block::crc32c(crc_of(stamp, offset), page.data(), kCrcAt);
  if (load_le<uint32_t>(page.data() + kCrcAt) != crc) return corrupt("region: checksum of a page");
  return Status::ok();
}

// 0 magic | 4 format u32 | 8 region u32 | 12 lifetime u8 | 16 epoch u64 | 24 region bytes u64
void encode_header(const RegionHeader& header, Page page) {
  TARN_CHECK(header.stamp.epoch > 0);
  std::ranges::fill(page, std::byte{0});
  store_le(page.data(), kHeaderMagic);
  store_le(page.data() + 4, kContentFormat);
  store_le(page.data() + 8, header.stamp.region);
  store_le(page.data() + 12, static_cast<uint8_t>(header.lifetime));
  store_le(page.data() + 16, header.stamp.epoch);
  store_le(page.data() + 24, kRegionBytes);
  seal_page(header.stamp, 0, page);
}

Result<RegionHeader> decode_header(Bytes page, const std::array<uint8_t, 16>& drive,
                                   uint32_t region) {
  if (page.size() < kPageBytes) return corrupt("region: a page is cut short");
  RegionHeader header;
  header.stamp = {drive, region, load_le<uint64_t>(page.data() + 16)};
  TARN_RETURN_IF_ERROR(check_page(header.stamp, 0, page, kHeaderMagic));
  const auto format = load_le<uint32_t>(page.data() + 4);
  if (format != kContentFormat)
    return unsupported("region: format " + std::to_string(format) + ", this program knows " +
                       std::to_string(kContentFormat));
  const auto lifetime = load_le<uint8_t>(page.data() + 12);
  if (lifetime > static_cast<uint8_t>(Lifetime::lasting) || header.stamp.epoch == 0 ||
      header.stamp.epoch > kEpochMax || load_le<uint32_t>(page.data() + 8) != region ||
      load_le<uint64_t>(page.data() + 24) != kRegionBytes)
    return corrupt("region: a number of its header");
  header.lifetime = static_cast<Lifetime>(lifetime);
  return header;
}

// 0 magic | 4 entries u32 | 8 end u64 | 16 entries
void encode_group(const RegionStamp& stamp, uint64_t offset, std::span<const Entry> entries,
                  Page page) {
  TARN_CHECK(!entries.empty() && entries.size() <= kGroupEntriesMax);
  std::ranges::fill(page, std::byte{0});
  uint64_t end = offset + kPageBytes;
  std::byte* at = page.data() + kGroupHeadBytes;
  for (const Entry& entry : entries) {
    TARN_CHECK(entry.offset == end);
    encode_entry(entry, at);
    end += stored_bytes(entry);
    at += kEntryBytes;
  }
  TARN_CHECK(end <= kRegionBytes);
  store_le(page.data(), kGroupMagic);
  store_le(page.data() + 4, static_cast<uint32_t>(entries.size()));
  store_le(page.data() + 8, end);
  seal_page(stamp, offset, page);
}

Result<Group> decode_group(const RegionStamp& stamp, uint64_t offset, Bytes page) {
  TARN_RETURN_IF_ERROR(check_page(stamp, offset, page, kGroupMagic));
  const auto count = load_le<uint32_t>(page.data() + 4);
  if (count == 0 || count > kGroupEntriesMax) return corrupt("region: entries of a group");
  Group group;
  group.end = offset + kPageBytes;
  for (uint32_t i = 0; i < count; ++i) {
    const std::byte* at = page.data() + kGroupHeadBytes + i * kEntryBytes;
    TARN_ASSIGN_OR_RETURN(Entry entry, decode_entry(at));
    if (entry.offset != group.end || !is_within(entry, offset, kRegionBytes))
      return corrupt("region: place of an entry");
    group.end += stored_bytes(entry);
    group.entries.push_back(entry);
  }
  if (load_le<uint64_t>(page.data() + 8) != group.end) return corrupt("region: end of a group");
  return group;
}

// The last page: 0 magic | 4 entries u32 | 8 CRC of the pages before it u32
void encode_footer(const RegionStamp& stamp, std::span<const Entry> entries,
                   std::span<std::byte> into) {
  TARN_CHECK(entries.size() <= kRegionEntriesMax && into.size() == footer_bytes(entries.size()));
  std::ranges::fill(into, std::byte{0});
  for (size_t i = 0; i < entries.size(); ++i)
    encode_entry(entries[i], into.data() + i * kEntryBytes);
  const Page last = into.last<kPageBytes>();
  store_le(last.data(), kTrailerMagic);
  store_le(last.data() + 4, static_cast<uint32_t>(entries.size()));
  store_le(last.data() + 8, block::crc32c(0, into.data(), into.size() - kPageBytes));
  seal_page(stamp, kRegionBytes - kPageBytes, last);
}

Result<uint64_t> decode_footer_bytes(const RegionStamp& stamp, Bytes page) {
  TARN_RETURN_IF_ERROR(check_page(stamp, kRegionBytes - kPageBytes, page, kTrailerMagic));
  const auto count = load_le<uint32_t>(page.data() + 4);
  if (count > kRegionEntriesMax) return corrupt("region: entries of the footer");
  return footer_bytes(count);
}

Result<std::vector<Entry>> decode_footer(const RegionStamp& stamp, Bytes footer) {
  if (footer.size() < kPageBytes) return corrupt("region: the footer is cut short");
  const Bytes last = footer.last(kPageBytes);
  TARN_ASSIGN_OR_RETURN(const uint64_t bytes, decode_footer_bytes(stamp, last));
  if (footer.size() != bytes) return corrupt("region: the footer has another size");
  const uint32_t crc = block::crc32c(0, footer.data(), bytes - kPageBytes);
  if (load_le<uint32_t>(last.data() + 8) != crc) return corrupt("region: checksum of the footer");
  std::vector<Entry> entries(load_le<uint32_t>(last.data() + 4));
  uint64_t from = 2 * kPageBytes;
  for (size_t i = 0; i < entries.size(); ++i) {
    TARN_ASSIGN_OR_RETURN(entries[i], decode_entry(footer.data() + i * kEntryBytes));
    if (!is_within(entries[i], from, kRegionBytes - bytes))
      return corrupt("region: place of an entry in the footer");
    from = entries[i].offset + stored_bytes(entries[i]);
  }
  return entries;
}

bool RegionPlan::fits(uint64_t bytes) const {
  const uint64_t entries = x_entries.size() + 1;
  return entries <= kRegionEntriesMax && bytes <= kRegionBytes - x_cursor &&
         footer_bytes(entries) <= kRegionBytes - x_cursor - bytes;
}

size_t RegionPlan::place(std::span<Entry> entries) {
  size_t placed = 0;
  for (Entry& entry : entries.first(std::min<size_t>(entries.size(), kGroupEntriesMax))) {
    const uint64_t head = placed == 0 ? kPageBytes : 0;
    if (!fits(head + stored_bytes(entry))) break;
    if (placed == 0) x_group_offset = x_cursor;
    entry.offset = x_cursor + head;
    x_cursor = entry.offset + stored_bytes(entry);
    x_entries.push_back(entry);
    ++placed;
  }
  return placed;
}

}  // namespace tarn::flash
