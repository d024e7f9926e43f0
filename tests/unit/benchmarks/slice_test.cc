#include "benchmarks/report/slice.h"

#include <gtest/gtest.h>

namespace tarn::report {
namespace {

Slice slice_of(uint64_t blocks, uint64_t block_bytes, int64_t wall_ns, int64_t cpu_ns) {
  Slice slice;
  slice.blocks = blocks;
  slice.bytes = blocks * block_bytes;
  slice.wall_ns = wall_ns;
  slice.cpu_ns = cpu_ns;
  for (uint64_t i = 0; i < blocks; ++i)
    slice.latency.add(static_cast<uint64_t>(wall_ns) / blocks);
  return slice;
}

TEST(SliceTest, FiguresAreBytesOverTimeAndTimeOverBytes) {
  const Figures figures = figures_of(slice_of(1000, 2'000'000, 500'000'000, 1'000'000'000));
  EXPECT_DOUBLE_EQ(figures.gb_per_s, 4);
  EXPECT_DOUBLE_EQ(figures.cpu_s_per_gb, 0.5);
  EXPECT_NEAR(figures.p50_us, 500, 5);
  EXPECT_NEAR(figures.p99_us, 500, 5);
}

TEST(SliceTest, NothingDoneIsAllZero) {
  const Figures figures = figures_of(Slice());
  EXPECT_EQ(figures.gb_per_s, 0);
  EXPECT_EQ(figures.p50_us, 0);
  EXPECT_EQ(figures.cpu_s_per_gb, 0);
}

TEST(SliceTest, RatiosAreOursOverTheirs) {
  const Figures ratio = ratio_of({3, 20, 40, 0.5}, {4, 10, 20, 0});
  EXPECT_DOUBLE_EQ(ratio.gb_per_s, 0.75);
  EXPECT_DOUBLE_EQ(ratio.p50_us, 2);
  EXPECT_DOUBLE_EQ(ratio.p99_us, 2);
  EXPECT_EQ(ratio.cpu_s_per_gb, 0);
}

TEST(SliceTest, MergingWeighsByTime) {
  Slice fast = slice_of(10, 1'000'000, 1'000'000, 0);
  fast.merge(slice_of(10, 1'000'000, 9'000'000, 0));
  EXPECT_DOUBLE_EQ(figures_of(fast).gb_per_s, 2);
  EXPECT_EQ(fast.latency.count(), 20u);
}

TEST(SliceTest, ItsLineIsReadBack) {
  Slice slice = slice_of(3, 4096, 1234567, 7654321);
  slice.errors = 2;
  const auto again = Slice::from_line(slice.to_line());
  ASSERT_TRUE(again);
  EXPECT_EQ(again->to_line(), slice.to_line());
  EXPECT_EQ(again->errors, 2u);
  EXPECT_EQ(again->cpu_ns, 7654321);
}

TEST(SliceTest, OtherLinesAreRefused) {
  for (const char* const line : {"", "1 2 3 4 5", "1 2 3 4 5 x", "a 2 3 4 5 -", "1 2 3 4 5 - 6"}) {
    EXPECT_FALSE(Slice::from_line(line)) << line;
  }
}

}  // namespace
}  // namespace tarn::report
