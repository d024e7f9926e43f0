#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "common/base/clock.h"

// The numbers themselves. All are thread-safe and lock-free, allocate nothing, and use relaxed
// atomics: each number is right by itself, two of them read together may be an update apart.
// Each stands on cache lines of its own; where several lanes count the same thing often, give each
// its own series (label `lane`).
namespace tarn::metrics {

inline constexpr size_t kCacheLineBytes = 64;

// Only rises.
class alignas(kCacheLineBytes) Counter {
 public:
  void add(uint64_t by = 1) { x_value.fetch_add(by, std::memory_order_relaxed); }
  uint64_t value() const { return x_value.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> x_value = 0;
};

// Rises and falls.
class alignas(kCacheLineBytes) Gauge {
 public:
  void set(double value) { x_value.store(value, std::memory_order_relaxed); }
  void add(double by) { x_value.fetch_add(by, std::memory_order_relaxed); }
  double value() const { return x_value.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> x_value = 0;
};

// Upper bounds of a histogram's buckets: 1, 2 and 5 times each power of ten, from 1 us to 10 s.
// What is longer falls in one more bucket.
inline constexpr std::array<int64_t, 22> kBucketBoundsNs = {
    1'000,         2'000,         5'000,         10'000,         20'000,      50'000,
    100'000,       200'000,       500'000,       1'000'000,      2'000'000,   5'000'000,
    10'000'000,    20'000'000,    50'000'000,    100'000'000,    200'000'000, 500'000'000,
    1'000'000'000, 2'000'000'000, 5'000'000'000, 10'000'000'000,
};
inline constexpr size_t kBucketCount = kBucketBoundsNs.size() + 1;

// What a Histogram held at one moment.
struct HistogramSnapshot {
  std::array<uint64_t, kBucketCount> counts{};
  uint64_t sum_ns = 0;

  uint64_t count() const;
  // The duration below which the share `q` (0 to 1) of the records lies, taken evenly spread inside
  // its bucket: right to the bucket, so within a factor of 2.5. Zero without records; 10 s for what
  // is longer.
  Nanos quantile(double q) const;
};

// A distribution of durations. A record is a search among 22 bounds and two additions.
class alignas(kCacheLineBytes) Histogram {
 public:
  // A negative duration counts as zero.
  void record(Nanos duration);

  HistogramSnapshot snapshot() const;
  Nanos quantile(double q) const { return snapshot().quantile(q); }

 private:
  std::array<std::atomic<uint64_t>, kBucketCount> x_counts{};
  std::atomic<uint64_t> x_sum_ns = 0;
};

}  // namespace tarn::metrics
