#include "common/base/clock.h"

#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <ctime>
#include <thread>
#include <vector>

namespace tarn {
namespace {

TEST(Instant, is_arithmetic_on_one_line) {
  const Instant start{1'000'000'000};
  EXPECT_EQ(start + Millis(2), Instant{1'002'000'000});
  EXPECT_EQ(start - Micros(3), Instant{999'997'000});
  EXPECT_EQ((start + Nanos(5)) - start, Nanos(5));
  EXPECT_EQ(start - (start + Nanos(5)), Nanos(-5));
  EXPECT_LT(start, start + Nanos(1));
}

TEST(Instant, never_comes_after_all_others) {
  EXPECT_GT(kNever, system_clock().now() + std::chrono::hours(24 * 365 * 100));
}

TEST(SystemClock, is_one_and_never_goes_back) {
  EXPECT_EQ(&system_clock(), &system_clock());
  Instant last = system_clock().now();
  for (int i = 0; i < 10'000; ++i) {
    const Instant now = system_clock().now();
    ASSERT_GE(now, last);
    last = now;
  }
}

TEST(SystemClock, tells_the_date_in_unix_milliseconds) {
  const int64_t before = int64_t{std::time(nullptr)} * 1000;
  const int64_t now = system_clock().unix_ms();
  const int64_t after = int64_t{std::time(nullptr)} * 1000;
  EXPECT_GE(now, before - 1000) << "time() may lag a tick";
  EXPECT_LE(now, after + 1999);
}

TEST(ManualClock, starts_far_enough_from_zero_for_any_timeout) {
  const ManualClock clock;
  EXPECT_GT((clock.now() - std::chrono::hours(24)).ns, 0);
  EXPECT_GT(clock.unix_ms(), 0);
}

TEST(ManualClock, carries_nanoseconds_over_to_the_date) {
  ManualClock clock;
  const int64_t start_ms = clock.unix_ms();
  clock.advance(Nanos(999'999));
  EXPECT_EQ(clock.unix_ms(), start_ms);
  clock.advance(Nanos(1));
  EXPECT_EQ(clock.unix_ms(), start_ms + 1);
  clock.advance(Nanos(0));
  EXPECT_EQ(clock.unix_ms(), start_ms + 1);
}

TEST(ManualClock, loses_no_step_between_threads_and_is_never_seen_to_go_back) {
  constexpr int kWriters = 3;
  constexpr int kSteps = 2000;
  ManualClock clock;
  const Instant start = clock.now();
  std::atomic<int> running = kWriters;
  std::barrier begin(kWriters + 1);
  std::vector<std::thread> writers;
  for (int i = 0; i < kWriters; ++i) {
    writers.emplace_back([&] {
      begin.arrive_and_wait();
      for (int n = 0; n < kSteps; ++n)
        clock.advance(Nanos(7));
      --running;
    });
  }
  begin.arrive_and_wait();
  for (Instant last = start; running > 0;) {
    const Instant now = clock.now();
    ASSERT_GE(now, last);
    last = now;
  }
  for (std::thread& writer : writers)
    writer.join();
  EXPECT_EQ(clock.now() - start, Nanos(7 * kWriters * kSteps));
}

TEST(ManualClockDeathTest, cannot_be_turned_back) {
  ManualClock clock;
  EXPECT_DEATH(clock.advance(Nanos(-1)), "check failed");
}

}  // namespace
}  // namespace tarn
