#include "common/block/checksum.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <cstring>

#include "common/base/check.h"

namespace tarn::block {
namespace {

constexpr size_t kCopyStepBytes = 4096;
// ISA-L counts in int.
constexpr size_t kCallBytesMax = size_t{1} << 30;

// ISA-L leaves out the inversions of the initial value and of the result.
uint32_t raw_crc32c(uint32_t state, const uint8_t* data, size_t bytes) {
  TARN_DCHECK(bytes <= kCallBytesMax);
  return crc32_iscsi(const_cast<uint8_t*>(data), static_cast<int>(bytes), state);
}

}  // namespace

uint32_t crc32c(uint32_t crc_before, const void* data, size_t bytes) {
  TARN_DCHECK(data != nullptr || bytes == 0);
  const auto* from = static_cast<const uint8_t*>(data);
  uint32_t state = ~crc_before;
  while (bytes > 0) {
    const size_t step = std::min(bytes, kCallBytesMax);
    state = raw_crc32c(state, from, step);
    from += step;
    bytes -= step;
  }
  return ~state;
}

uint32_t crc32c_copy(void* to, const void* from, size_t bytes) {
  auto* target = static_cast<uint8_t*>(to);
  const auto* source = static_cast<const uint8_t*>(from);
  TARN_DCHECK(bytes == 0 || target + bytes <= source || source + bytes <= target);
  uint32_t state = ~uint32_t{0};
  while (bytes > 0) {
    const size_t step = std::min(bytes, kCopyStepBytes);
    std::memcpy(target, source, step);
    state = raw_crc32c(state, target, step);
    target += step;
    source += step;
    bytes -= step;
  }
  return ~state;
}

}  // namespace tarn::block
