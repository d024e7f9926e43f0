#include "benchmarks/load/interleave.h"

#include <gtest/gtest.h>

#include <string>

namespace tarn::load {
namespace {

// Does one block in each run and writes down when it was its turn.
class FakeTarget : public Target {
 public:
  FakeTarget(std::string name, std::string* order) : x_name(std::move(name)), x_order(order) {}

  std::string name() const override { return x_name; }
  Expected<report::Slice> run(int64_t millis) override {
    *x_order += x_name;
    x_millis += millis;
    if (x_runs_left == 0) return Error{Outcome::unavailable, x_name + " is gone"};
    --x_runs_left;
    report::Slice slice;
    slice.blocks = 1;
    slice.bytes = 10;
    slice.wall_ns = millis * 1'000'000;
    return slice;
  }

  int64_t x_millis = 0;
  int x_runs_left = 1000;

 private:
  const std::string x_name;
  std::string* const x_order;
};

Plan plan_of(int64_t total_ms) {
  Plan plan;
  plan.total_ms = total_ms;
  plan.slice_ms = 100;
  plan.warm_up_ms = 7;
  return plan;
}

TEST(InterleaveTest, TakesTurnsThereAndBackAfterAWarmUp) {
  std::string order;
  FakeTarget a("a", &order);
  FakeTarget b("b", &order);
  const auto slices = interleave({{&a, 1}, {&b, 1}}, plan_of(600));
  ASSERT_TRUE(slices);
  EXPECT_EQ(order,
            "ab"
            "ab"
            "ba"
            "ab");
  ASSERT_EQ(slices.value().size(), 2u);
  EXPECT_EQ(slices.value()[0].blocks, 3u);
  EXPECT_EQ(slices.value()[0].wall_ns, 300'000'000);
  EXPECT_EQ(a.x_millis, 307);
}

TEST(InterleaveTest, ASmallShareGetsShortSlices) {
  std::string order;
  FakeTarget a("a", &order);
  FakeTarget b("b", &order);
  ASSERT_TRUE(interleave({{&a, 1}, {&b, 0.5}}, plan_of(300)));
  EXPECT_EQ(a.x_millis, 7 + 200);
  EXPECT_EQ(b.x_millis, 7 + 100);
}

TEST(InterleaveTest, AShortTotalIsStillOneRound) {
  std::string order;
  FakeTarget a("a", &order);
  const auto slices = interleave({{&a, 1}}, plan_of(1));
  ASSERT_TRUE(slices);
  EXPECT_EQ(slices.value()[0].blocks, 1u);
}

TEST(InterleaveTest, AnErrorEndsIt) {
  std::string order;
  FakeTarget a("a", &order);
  FakeTarget b("b", &order);
  b.x_runs_left = 2;
  const auto slices = interleave({{&a, 1}, {&b, 1}}, plan_of(1000));
  ASSERT_FALSE(slices);
  EXPECT_EQ(slices.error().message, "b is gone");
  EXPECT_EQ(order, "ababb");
}

}  // namespace
}  // namespace tarn::load
