#pragma once

#include <cstdint>

#include "common/base/ids.h"

namespace tarn::index {

// The ring in equal parts: the top bits of a position. Rows of one part lie together, so that a
// part is resynced, or written to a snapshot, without looking at the others.
inline constexpr uint32_t kRangeBits = 6;
inline constexpr uint32_t kRanges = 1u << kRangeBits;

constexpr uint32_t range_of(Position position) {
  return static_cast<uint32_t>(position.value >> (64 - kRangeBits));
}

// Names a row, or with an index one block of it, in 32 bits: range, number in the range, index.
struct RowRef {
  static constexpr uint32_t kIndexBits = 6;
  static constexpr uint32_t kNumberBits = 32 - kRangeBits - kIndexBits;
  static constexpr uint32_t kNumbers = 1u << kNumberBits;

  uint32_t value = 0;

  static RowRef of(uint32_t range, uint32_t number) {
    return {range << (kNumberBits + kIndexBits) | number << kIndexBits};
  }
  RowRef at(uint32_t index) const { return {row() << kIndexBits | index}; }
  uint32_t row() const { return value >> kIndexBits; }
  uint32_t range() const { return value >> (kNumberBits + kIndexBits); }
  uint32_t number() const { return row() & (kNumbers - 1); }
  uint32_t index() const { return value & ((1u << kIndexBits) - 1); }
};

}  // namespace tarn::index
