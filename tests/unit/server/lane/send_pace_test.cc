// What is known of how fast a connection takes its blocks, and whom that turns away.
#include "server/lane/send_pace.h"

#include <gtest/gtest.h>

#include "common/base/units.h"
#include "tests/unit/server/lane/rig.h"

namespace tarn::lane {
namespace {

using std::chrono::milliseconds;

constexpr Instant kBegin{int64_t{3600} * 1'000'000'000};

// One sample, of 4 MiB in `time`.
void sample(SendPace& pace, Instant& now, Nanos time) {
  pace.on_asked(4 * kMiB, now);
  now = now + time;
  pace.on_sent(4 * kMiB, now);
}

int64_t ms(Nanos time) {
  return (time + milliseconds(1) / 2) / milliseconds(1);
}

TEST(SendPace, KnowsNothingAtFirst) {
  SendPace pace;
  Instant now = kBegin;
  EXPECT_EQ(pace.estimate(kGiB, now), Nanos(0));
  pace.on_asked(kGiB, now);
  EXPECT_EQ(pace.estimate(kGiB, now), Nanos(0)) << "nothing has been sent";
  pace.on_dropped(kGiB);
  sample(pace, now, std::chrono::seconds(2));
  EXPECT_EQ(pace.estimate(kGiB, now), Nanos(0)) << "a first one may have waited for anything";
  sample(pace, now, std::chrono::seconds(2));
  EXPECT_EQ(ms(pace.estimate(4 * kMiB, now)), 2000);
}

TEST(SendPace, EstimatesByWhatWasSentAndCountsWhatIsOwed) {
  SendPace pace;
  Instant now = kBegin;
  sample(pace, now, milliseconds(40));
  sample(pace, now, milliseconds(40));  // 100 MiB/s
  EXPECT_EQ(ms(pace.estimate(6 * kMiB, now)), 60);
  pace.on_asked(4 * kMiB, now);
  EXPECT_EQ(ms(pace.estimate(0, now)), 40);
  EXPECT_EQ(ms(pace.estimate(6 * kMiB, now)), 100);
  pace.on_dropped(4 * kMiB);
  EXPECT_EQ(ms(pace.estimate(6 * kMiB, now)), 60);
}

TEST(SendPace, TimeInWhichNothingIsOwedDoesNotCount) {
  SendPace pace;
  Instant now = kBegin;
  for (int i = 0; i < 10; ++i) {
    pace.on_asked(2 * kMiB, now);
    now = now + milliseconds(20);
    pace.on_sent(2 * kMiB, now);
    now = now + std::chrono::seconds(4);
  }
  EXPECT_EQ(ms(pace.estimate(10 * kMiB, now)), 100);
}

TEST(SendPace, IsForgottenWhenNothingIsSentForLong) {
  SendPace pace;
  Instant now = kBegin;
  for (int i = 0; i < 4; ++i)
    sample(pace, now, milliseconds(400));
  now = now + std::chrono::seconds(6);
  EXPECT_EQ(pace.estimate(kGiB, now), Nanos(0));
  sample(pace, now, milliseconds(4));
  EXPECT_EQ(pace.estimate(kGiB, now), Nanos(0)) << "as at first";
  sample(pace, now, milliseconds(4));
  EXPECT_EQ(ms(pace.estimate(4 * kMiB, now)), 4);
}

TEST(SendPace, FollowsAChangeAndDoubtsItself) {
  SendPace pace;
  Instant now = kBegin;
  for (int i = 0; i < 2; ++i)
    sample(pace, now, milliseconds(400));
  EXPECT_EQ(ms(pace.estimate(4 * kMiB, now)), 400);
  for (int i = 0; i < 20; ++i)
    sample(pace, now, milliseconds(4));
  EXPECT_LE(ms(pace.estimate(4 * kMiB, now)), 5);
  for (int i = 0; i < 30; ++i)
    sample(pace, now, milliseconds(400));
  const Nanos before = pace.estimate(kGiB, now);
  EXPECT_GT(before, std::chrono::seconds(90));
  for (int i = 0; i < 7; ++i)
    pace.doubt();
  EXPECT_LT(pace.estimate(kGiB, now), before / 100)
      << "who is turned away again and again is let in";
}

// Small blocks one by one tell of delay, not of pace.
TEST(SendPace, LittleAtATimeIsNoSample) {
  SendPace pace;
  Instant now = kBegin;
  for (int i = 0; i < 100; ++i) {
    pace.on_asked(64 * kKiB, now);
    now = now + milliseconds(100);
    pace.on_sent(64 * kKiB, now);
  }
  EXPECT_EQ(pace.estimate(kGiB, now), Nanos(0));
}

class EarlyRefusal : public testing::Test {
 protected:
  void SetUp() override { x_lane.set_config(make_config(1, 1)); }

  // 1 MiB in each 10 ms, of a client that reads no faster.
  void read_slowly(size_t blocks) {
    for (size_t i = 0; i < blocks; ++i) {
      bool ended = false;
      fabric::GetOp op;
      begin(op, std::chrono::seconds(10), ended);
      x_lane.turn();
      x_clock.advance(milliseconds(10));
      EXPECT_TRUE(x_client.until([&] { return ended; }));
      EXPECT_EQ(x_target.code, Code::ok);
    }
  }
  void begin(fabric::GetOp& op, Nanos time, bool& ended) {
    x_target = {};
    x_target.hash = test_hash(1);
    x_part = x_memory;
    x_target.into = std::span(&x_part, 1);
    op.head.space = x_client.request_of({}).head.space;
    op.deadline = x_clock.now() + time;
    op.targets = std::span(&x_target, 1);
    op.on_block = [](fabric::GetOp&, size_t) {};
    op.on_end = [&ended](fabric::LinkOp&) { ended = true; };
    ASSERT_TRUE(x_client.link->submit(op).is_ok());
  }

  fabric::LoopHub x_hub;
  ManualClock x_clock;
  LaneRig x_lane{x_hub, x_clock, "s1"};
  ClientRig x_client{x_hub, x_lane, {}};
  std::vector<std::byte> x_memory = std::vector<std::byte>(kMiB);
  fabric::MutableBytes x_part;
  fabric::GetTarget x_target;
};

TEST_F(EarlyRefusal, WhatCannotBeThereInTimeIsRefusedWithTheEstimate) {
  ASSERT_EQ(x_client.put({.hash = 1, .bytes = kMiB}), Code::ok);
  read_slowly(4);
  bool ended = false;
  fabric::GetOp op;
  begin(op, milliseconds(2), ended);
  EXPECT_TRUE(x_client.until([&] { return ended; }));
  EXPECT_EQ(x_target.code, Code::overloaded);
  EXPECT_EQ(wire::view(op.message), "the answer would take 10 ms, and 2 ms are left");
  EXPECT_EQ(x_lane.refused("overloaded"), 1u);
}

TEST_F(EarlyRefusal, WhoIsRefusedAgainAndAgainIsLetIn) {
  ASSERT_EQ(x_client.put({.hash = 1, .bytes = kMiB}), Code::ok);
  read_slowly(4);
  int tries = 0;
  do {
    bool ended = false;
    fabric::GetOp op;
    begin(op, milliseconds(2), ended);
    ASSERT_TRUE(x_client.until([&] { return ended; }));
    ++tries;
  } while (x_target.code == Code::overloaded && tries < 10);
  EXPECT_EQ(x_target.code, Code::ok);
  EXPECT_EQ(tries, 4) << "5 ms, 2.5 ms, 1.25 ms";
}

// What is not there, or not sent, takes no time.
TEST_F(EarlyRefusal, IsNotForMissesNorForWhatDoesNotFit) {
  ASSERT_EQ(x_client.put({.hash = 1, .bytes = kMiB}), Code::ok);
  read_slowly(4);
  x_memory.resize(kMiB / 2);
  bool ended = false;
  fabric::GetOp small;
  begin(small, milliseconds(2), ended);
  EXPECT_TRUE(x_client.until([&] { return ended; }));
  EXPECT_EQ(x_target.code, Code::invalid_argument);
  ASSERT_EQ(x_client.remove({.hash = 1}), Code::ok);
  ended = false;
  fabric::GetOp miss;
  begin(miss, milliseconds(2), ended);
  EXPECT_TRUE(x_client.until([&] { return ended; }));
  EXPECT_EQ(x_target.code, Code::not_found);
}

TEST_F(EarlyRefusal, IsNotForWhoHasTimeNorForTheUnknown) {
  ASSERT_EQ(x_client.put({.hash = 1, .bytes = kMiB}), Code::ok);
  bool ended = false;
  fabric::GetOp first;
  begin(first, milliseconds(2), ended);
  EXPECT_TRUE(x_client.until([&] { return ended; }));
  EXPECT_EQ(x_target.code, Code::ok) << "nothing is known yet";
  read_slowly(4);
  ended = false;
  fabric::GetOp second;
  begin(second, milliseconds(30), ended);
  EXPECT_TRUE(x_client.until([&] { return ended; }));
  EXPECT_EQ(x_target.code, Code::ok);
}

}  // namespace
}  // namespace tarn::lane
