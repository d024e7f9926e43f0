#include "common/block/crc_combine.h"

#include "common/base/check.h"
#include "common/block/checksum.h"

namespace tarn::block {
namespace {

constexpr uint32_t kOne = uint32_t{1} << 31;

// a * b modulo the polynomial.
constexpr uint32_t multiply(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (uint32_t bit = kOne; bit != 0; bit >>= 1) {
    if ((a & bit) != 0) product ^= b;
    b = (b & 1) != 0 ? (b >> 1) ^ kCastagnoli : b >> 1;
  }
  return product;
}

// x^(8 * bytes), by squaring.
uint32_t shift_of(uint64_t bytes) {
  uint32_t power = kOne >> 8;
  uint32_t shift = kOne;
  for (; bytes != 0; bytes >>= 1) {
    if ((bytes & 1) != 0) shift = multiply(power, shift);
    power = multiply(power, power);
  }
  TARN_DCHECK(shift != 0);
  return shift;
}

static_assert(multiply(kOne, 0xdeadbeef) == 0xdeadbeef);

}  // namespace

CrcJoin::CrcJoin(uint64_t bytes) : x_shift(shift_of(bytes)) {}

uint32_t CrcJoin::operator()(uint32_t crc_before, uint32_t crc_appended) const {
  return multiply(x_shift, crc_before) ^ crc_appended;
}

}  // namespace tarn::block
