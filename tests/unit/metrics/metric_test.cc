#include "common/metrics/metric.h"

#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace tarn::metrics {
namespace {

TEST(Counter, rises) {
  Counter counter;
  counter.add();
  counter.add(41);
  EXPECT_EQ(counter.value(), 42u);
}

TEST(Gauge, rises_and_falls) {
  Gauge gauge;
  gauge.set(1.5);
  gauge.add(2);
  gauge.add(-3);
  EXPECT_DOUBLE_EQ(gauge.value(), 0.5);
}

TEST(Metric, stands_on_cache_lines_of_its_own) {
  EXPECT_EQ(sizeof(Counter), kCacheLineBytes);
  EXPECT_EQ(sizeof(Gauge), kCacheLineBytes);
  EXPECT_EQ(alignof(Histogram), kCacheLineBytes);
}

TEST(Metric, loses_nothing_between_threads) {
  constexpr int kThreads = 4;
  constexpr int kTimes = 10'000;
  Counter counter;
  Gauge gauge;
  Histogram histogram;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < kTimes; ++n) {
        counter.add();
        gauge.add(1);
        histogram.record(Micros(n));
      }
    });
  }
  for (std::thread& thread : threads)
    thread.join();
  EXPECT_EQ(counter.value(), uint64_t{kThreads} * kTimes);
  EXPECT_DOUBLE_EQ(gauge.value(), double{kThreads} * kTimes);
  EXPECT_EQ(histogram.snapshot().count(), uint64_t{kThreads} * kTimes);
}

TEST(Histogram, has_bounds_from_1_us_to_10_s_in_steps_of_at_most_two_and_a_half) {
  EXPECT_EQ(Nanos(kBucketBoundsNs.front()), Micros(1));
  EXPECT_EQ(Nanos(kBucketBoundsNs.back()), std::chrono::seconds(10));
  for (size_t i = 1; i < kBucketBoundsNs.size(); ++i) {
    EXPECT_GE(kBucketBoundsNs[i], 2 * kBucketBoundsNs[i - 1]);
    EXPECT_LE(2 * kBucketBoundsNs[i], 5 * kBucketBoundsNs[i - 1]);
  }
}

TEST(Histogram, puts_a_duration_under_the_first_bound_that_is_not_below_it) {
  Histogram histogram;
  histogram.record(Nanos(-5));
  histogram.record(Nanos(1'000));
  histogram.record(Nanos(1'001));
  histogram.record(std::chrono::seconds(10));
  histogram.record(std::chrono::hours(1));
  const HistogramSnapshot snapshot = histogram.snapshot();
  EXPECT_EQ(snapshot.counts[0], 2u);
  EXPECT_EQ(snapshot.counts[1], 1u);
  EXPECT_EQ(snapshot.counts[kBucketCount - 2], 1u);
  EXPECT_EQ(snapshot.counts[kBucketCount - 1], 1u);
  EXPECT_EQ(snapshot.sum_ns, 3'610'000'002'001u);
}

TEST(Histogram, estimates_quantiles_inside_their_bucket) {
  Histogram histogram;
  EXPECT_EQ(histogram.quantile(0.99), Nanos(0));
  for (int us = 1; us <= 1000; ++us)
    histogram.record(Micros(us));
  EXPECT_NEAR(static_cast<double>(histogram.quantile(0.5).count()), 500e3, 5e3);
  EXPECT_NEAR(static_cast<double>(histogram.quantile(0.99).count()), 990e3, 10e3);
  EXPECT_EQ(histogram.quantile(1), Micros(1000));
  EXPECT_EQ(histogram.quantile(0), Nanos(0));
}

TEST(Histogram, says_10_s_for_what_is_longer) {
  Histogram histogram;
  histogram.record(std::chrono::hours(1));
  EXPECT_EQ(histogram.quantile(0.5), std::chrono::seconds(10));
}

TEST(HistogramDeathTest, checks_the_share) {
  Histogram histogram;
  EXPECT_DEATH((void)histogram.quantile(99), "check failed");
}

}  // namespace
}  // namespace tarn::metrics
