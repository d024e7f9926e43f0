#include "common/metrics/latency_recorder.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace tarn::metrics {
namespace {

TEST(LatencyRecorder, is_zero_without_records) {
  const LatencyRecorder recorder;
  EXPECT_EQ(recorder.count(), 0u);
  EXPECT_EQ(recorder.min(), Nanos(0));
  EXPECT_EQ(recorder.max(), Nanos(0));
  EXPECT_EQ(recorder.mean(), Nanos(0));
  EXPECT_EQ(recorder.quantile(0.5), Nanos(0));
}

TEST(LatencyRecorder, is_within_one_percent_for_every_size) {
  for (int64_t ns = 1; ns < kLatencyMax.count() / 3; ns = ns * 3 / 2 + 1) {
    for (const int64_t near : {ns - 1, ns, ns + 1}) {
      LatencyRecorder recorder;
      recorder.record(Nanos(0));
      recorder.record(Nanos(near));
      recorder.record(Nanos(near * 2));
      const auto got = static_cast<double>(recorder.quantile(0.6).count());
      EXPECT_NEAR(got, static_cast<double>(near), static_cast<double>(near) * 0.01) << near;
    }
  }
}

TEST(LatencyRecorder, is_exact_below_128_ns_and_at_the_ends) {
  LatencyRecorder recorder;
  for (int64_t ns = 0; ns < 128; ++ns)
    recorder.record(Nanos(ns));
  recorder.record(Nanos(1'234'567));
  EXPECT_EQ(recorder.quantile(0), Nanos(0));
  EXPECT_EQ(recorder.quantile(64.0 / 129), Nanos(63));
  EXPECT_EQ(recorder.quantile(128.0 / 129), Nanos(127));
  EXPECT_EQ(recorder.quantile(1), Nanos(1'234'567));
  EXPECT_EQ(recorder.min(), Nanos(0));
  EXPECT_EQ(recorder.max(), Nanos(1'234'567));
}

TEST(LatencyRecorder, agrees_with_sorting_on_a_long_tail) {
  std::mt19937_64 random(7);
  std::lognormal_distribution<double> draw(11, 1.5);
  LatencyRecorder recorder;
  std::vector<int64_t> all;
  for (int i = 0; i < 20'000; ++i) {
    all.push_back(std::llround(draw(random)));
    recorder.record(Nanos(all.back()));
  }
  std::sort(all.begin(), all.end());
  for (const double q : {0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const auto rank = static_cast<size_t>(std::ceil(q * static_cast<double>(all.size())));
    const auto want = static_cast<double>(all[rank - 1]);
    EXPECT_NEAR(static_cast<double>(recorder.quantile(q).count()), want, want * 0.01) << q;
  }
}

TEST(LatencyRecorder, merged_is_as_if_recorded_in_one) {
  LatencyRecorder one;
  LatencyRecorder a;
  LatencyRecorder b;
  for (int64_t i = 1; i <= 1000; ++i) {
    one.record(Micros(i));
    (i % 3 == 0 ? a : b).record(Micros(i));
  }
  a.merge(b);
  a.merge(LatencyRecorder());
  EXPECT_EQ(a.count(), 1000u);
  EXPECT_EQ(a.min(), Micros(1));
  EXPECT_EQ(a.max(), Micros(1000));
  EXPECT_EQ(a.mean(), Nanos(500'500));
  for (const double q : {0.0, 0.25, 0.5, 0.99, 1.0})
    EXPECT_EQ(a.quantile(q), one.quantile(q));
}

TEST(LatencyRecorder, counts_what_it_cannot_hold) {
  LatencyRecorder recorder;
  recorder.record(Nanos(-1));
  recorder.record(std::chrono::hours(1));
  EXPECT_EQ(recorder.saturated(), 1u);
  EXPECT_EQ(recorder.min(), Nanos(0));
  EXPECT_EQ(recorder.max(), kLatencyMax);
  EXPECT_EQ(recorder.quantile(1), kLatencyMax);
}

TEST(LatencyRecorder, starts_again_after_reset) {
  LatencyRecorder recorder;
  recorder.record(Micros(5));
  recorder.reset();
  EXPECT_EQ(recorder.count(), 0u);
  recorder.record(Micros(9));
  EXPECT_EQ(recorder.min(), Micros(9));
  EXPECT_EQ(recorder.quantile(0.5), Micros(9));
}

TEST(LatencyRecorderDeathTest, checks_the_share) {
  const LatencyRecorder recorder;
  EXPECT_DEATH((void)recorder.quantile(99), "check failed");
}

}  // namespace
}  // namespace tarn::metrics
