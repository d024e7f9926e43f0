#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace tarn::flash {

// Which keys were seen lately, in about ten bits each: two Bloom filters, the older of which is
// forgotten when the newer is full. May take a key for seen that was not (1 in 100), never the
// other way round within the last `keys` of them. One-thread.
class SightSketch {
 public:
  // Remembers at least so many keys, at most twice as many.
  explicit SightSketch(uint64_t keys);

  // Whether it was seen; from now on it was.
  bool see(uint64_t print);

  uint64_t memory_bytes() const { return 2 * x_filters[0].size() * sizeof(uint64_t); }

 private:
  using Filter = std::vector<uint64_t>;
  static constexpr uint32_t kBitsPerKey = 10;
  static constexpr uint32_t kProbes = 4;

  bool holds(const Filter& filter, uint64_t print) const;
  void add(Filter& filter, uint64_t print);
  uint64_t bit_of(uint64_t print, uint32_t probe) const;

  const uint64_t x_keys;
  std::array<Filter, 2> x_filters;
  size_t x_newer = 0;
  uint64_t x_added = 0;  // to the newer
};

}  // namespace tarn::flash
