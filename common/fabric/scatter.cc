#include "common/fabric/scatter.h"

#include <algorithm>

#include "common/base/check.h"
#include "common/block/checksum.h"

namespace tarn::fabric {
namespace {

template <typename Part>
uint64_t sum_of_sizes(std::span<const Part> parts) {
  uint64_t sum = 0;
  for (const Part& part : parts)
    sum += part.size();
  return sum;
}

}  // namespace

uint64_t total_bytes(std::span<const Bytes> parts) {
  return sum_of_sizes(parts);
}

uint64_t total_bytes(std::span<const MutableBytes> parts) {
  return sum_of_sizes(parts);
}

uint32_t crc32c_of(std::span<const MutableBytes> parts) {
  uint32_t crc = 0;
  for (const MutableBytes& part : parts)
    crc = block::crc32c(crc, part.data(), part.size());
  return crc;
}

bool ScatterWriter::write(Bytes from) {
  while (!from.empty()) {
    while (x_part_index < x_into.size() && x_part_offset == x_into[x_part_index].size()) {
      ++x_part_index;
      x_part_offset = 0;
    }
    if (x_part_index == x_into.size()) return false;
    const MutableBytes part = x_into[x_part_index];
    TARN_DCHECK(x_part_offset < part.size());
    const size_t step = std::min(from.size(), part.size() - x_part_offset);
    x_crc32c = block::crc32c_copy(part.data() + x_part_offset, from.data(), step, x_crc32c);
    x_part_offset += step;
    x_bytes_written += step;
    from = from.subspan(step);
  }
  return true;
}

}  // namespace tarn::fabric
