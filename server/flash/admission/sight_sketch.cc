#include "server/flash/admission/sight_sketch.h"

#include <algorithm>

#include "common/base/check.h"

namespace tarn::flash {

SightSketch::SightSketch(uint64_t keys) : x_keys(keys) {
  TARN_CHECK(keys > 0);
  for (Filter& filter : x_filters)
    filter.resize((keys * kBitsPerKey + 63) / 64);
}

uint64_t SightSketch::bit_of(uint64_t print, uint32_t probe) const {
  // Two halves of one hash make as many as are wanted (Kirsch and Mitzenmacher, 2006).
  const uint64_t step = (print >> 32 | print << 32) | 1;
  return (print + probe * step) % (x_filters[0].size() * 64);
}

bool SightSketch::holds(const Filter& filter, uint64_t print) const {
  for (uint32_t probe = 0; probe < kProbes; ++probe) {
    const uint64_t bit = bit_of(print, probe);
    if ((filter[bit / 64] >> (bit % 64) & 1) == 0) return false;
  }
  return true;
}

void SightSketch::add(Filter& filter, uint64_t print) {
  for (uint32_t probe = 0; probe < kProbes; ++probe) {
    const uint64_t bit = bit_of(print, probe);
    filter[bit / 64] |= uint64_t{1} << (bit % 64);
  }
}

bool SightSketch::see(uint64_t print) {
  const bool is_in_newer = holds(x_filters[x_newer], print);
  const bool was_seen = is_in_newer || holds(x_filters[1 - x_newer], print);
  if (is_in_newer) return true;
  if (x_added == x_keys) {
    x_newer = 1 - x_newer;
    std::ranges::fill(x_filters[x_newer], 0);
    x_added = 0;
  }
  add(x_filters[x_newer], print);
  ++x_added;
  return was_seen;
}

}  // namespace tarn::flash
