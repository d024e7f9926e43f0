#include <gtest/gtest.h>

#include <cstdlib>

#include "common/base/clock.h"
#include "common/base/fault_point.h"
#include "common/base/ids.h"
#include "common/base/result.h"
#include "common/base/units.h"

namespace tarn {
namespace {

Result<int> half(int n) {
  if (n % 2 != 0) return invalid_argument("n is odd");
  return n / 2;
}

Result<int> quarter(int n) {
  TARN_ASSIGN_OR_RETURN(const int h, half(n));
  return half(h);
}

TEST(Status, names_every_code_and_carries_its_message) {
  for (int i = 0; i < kCodeCount; ++i)
    EXPECT_NE(code_name(static_cast<Code>(i)), "unknown");
  EXPECT_EQ(code_name(static_cast<Code>(200)), "unknown");
  EXPECT_EQ(not_found("no session s-1").to_string(), "not_found: no session s-1");
  EXPECT_TRUE(Status::ok().is_ok());
  EXPECT_TRUE(is_retryable(Code::overloaded));
  EXPECT_FALSE(is_retryable(Code::invalid_argument));
}

TEST(Result, carries_a_value_or_the_first_error) {
  EXPECT_EQ(quarter(8).value(), 2);
  EXPECT_EQ(quarter(6).error().code(), Code::invalid_argument);
  EXPECT_EQ(quarter(7).value_or(-1), -1);
  EXPECT_TRUE(quarter(4).status().is_ok());
}

TEST(ResultDeathTest, reading_a_missing_value_ends_the_process) {
  EXPECT_DEATH((void)half(3).value(), "check failed");
}

TEST(Hex, round_trips_and_refuses_what_is_not_hexadecimal) {
  const std::string bytes("\x00\x7f\xff", 3);
  EXPECT_EQ(to_hex(bytes), "007fff");
  EXPECT_EQ(from_hex("007FfF"), bytes);
  EXPECT_EQ(from_hex("abc"), "");
  EXPECT_EQ(from_hex("zz"), "");
}

TEST(Clock, manual_time_moves_only_when_told) {
  ManualClock clock;
  const Instant start = clock.now();
  const int64_t unix_start = clock.unix_ms();
  EXPECT_EQ(clock.now(), start);
  clock.advance(Millis(5));
  EXPECT_EQ(clock.now() - start, Nanos(Millis(5)));
  EXPECT_EQ(clock.unix_ms() - unix_start, 5);
  EXPECT_LT(clock.now(), kNever);
}

class FaultPoint : public ::testing::Test {
 protected:
  void TearDown() override {
    fault::disarm_all();
    ::unsetenv("TARN_FAULTS");
  }
};

TEST_F(FaultPoint, is_silent_until_armed) {
  EXPECT_FALSE(TARN_FAULT_POINT("test.point"));
}

TEST_F(FaultPoint, skips_then_fails_the_times_it_was_told) {
  fault::arm("test.point", {.action = fault::Action::fail, .skip = 1, .times = 2});
  EXPECT_FALSE(TARN_FAULT_POINT("test.point"));
  EXPECT_TRUE(TARN_FAULT_POINT("test.point"));
  EXPECT_TRUE(TARN_FAULT_POINT("test.point"));
  EXPECT_FALSE(TARN_FAULT_POINT("test.point"));
  EXPECT_EQ(fault::hits("test.point"), 4u);
  EXPECT_FALSE(TARN_FAULT_POINT("test.other"));
}

TEST_F(FaultPoint, reads_the_environment_and_names_what_it_does_not_understand) {
  ::setenv("TARN_FAULTS", "a.b=fail:0:0,c.d=hang:2:1:10", 1);
  EXPECT_TRUE(fault::arm_from_environment().is_ok());
  EXPECT_TRUE(TARN_FAULT_POINT("a.b"));
  EXPECT_TRUE(TARN_FAULT_POINT("a.b"));
  ::setenv("TARN_FAULTS", "a.b=explode", 1);
  const Status status = fault::arm_from_environment();
  EXPECT_EQ(status.code(), Code::invalid_argument);
  EXPECT_NE(status.message().find("a.b=explode"), std::string::npos);
}

TEST(Units, rounds_up_to_a_step) {
  EXPECT_EQ(round_up(1, kPayloadAlignBytes), 4096u);
  EXPECT_EQ(round_up(4096, kPayloadAlignBytes), 4096u);
}

}  // namespace
}  // namespace tarn
