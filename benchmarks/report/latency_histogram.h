#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tarn::report {

// How often each latency was seen, in buckets that are 1/128 of a power of two wide: quantiles are
// right within 0.8 %. One-thread. Takes up to 2^40 ns (18 minutes); more counts as that.
class LatencyHistogram {
 public:
  LatencyHistogram();

  void add(uint64_t latency_ns);
  void merge(const LatencyHistogram& other);

  uint64_t count() const { return x_count; }
  // The middle of the bucket in which the quantile lies, 0 when nothing was added.
  // Precondition: 0 <= quantile <= 1.
  double quantile_us(double quantile) const;

  // "bucket:count,bucket:count", and back; "-" when empty. nullopt for any other text.
  std::string to_text() const;
  static std::optional<LatencyHistogram> from_text(std::string_view text);

 private:
  std::vector<uint64_t> x_buckets;
  uint64_t x_count = 0;
};

}  // namespace tarn::report
