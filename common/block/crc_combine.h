#pragma once

#include <cstdint>

namespace tarn::block {

// Joins CRC32C values of runs of bytes: with a = crc32c(0, A) and b = crc32c(0, B) of `bytes`
// bytes, join(a, b) is the CRC of A then B. To join over the same size again costs some 30 steps,
// however large it is. Immutable. Follows the polynomial arithmetic of zlib's crc32_combine.
class CrcJoin {
 public:
  // `bytes`: of what is appended.
  explicit CrcJoin(uint64_t bytes);

  uint32_t operator()(uint32_t crc_before, uint32_t crc_appended) const;

 private:
  uint32_t x_shift;  // x to the power of 8 * bytes, modulo the polynomial
};

}  // namespace tarn::block
