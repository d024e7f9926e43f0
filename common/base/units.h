#pragma once

#include <cstdint>

namespace tarn {

inline constexpr uint64_t kKiB = 1024;
inline constexpr uint64_t kMiB = 1024 * kKiB;
inline constexpr uint64_t kGiB = 1024 * kMiB;

// A block's payload is 1 byte to 64 MiB; a block hash is 1 to 32 bytes.
inline constexpr uint64_t kBlockBytesMax = 64 * kMiB;
inline constexpr uint32_t kHashBytesMax = 32;

// Payloads lie at multiples of this in dram and flash.
inline constexpr uint64_t kPayloadAlignBytes = 4 * kKiB;

// Hashes in one Match or Locate; blocks in one put or get of the wire; blocks of one extent (G:
// default and limit).
inline constexpr uint32_t kMatchHashesMax = 8192;
inline constexpr uint32_t kBatchBlocksMax = 1024;
inline constexpr uint32_t kExtentBlocksDefault = 32;
inline constexpr uint32_t kExtentBlocksMax = 64;

inline constexpr uint32_t kSessionSlots = 1024;
inline constexpr uint32_t kSessionTailBytesMax = 64 * 1024;
inline constexpr uint32_t kNameBytesMax = 128;

constexpr uint64_t round_up(uint64_t value, uint64_t step) {
  return (value + step - 1) / step * step;
}

}  // namespace tarn
