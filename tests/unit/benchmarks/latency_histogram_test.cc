#include "benchmarks/report/latency_histogram.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace tarn::report {
namespace {

TEST(LatencyHistogramTest, EmptyHasNoLatency) {
  const LatencyHistogram histogram;
  EXPECT_EQ(histogram.count(), 0u);
  EXPECT_EQ(histogram.quantile_us(0.5), 0);
  EXPECT_EQ(histogram.to_text(), "-");
  EXPECT_EQ(LatencyHistogram::from_text("-")->count(), 0u);
}

TEST(LatencyHistogramTest, QuantilesAreRightWithinOnePercent) {
  std::mt19937_64 random(7);
  std::lognormal_distribution<double> latency_ns(13, 2);
  std::vector<double> exact;
  LatencyHistogram histogram;
  for (int i = 0; i < 100'000; ++i) {
    const double ns = std::min(latency_ns(random), 1e12);
    exact.push_back(ns);
    histogram.add(static_cast<uint64_t>(ns));
  }
  std::sort(exact.begin(), exact.end());
  for (const double quantile : {0.01, 0.5, 0.9, 0.99, 0.999}) {
    const double want_us = exact[static_cast<size_t>(quantile * 100'000) - 1] / 1e3;
    EXPECT_NEAR(histogram.quantile_us(quantile) / want_us, 1, 0.01) << quantile;
  }
}

TEST(LatencyHistogramTest, TheEndsOfTheRangeAreInIt) {
  LatencyHistogram histogram;
  histogram.add(0);
  EXPECT_EQ(histogram.quantile_us(1), 0);
  histogram.add(UINT64_MAX);
  EXPECT_NEAR(histogram.quantile_us(1) * 1e3 / static_cast<double>(uint64_t{1} << 40), 1, 0.01);
}

TEST(LatencyHistogramTest, EachPowerOfTwoFallsIntoItsOwnBucket) {
  for (int power = 0; power < 40; ++power) {
    LatencyHistogram histogram;
    histogram.add(uint64_t{1} << power);
    const double want_us = static_cast<double>(uint64_t{1} << power) / 1e3;
    EXPECT_NEAR(histogram.quantile_us(0.5) / want_us, 1, 0.01) << power;
  }
}

TEST(LatencyHistogramTest, MergeIsAddingAll) {
  LatencyHistogram low;
  LatencyHistogram high;
  for (int i = 0; i < 10; ++i)
    low.add(1000);
  for (int i = 0; i < 30; ++i)
    high.add(5000);
  low.merge(high);
  EXPECT_EQ(low.count(), 40u);
  EXPECT_NEAR(low.quantile_us(0.25), 1, 0.01);
  EXPECT_NEAR(low.quantile_us(0.26), 5, 0.05);
}

TEST(LatencyHistogramTest, ItsTextIsReadBack) {
  LatencyHistogram histogram;
  for (uint64_t i = 1; i < 1000; ++i)
    histogram.add(i * i * 37);
  const auto again = LatencyHistogram::from_text(histogram.to_text());
  ASSERT_TRUE(again);
  EXPECT_EQ(again->count(), 999u);
  EXPECT_EQ(again->to_text(), histogram.to_text());
}

TEST(LatencyHistogramTest, OtherTextIsRefused) {
  for (const char* const text : {"", ",", "1", "1:", "1:2,", ":2", "1:2;3:4", "999999:1", "1:x",
                                 "-1:1", "1:2 ", "99999999999999999999999:1"}) {
    EXPECT_FALSE(LatencyHistogram::from_text(text)) << text;
  }
}

}  // namespace
}  // namespace tarn::report
