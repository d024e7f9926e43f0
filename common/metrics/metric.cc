#include "common/metrics/metric.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "common/base/check.h"

namespace tarn::metrics {
namespace {

size_t bucket_of(int64_t duration_ns) {
  const auto bound = std::lower_bound(kBucketBoundsNs.begin(), kBucketBoundsNs.end(), duration_ns);
  return static_cast<size_t>(bound - kBucketBoundsNs.begin());
}

// Where in bucket `index` the share `within` (0 to 1) of its records lies.
Nanos interpolate(size_t index, double within) {
  TARN_DCHECK(index < kBucketCount);
  if (index == kBucketBoundsNs.size()) return Nanos(kBucketBoundsNs.back());
  const int64_t low = index == 0 ? 0 : kBucketBoundsNs[index - 1];
  const auto width = static_cast<double>(kBucketBoundsNs[index] - low);
  return Nanos(low + std::llround(width * within));
}

}  // namespace

uint64_t HistogramSnapshot::count() const {
  return std::accumulate(counts.begin(), counts.end(), uint64_t{0});
}

Nanos HistogramSnapshot::quantile(double q) const {
  TARN_CHECK(q >= 0 && q <= 1);
  const uint64_t total = count();
  if (total == 0) return Nanos(0);
  const double rank = q * static_cast<double>(total);
  double below = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const auto here = static_cast<double>(counts[i]);
    if (here > 0 && below + here >= rank) return interpolate(i, (rank - below) / here);
    below += here;
  }
  return Nanos(kBucketBoundsNs.back());
}

void Histogram::record(Nanos duration) {
  const int64_t ns = std::max<int64_t>(duration.count(), 0);
  x_counts[bucket_of(ns)].fetch_add(1, std::memory_order_relaxed);
  x_sum_ns.fetch_add(static_cast<uint64_t>(ns), std::memory_order_relaxed);
}

HistogramSnapshot Histogram::snapshot() const {
  HistogramSnapshot out;
  for (size_t i = 0; i < kBucketCount; ++i) {
    out.counts[i] = x_counts[i].load(std::memory_order_relaxed);
  }
  out.sum_ns = x_sum_ns.load(std::memory_order_relaxed);
  return out;
}

}  // namespace tarn::metrics
