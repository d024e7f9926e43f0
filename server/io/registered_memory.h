#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "common/base/result.h"

namespace tarn::io {

// Which ranges of memory the kernel knows, and under which numbers. One-thread.
class RegisteredMemory {
 public:
  explicit RegisteredMemory(uint32_t ranges_max);

  // Returns: the number for a new range, invalid_argument (it overlaps another, or is empty),
  // overloaded (no number is free).
  Result<uint32_t> add(std::span<std::byte> memory);
  // Precondition: added, with this size. Returns its number.
  uint32_t remove(std::span<std::byte> memory);

  // The number of the range that holds all of these bytes; negative for none.
  int find(const std::byte* memory, uint64_t bytes) const;
  size_t size() const { return x_ranges.size(); }

 private:
  struct Range {
    uint64_t bytes;
    uint32_t number;
  };

  std::map<uintptr_t, Range> x_ranges;  // by address
  std::vector<uint32_t> x_free;
};

}  // namespace tarn::io
