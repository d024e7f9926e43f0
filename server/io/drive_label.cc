#include "server/io/drive_label.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "common/base/ids.h"
#include "common/base/little_endian.h"
#include "common/block/checksum.h"

namespace tarn::io {
namespace {

constexpr std::string_view kMagic = "TARNDRIV";
constexpr size_t kVersionAt = 8;
constexpr size_t kFormatAt = 12;
constexpr size_t kIdAt = 16;
constexpr size_t kCapacityAt = 32;
constexpr size_t kRegionAt = 40;
constexpr size_t kFormattedAt = 48;
constexpr size_t kLabelCrcAt = kLabelBytes - 4;

bool is_zero(std::span<const std::byte> bytes) {
  return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
}

}  // namespace

EncodedLabel encode(const DriveLabel& label) {
  EncodedLabel out{};
  std::byte* at = out.data();
  std::memcpy(at, kMagic.data(), kMagic.size());
  store_le(at + kVersionAt, kLabelVersion);
  store_le(at + kFormatAt, label.content_format);
  std::memcpy(at + kIdAt, label.id.data(), label.id.size());
  store_le(at + kCapacityAt, label.capacity_bytes);
  store_le(at + kRegionAt, label.region_bytes);
  store_le(at + kFormattedAt, label.formatted_unix_ms);
  store_le(at + kLabelCrcAt, block::crc32c(0, at, kLabelCrcAt));
  return out;
}

Result<DriveLabel> decode_label(std::span<const std::byte> bytes) {
  if (bytes.size() < kLabelBytes) return corrupt("drive label: cut short");
  const std::byte* at = bytes.data();
  if (is_zero(bytes.first(kLabelBytes))) return not_found("drive label: the drive is empty");
  if (std::memcmp(at, kMagic.data(), kMagic.size()) != 0)
    return corrupt("drive label: something else is there");
  if (load_le<uint32_t>(at + kLabelCrcAt) != block::crc32c(0, at, kLabelCrcAt))
    return corrupt("drive label: checksum");
  const auto version = load_le<uint32_t>(at + kVersionAt);
  if (version != kLabelVersion)
    return unsupported("drive label: version " + std::to_string(version) + ", this program knows " +
                       std::to_string(kLabelVersion));
  DriveLabel label;
  std::memcpy(label.id.data(), at + kIdAt, label.id.size());
  label.content_format = load_le<uint32_t>(at + kFormatAt);
  label.capacity_bytes = load_le<uint64_t>(at + kCapacityAt);
  label.region_bytes = load_le<uint64_t>(at + kRegionAt);
  label.formatted_unix_ms = load_le<int64_t>(at + kFormattedAt);
  if (label.capacity_bytes < kLabelAreaBytes || label.capacity_bytes % kLabelBytes != 0)
    return corrupt("drive label: capacity");
  if (label.region_bytes % kLabelBytes != 0) return corrupt("drive label: region bytes");
  return label;
}

std::string to_text(const DriveId& id) {
  return to_hex({reinterpret_cast<const char*>(id.data()), id.size()});
}

}  // namespace tarn::io
