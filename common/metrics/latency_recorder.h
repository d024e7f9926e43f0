#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/base/clock.h"

namespace tarn::metrics {

// Exact enough for a benchmark's tables: keeps every duration from 1 ns to about 18 minutes in
// log-linear buckets (64 to each power of two, as HdrHistogram), so that a quantile is within 1 %
// of the true one. 18 KiB, allocated at construction; a record is a few instructions.
// One-thread: each thread records into its own, and merge() joins them afterwards.
class LatencyRecorder {
 public:
  LatencyRecorder();

  // A negative duration counts as zero; one beyond the limit counts as the limit, and in
  // saturated().
  void record(Nanos duration);
  void merge(const LatencyRecorder& other);
  void reset();

  uint64_t count() const { return x_count; }
  // Records that were too long to keep; a table should say so.
  uint64_t saturated() const { return x_saturated; }
  // Exact. Zero without records.
  Nanos min() const;
  Nanos max() const;
  Nanos mean() const;

  // The smallest duration that at least the share `q` (0 to 1) of the records does not exceed.
  // Zero without records. Precondition: 0 <= q <= 1.
  Nanos quantile(double q) const;

 private:
  std::vector<uint64_t> x_counts;
  uint64_t x_count = 0;
  uint64_t x_saturated = 0;
  int64_t x_min_ns = INT64_MAX;
  int64_t x_max_ns = 0;
  // Of nanoseconds, of up to 2^40 each: double, so that it cannot overflow.
  double x_sum_ns = 0;
};

// The longest duration kept.
inline constexpr Nanos kLatencyMax{(int64_t{1} << 40) - 1};

}  // namespace tarn::metrics
