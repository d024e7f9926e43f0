#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "common/base/ids.h"
#include "common/base/result.h"
#include "common/block/key.h"

namespace tarn::block {

inline constexpr uint32_t kBlockHeaderBytes = 160;
inline constexpr uint32_t kBlockHeaderMagic = 0x424e5254;  // "TRNB" in memory
inline constexpr uint16_t kBlockHeaderVersion = 1;

// What lies beside each payload in dram and flash and says whose bytes they are. Value type.
// payload_crc is made by the putting SDK, or by the server in the pass that copies out of the
// putter's memory, and never recomputed on the way to the getter; the CRC of the header itself
// exists only in the encoded form.
struct BlockHeader {
  BlockKey key;
  BlockHash anchor;            // of the extent
  uint32_t index = 0;          // in the extent, below kExtentBlocksMax
  uint64_t payload_bytes = 0;  // 1 to kBlockBytesMax
  uint32_t payload_crc = 0;    // CRC32C
  Generation generation;       // of the slot that holds the payload
  uint32_t flags = 0;          // none is defined yet; kept as they are

  friend bool operator==(const BlockHeader&, const BlockHeader&) = default;
};

using EncodedBlockHeader = std::array<std::byte, kBlockHeaderBytes>;

// The encoded form, little endian:
//   0 magic u32 | 4 version u16 | 6 bytes of the header u16 | 8 tenant 16 | 24 space 16
//  40 shard u32 | 44 index u32 | 48 payload bytes u64 | 56 generation u64 | 64 payload CRC u32
//  68 flags u32 | 72 hash size u8 | 73 anchor size u8 | 74 zero 2 | 76 hash 32 | 108 anchor 32
// 140 zero 16 | 156 header CRC u32, CRC32C of the bytes 0 to 155
// Precondition: hash and anchor are not empty.
EncodedBlockHeader encode(const BlockHeader& header);

// Reads the first kBlockHeaderBytes of `bytes`, which may be unaligned and may be anything.
// Returns: the header, corrupt when it is short, is no header, fails its CRC or holds a number out
// of range, unsupported for another version.
Result<BlockHeader> decode(std::span<const std::byte> bytes);

}  // namespace tarn::block
