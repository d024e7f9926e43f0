#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "common/base/result.h"
#include "common/base/units.h"

namespace tarn::io {

// The beginning of a drive that holds its label, twice, and nothing else.
inline constexpr uint64_t kLabelAreaBytes = kMiB;
inline constexpr uint64_t kLabelBytes = 4096;
inline constexpr uint64_t kLabelCopyOffset = kLabelAreaBytes / 2;
inline constexpr uint32_t kLabelVersion = 1;

using DriveId = std::array<uint8_t, 16>;

// Says that a drive is Tarn's, which one, and in what format its contents are. Value type.
struct DriveLabel {
  DriveId id{};                 // drawn when the drive was formatted
  uint32_t content_format = 0;  // version of what follows the label area
  uint64_t capacity_bytes = 0;  // of the drive, the label area included
  uint64_t region_bytes = 0;
  int64_t formatted_unix_ms = 0;

  friend bool operator==(const DriveLabel&, const DriveLabel&) = default;
};

using EncodedLabel = std::array<std::byte, kLabelBytes>;

// The encoded form, little endian (docs/FLASH_FORMAT.md):
//   0 "TARNDRIV" | 8 label version u32 | 12 content format u32 | 16 id 16 | 32 capacity u64
//  40 region bytes u64 | 48 formatted, unix ms i64 | 56 zero | 4092 CRC32C of the bytes before
EncodedLabel encode(const DriveLabel& label);

// `bytes` may be anything. Returns: the label, not_found (all zero), corrupt (not a label, cut
// short, or its CRC or a number does not hold), unsupported (a newer label).
Result<DriveLabel> decode_label(std::span<const std::byte> bytes);

// The id as 32 hexadecimal digits.
std::string to_text(const DriveId& id);

}  // namespace tarn::io
