#include "common/block/checksum.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>

#include "common/base/check.h"
#include "common/block/copy_kernel.h"

namespace tarn::block {
namespace {

// Smaller copies go through the caches, where whoever asked for them finds them.
constexpr size_t kUncachedBytesMin = 16 * 1024;
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

uint32_t crc32c_copy(void* to, const void* from, size_t bytes, uint32_t crc_before) {
  const std::span<std::byte> target(static_cast<std::byte*>(to), bytes);
  const bool is_cached = bytes < kUncachedBytesMin;
  return crc32c_copy_by(is_cached ? CopyKernel::portable : copy_kernel(), target, from, crc_before);
}

uint32_t sample_crc32c(const void* data, size_t bytes) {
  constexpr size_t kLine = 64;
  if (bytes <= kSampleLines * kLine) return crc32c(0, data, bytes);
  const auto* const from = static_cast<const std::byte*>(data);
  std::array<std::byte, kSampleLines * kLine> sample;
  for (size_t i = 0; i < kSampleLines; ++i) {
    const size_t at = (bytes - kLine) * i / (kSampleLines - 1);
    std::memcpy(sample.data() + i * kLine, from + at, kLine);
  }
  return crc32c(0, sample.data(), sample.size());
}

}  // namespace tarn::block
