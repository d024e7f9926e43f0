#include "common/metrics/latency_recorder.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "common/base/check.h"

namespace tarn::metrics {
namespace {

// Durations below 64 ns have a bucket each. From there, durations of the same bit width share 64
// buckets: the six bits after the leading one say which.
constexpr int kSubBits = 6;
constexpr uint64_t kSubBuckets = 1 << kSubBits;
constexpr int kMaxBits = 40;
constexpr size_t kBuckets = (kMaxBits - kSubBits + 1) * kSubBuckets;

size_t bucket_of(uint64_t ns) {
  if (ns < kSubBuckets) return ns;
  const int shift = static_cast<int>(std::bit_width(ns)) - kSubBits - 1;
  return static_cast<size_t>(shift) * kSubBuckets + (ns >> shift);
}

// The middle of a bucket, half a bucket's width from its farthest member: 0.8 % at most.
int64_t middle_of(size_t bucket) {
  if (bucket < 2 * kSubBuckets) return static_cast<int64_t>(bucket);
  const size_t shift = bucket / kSubBuckets - 1;
  const uint64_t low = (bucket - shift * kSubBuckets) << shift;
  return static_cast<int64_t>(low + ((uint64_t{1} << shift) >> 1));
}

}  // namespace

LatencyRecorder::LatencyRecorder() : x_counts(kBuckets) {}

void LatencyRecorder::record(Nanos duration) {
  const int64_t ns = std::clamp<int64_t>(duration.count(), 0, kLatencyMax.count());
  const size_t bucket = bucket_of(static_cast<uint64_t>(ns));
  TARN_DCHECK(bucket < kBuckets);
  ++x_counts[bucket];
  ++x_count;
  if (duration > kLatencyMax) ++x_saturated;
  x_min_ns = std::min(x_min_ns, ns);
  x_max_ns = std::max(x_max_ns, ns);
  x_sum_ns += static_cast<double>(ns);
}

void LatencyRecorder::merge(const LatencyRecorder& other) {
  TARN_CHECK(x_counts.size() == other.x_counts.size());
  for (size_t i = 0; i < x_counts.size(); ++i)
    x_counts[i] += other.x_counts[i];
  x_count += other.x_count;
  x_saturated += other.x_saturated;
  x_min_ns = std::min(x_min_ns, other.x_min_ns);
  x_max_ns = std::max(x_max_ns, other.x_max_ns);
  x_sum_ns += other.x_sum_ns;
}

void LatencyRecorder::reset() {
  *this = LatencyRecorder();
}

Nanos LatencyRecorder::min() const {
  return Nanos(x_count == 0 ? 0 : x_min_ns);
}

Nanos LatencyRecorder::max() const {
  return Nanos(x_max_ns);
}

Nanos LatencyRecorder::mean() const {
  return Nanos(x_count == 0 ? 0 : std::llround(x_sum_ns / static_cast<double>(x_count)));
}

Nanos LatencyRecorder::quantile(double q) const {
  TARN_CHECK(q >= 0 && q <= 1);
  if (x_count == 0) return Nanos(0);
  const auto rank = static_cast<uint64_t>(std::ceil(q * static_cast<double>(x_count)));
  if (rank >= x_count) return Nanos(x_max_ns);
  uint64_t seen = 0;
  for (size_t i = 0; i < x_counts.size(); ++i) {
    seen += x_counts[i];
    // The ends are known exactly, and a bucket's middle may lie beyond them.
    if (x_counts[i] > 0 && seen >= rank) {
      return Nanos(std::clamp(middle_of(i), x_min_ns, x_max_ns));
    }
  }
  return Nanos(x_max_ns);
}

}  // namespace tarn::metrics
