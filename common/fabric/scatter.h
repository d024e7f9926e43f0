#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "common/fabric/fabric.h"

namespace tarn::fabric {

uint64_t total_bytes(std::span<const Bytes> parts);
uint64_t total_bytes(std::span<const MutableBytes> parts);

// The CRC32C of the bytes of `parts`, in order.
uint32_t crc32c_of(std::span<const MutableBytes> parts);

// Fills a scatter list piece by piece: copies and takes the CRC32C of what was written in one pass
// (block::crc32c_copy). One-thread; lives on the stack of one receive. Does not own the parts.
class ScatterWriter {
 public:
  explicit ScatterWriter(std::span<const MutableBytes> into) : x_into(into) {}

  // Appends `from`; false, with nothing written past the end, when the parts are too small.
  bool write(Bytes from);

  uint32_t crc32c() const { return x_crc32c; }
  uint64_t bytes_written() const { return x_bytes_written; }

 private:
  std::span<const MutableBytes> x_into;
  size_t x_part_index = 0;
  size_t x_part_offset = 0;
  uint64_t x_bytes_written = 0;
  uint32_t x_crc32c = 0;
};

}  // namespace tarn::fabric
