#pragma once

#include <cstdint>
#include <vector>

#include "common/block/key.h"

namespace tarn::micro {

// A 32-byte hash, distinct for each number.
inline block::BlockHash hash_of(uint64_t number) {
  block::BlockHash hash;
  hash.size = 32;
  for (size_t i = 0; i < 32; ++i) {
    const uint64_t word = (number + i / 8 + 1) * 0x9e3779b97f4a7c15;
    hash.bytes[i] = static_cast<uint8_t>(word >> (8 * (i % 8)));
  }
  return hash;
}

inline std::vector<block::BlockHash> hashes_of(uint64_t first, uint32_t count) {
  std::vector<block::BlockHash> hashes;
  for (uint32_t i = 0; i < count; ++i)
    hashes.push_back(hash_of(first + i));
  return hashes;
}

}  // namespace tarn::micro
