#include "server/object/pack/pack_format.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "common/base/check.h"
#include "common/base/little_endian.h"
#include "common/block/checksum.h"
#include "common/block/sha256.h"

namespace tarn::object {
namespace {

constexpr std::string_view kVersion = "v1/";
constexpr std::string_view kPackSuffix = ".pack";
constexpr std::string_view kNotesSuffix = ".gone";
constexpr size_t kNumberDigits = 16;

constexpr uint32_t kNotesMagic = 0x4f4e5254;  // "TRNO" in memory
constexpr uint32_t kNotesVersion = 1;
constexpr size_t kNotesHeadBytes = 20;

std::string digits_of(uint64_t number) {
  char text[kNumberDigits];
  for (size_t i = 0; i < kNumberDigits; ++i)
    text[i] = "0123456789abcdef"[number >> (4 * (kNumberDigits - 1 - i)) & 15];
  return {text, kNumberDigits};
}

}  // namespace

std::string pack_folder(std::string_view server) {
  return std::string(kVersion) + std::string(server) + "/";
}

std::string pack_key(std::string_view server, uint64_t number) {
  return pack_folder(server) + digits_of(number) + std::string(kPackSuffix);
}

std::string notes_key(std::string_view server, uint64_t number) {
  return pack_folder(server) + digits_of(number) + std::string(kNotesSuffix);
}

std::optional<PackName> parse_name(std::string_view server, std::string_view key) {
  const std::string folder = pack_folder(server);
  if (!key.starts_with(folder)) return std::nullopt;
  key.remove_prefix(folder.size());
  if (key.size() <= kNumberDigits) return std::nullopt;
  PackName name;
  const std::string_view digits = key.substr(0, kNumberDigits);
  const std::string_view suffix = key.substr(kNumberDigits);
  const auto [end, failed] =
      std::from_chars(digits.data(), digits.data() + digits.size(), name.number, 16);
  const bool is_number = failed == std::errc() && digits_of(name.number) == digits;
  if (!is_number || name.number == 0) return std::nullopt;
  name.is_notes = suffix == kNotesSuffix;
  if (!name.is_notes && suffix != kPackSuffix) return std::nullopt;
  return name;
}

flash::RegionStamp pack_stamp(std::string_view server, uint64_t number) {
  const block::Digest256 digest = block::sha256("tarn packs of " + std::string(server));
  flash::RegionStamp stamp;
  std::copy_n(digest.begin(), stamp.drive.size(), stamp.drive.begin());
  stamp.epoch = number;
  return stamp;
}

PackBuilder::PackBuilder(const flash::RegionStamp& stamp, uint64_t bytes_expected)
    : x_stamp(stamp) {
  x_bytes.reserve(bytes_expected);
  x_bytes.resize(flash::kPageBytes);
  flash::encode_header({stamp, flash::Lifetime::lasting},
                       std::span(x_bytes).first<flash::kPageBytes>());
}

uint64_t PackBuilder::bytes_with(uint64_t payload_bytes) const {
  return x_bytes.size() + flash::kPageBytes + round_up(payload_bytes, flash::kPageBytes) +
         flash::footer_bytes(entries().size() + 1);
}

bool PackBuilder::add(flash::Entry entry, std::span<const std::byte> payload) {
  TARN_CHECK(payload.size() == entry.header.payload_bytes);
  if (x_plan.place({&entry, 1}) == 0) return false;
  TARN_CHECK(x_plan.group_offset() == x_bytes.size());
  x_bytes.resize(x_bytes.size() + flash::kPageBytes);
  flash::encode_group(x_stamp, x_plan.group_offset(), {&entry, 1},
                      std::span(x_bytes).last<flash::kPageBytes>());
  x_bytes.insert(x_bytes.end(), payload.begin(), payload.end());
  x_bytes.resize(x_plan.cursor());
  return true;
}

std::span<const std::byte> PackBuilder::seal() {
  const uint64_t footer = flash::footer_bytes(entries().size());
  x_bytes.resize(x_bytes.size() + footer);
  flash::encode_footer(x_stamp, entries(), std::span(x_bytes).last(footer));
  return x_bytes;
}

Result<uint64_t> footer_size(const flash::RegionStamp& stamp, std::span<const std::byte> tail) {
  if (tail.size() < flash::kPageBytes) return corrupt("pack: its end is cut short");
  return flash::decode_footer_bytes(stamp, tail.last(flash::kPageBytes));
}

Result<std::vector<flash::Entry>> read_footer(const flash::RegionStamp& stamp, uint64_t pack_bytes,
                                              std::span<const std::byte> footer) {
  TARN_ASSIGN_OR_RETURN(auto entries, flash::decode_footer(stamp, footer));
  if (footer.size() > pack_bytes) return corrupt("pack: a footer larger than the pack");
  const uint64_t end = pack_bytes - footer.size();
  if (!entries.empty() && entries.back().offset + flash::stored_bytes(entries.back()) > end)
    return corrupt("pack: it is shorter than its footer says");
  return entries;
}

// 0 magic u32 | 4 version u32 | 8 number u64 | 16 pages u32 | 20 pages u32 each | CRC u32
std::vector<std::byte> encode_notes(uint64_t number, std::span<const uint32_t> pages) {
  std::vector<std::byte> bytes(kNotesHeadBytes + pages.size() * 4 + 4);
  store_le(bytes.data(), kNotesMagic);
  store_le(bytes.data() + 4, kNotesVersion);
  store_le(bytes.data() + 8, number);
  store_le(bytes.data() + 16, static_cast<uint32_t>(pages.size()));
  for (size_t i = 0; i < pages.size(); ++i)
    store_le(bytes.data() + kNotesHeadBytes + i * 4, pages[i]);
  store_le(bytes.data() + bytes.size() - 4, block::crc32c(0, bytes.data(), bytes.size() - 4));
  return bytes;
}

Result<std::vector<uint32_t>> decode_notes(uint64_t number, std::span<const std::byte> bytes) {
  if (bytes.size() < kNotesHeadBytes + 4 || load_le<uint32_t>(bytes.data()) != kNotesMagic)
    return corrupt("notes of a pack: none");
  const uint32_t crc = block::crc32c(0, bytes.data(), bytes.size() - 4);
  if (load_le<uint32_t>(bytes.data() + bytes.size() - 4) != crc)
    return corrupt("notes of a pack: checksum");
  const auto version = load_le<uint32_t>(bytes.data() + 4);
  if (version != kNotesVersion)
    return unsupported("notes of a pack: version " + std::to_string(version) +
                       ", this program knows " + std::to_string(kNotesVersion));
  const uint64_t count = load_le<uint32_t>(bytes.data() + 16);
  if (load_le<uint64_t>(bytes.data() + 8) != number ||
      bytes.size() != kNotesHeadBytes + count * 4 + 4)
    return corrupt("notes of a pack: a number of theirs");
  std::vector<uint32_t> pages(count);
  for (size_t i = 0; i < pages.size(); ++i)
    pages[i] = load_le<uint32_t>(bytes.data() + kNotesHeadBytes + i * 4);
  return pages;
}

}  // namespace tarn::object
