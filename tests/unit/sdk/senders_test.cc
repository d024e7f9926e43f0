// Whose turn it is to send: places, turns, the line, and what a stall costs.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <random>
#include <set>
#include <string>

#include "sdk/cpp/src/senders.h"
#include "tests/unit/sdk/kv_fixture.h"

namespace tarn::sdk {
namespace {

using std::chrono::milliseconds;

constexpr uint64_t kBlock = 128 * kKiB;

class SendersTest : public ::testing::Test {
 protected:
  using Ending = Senders::Ending;

  bool ask(uint32_t server, uint64_t bytes = kBlock) { return senders.ask({server}, bytes, now); }
  void land(uint32_t server, uint64_t bytes = kBlock) {
    senders.on_end({server}, bytes, Ending::landed, now);
  }
  // A block lands, while the next has been asked for.
  void pass(uint32_t server) {
    now = now + milliseconds(1);
    ASSERT_TRUE(ask(server));
    land(server);
  }
  // All places are taken, by servers from 1 on.
  void fill() {
    for (uint32_t i = 1; i <= Senders::kFirst; ++i)
      ASSERT_TRUE(ask(i));
  }

  Instant now = Instant{} + std::chrono::hours(1);
  Senders senders;
};

TEST_F(SendersTest, AFewSendAndTheOthersWaitInLine) {
  fill();
  EXPECT_FALSE(ask(8));
  EXPECT_FALSE(ask(9));
  const uint64_t rooms = senders.rooms();
  land(2);
  EXPECT_NE(senders.rooms(), rooms);
  EXPECT_FALSE(ask(9)) << "another is before it";
  EXPECT_TRUE(ask(8));
  EXPECT_FALSE(ask(9));
  EXPECT_EQ(senders.most(), Senders::kFirst);
}

TEST_F(SendersTest, WhoSendsMaySendOnUntilOthersWaitAndItsTurnIsOver) {
  fill();
  ASSERT_TRUE(ask(1, Senders::kTurnBytes)) << "nobody waits";
  EXPECT_TRUE(ask(2));
  EXPECT_FALSE(ask(8));
  EXPECT_FALSE(ask(1));
  EXPECT_TRUE(ask(2)) << "its turn is not over yet";
  land(1, Senders::kTurnBytes);
  land(1);
  EXPECT_FALSE(ask(1)) << "behind the one that waits";
  EXPECT_TRUE(ask(8));
}

TEST_F(SendersTest, TheNextBeginsBeforeTheLastOfATurnHasCome) {
  fill();
  ASSERT_TRUE(ask(1, Senders::kTurnBytes));
  land(1);
  EXPECT_FALSE(ask(8));
  EXPECT_FALSE(ask(9));
  land(1, Senders::kTurnBytes - Senders::kTailBytes - kBlock);
  EXPECT_FALSE(ask(8)) << "more than the tail";
  const uint64_t rooms = senders.rooms();
  land(1, kBlock);
  EXPECT_NE(senders.rooms(), rooms);
  EXPECT_TRUE(ask(8));
  EXPECT_FALSE(ask(9)) << "one for one";
  land(1, Senders::kTailBytes);
  EXPECT_FALSE(ask(9)) << "its place is taken already";
}

TEST_F(SendersTest, WhoseSuccessorHasBegunStandsInLine) {
  fill();
  ASSERT_TRUE(ask(1, Senders::kTurnBytes));
  land(1);
  EXPECT_FALSE(ask(8));
  land(1, Senders::kTurnBytes - Senders::kTailBytes);
  ASSERT_TRUE(ask(8)) << "nobody waits any more";
  EXPECT_FALSE(ask(1));
  land(1, Senders::kTailBytes);
  EXPECT_FALSE(ask(1)) << "all places are taken";
  land(2);
  EXPECT_TRUE(ask(1));
}

TEST_F(SendersTest, WhatFitsIntoAnyQueueNeedsNoPlaceAndGivesNone) {
  for (uint32_t i = 11; i < 27; ++i)
    EXPECT_TRUE(ask(i, Senders::kHarmlessBytes / 16));
  EXPECT_FALSE(ask(30, 1) && ask(31, 1) && ask(32, 1) && ask(33, 1) && ask(34, 1))
      << "no more without a place";
  for (uint32_t i = 11; i < 27; ++i)
    EXPECT_FALSE(ask(i)) << "that it owes a little is no place";
}

TEST_F(SendersTest, WhoWaitedAndIsGoneKeepsNobodyWaiting) {
  fill();
  EXPECT_FALSE(ask(8));
  EXPECT_FALSE(ask(9));
  EXPECT_FALSE(ask(10));
  now = now + Senders::kPatience / 2;
  senders.stay({9}, now);
  EXPECT_FALSE(ask(10));
  now = now + (Senders::kPatience / 2 + Micros(1));
  land(1);
  EXPECT_FALSE(ask(10)) << "the second in line has stayed";
  EXPECT_TRUE(ask(9));
}

TEST_F(SendersTest, ThereAreMoreWhileAllGoesWellAndOthersWait) {
  fill();
  for (uint32_t i = 0; i < 100; ++i)
    pass(1 + i % Senders::kFirst);
  EXPECT_EQ(senders.most(), Senders::kFirst) << "nobody waits";
  uint32_t landed = 0;
  while (!ask(8)) {
    pass(1 + landed % Senders::kFirst);
    ASSERT_LT(++landed, 1000u);
  }
  EXPECT_EQ(senders.most(), Senders::kFirst + 1);
  EXPECT_GT(landed, 10u);
}

TEST_F(SendersTest, OnlyBytesThatHaveComeSayThatAllGoesWell) {
  fill();
  for (uint32_t i = 0; i < 1000; ++i) {
    now = now + milliseconds(1);
    const uint32_t server = 1 + i % Senders::kFirst;
    (void)ask(8);
    ASSERT_TRUE(ask(server, 1));
    senders.on_end({server}, 1, Ending::answered, now);
  }
  EXPECT_EQ(senders.most(), Senders::kFirst);
  EXPECT_EQ(senders.stalls(), 0u);
}

TEST_F(SendersTest, AStalledSenderHoldsNoPlaceAndLeavesOne) {
  fill();
  for (uint32_t i = 0; i < 40; ++i)
    pass(1 + i % Senders::kFirst);
  const Instant heard = now - milliseconds(3);
  for (uint32_t i = 0; now < heard + Senders::kStallLeast - milliseconds(1); ++i)
    pass(2 + i % (Senders::kFirst - 1));
  EXPECT_FALSE(ask(8));
  EXPECT_EQ(senders.stalls(), 0u);
  now = now + milliseconds(1);
  EXPECT_FALSE(ask(8)) << "one may send, and three do";
  EXPECT_EQ(senders.stalls(), 1u);
  EXPECT_EQ(senders.most(), 1u);
  // Another server's answer to what was asked of it says nothing of this one.
  ASSERT_TRUE(ask(1));
  senders.on_end({1}, kBlock, Ending::unheard, now);
  land(2);
  land(3);
  EXPECT_FALSE(ask(8));
  land(4);
  EXPECT_TRUE(ask(8));
  land(1);  // it is back, and over
  EXPECT_EQ(senders.most(), 1u);
}

TEST_F(SendersTest, AStallIsSeenWhereNobodyWaitsToo) {
  fill();
  for (uint32_t i = 0; i < 40; ++i)
    pass(1 + i % Senders::kFirst);
  now = now + 2 * Senders::kStallLeast;
  land(1);
  EXPECT_EQ(senders.stalls(), Senders::kFirst);
  EXPECT_EQ(senders.most(), 1u);
}

TEST_F(SendersTest, NobodyHasStalledWhileTheClientStoodStill) {
  fill();
  for (uint32_t i = 0; i < 40; ++i)
    pass(1 + i % Senders::kFirst);
  now = now + 2 * Senders::kStallLeast;
  senders.excuse(2 * Senders::kStallLeast);
  land(1);
  EXPECT_EQ(senders.stalls(), 0u);
}

TEST_F(SendersTest, ALargeBlockMayTakeItsTime) {
  fill();
  for (uint32_t i = 0; i < 40; ++i)
    pass(1 + i % Senders::kFirst);
  ASSERT_TRUE(ask(1, 64 * kBlock));
  now = now + milliseconds(400);
  land(1, 64 * kBlock);
  EXPECT_EQ(senders.stalls(), Senders::kFirst - 1) << "the others";
}

TEST_F(SendersTest, ThatAllStallTogetherCountsOnceAndOneMayAlwaysSend) {
  for (uint32_t round = 0; round < 10; ++round) {
    for (uint32_t i = 1; i <= 8; ++i)
      (void)ask(100 * round + i);
    now = now + std::chrono::seconds(2);
    EXPECT_TRUE(ask(100 * round + 50)) << "who has stalled keeps nobody waiting";
    EXPECT_EQ(senders.most(), 1u);
  }
}

// Servers that always have a block for the client, and a line of so many bytes per millisecond
// that they share; each alone fills at most `each` of it.
class SendersOverLine : public SendersTest {
 protected:
  void stall_once() {
    fill();
    now = now + std::chrono::seconds(2);
    EXPECT_TRUE(ask(99));
    for (uint32_t server = 1; server <= Senders::kFirst; ++server)
      land(server);
    land(99);
    ASSERT_EQ(senders.most(), 1u);
  }
  // The bytes that came in so many milliseconds.
  uint64_t run(int ms, uint64_t line, uint64_t each) {
    uint64_t landed = 0;
    for (int i = 0; i < ms; ++i) {
      now = now + milliseconds(1);
      for (uint32_t server = 1; server <= 12; ++server) {
        while (owed[server] < 2 && ask(server, block))
          ++owed[server];
      }
      uint64_t left = line;
      for (uint32_t k = 0; k < 12; ++k) {
        // Another one first each time: in the mean all have as much.
        const uint32_t server = 1 + (static_cast<uint32_t>(i) + k) % 12;
        if (owed[server] == 0) continue;
        credit[server] += std::min(each, left);
        left -= std::min(each, left);
        for (; credit[server] >= block && owed[server] > 0; --owed[server], landed += block) {
          credit[server] -= block;
          land(server, block);
        }
      }
    }
    return landed;
  }

  uint64_t block = kBlock;
  std::map<uint32_t, int> owed;
  std::map<uint32_t, uint64_t> credit;
};

TEST_F(SendersOverLine, OneStaysOneWhereItFillsTheLine) {
  stall_once();
  run(20'000, kBlock, kBlock);
  EXPECT_EQ(senders.stalls(), Senders::kFirst);
  uint32_t ones = 0;
  for (int i = 0; i < 100; ++i) {
    run(20, kBlock, kBlock);
    ones += senders.most() == 1 ? 1 : 0;
  }
  EXPECT_GT(ones, 90u) << "more are tried more and more rarely";
}

TEST_F(SendersOverLine, ThereAreMoreWhereTheyAreFasterTogether) {
  stall_once();
  run(5000, 8 * kBlock, kBlock);
  EXPECT_GE(senders.most(), 7u);
  EXPECT_LE(senders.most(), 12u);
  const uint64_t landed = run(1000, 8 * kBlock, kBlock);
  EXPECT_GT(landed, 6 * 1000 * kBlock);
}

TEST_F(SendersOverLine, LargeBlocksOverAFastLineComeBackFromAStallToo) {
  block = 4 * kMiB;
  stall_once();
  run(5000, 8 * kMiB, kMiB);
  EXPECT_GE(senders.most(), 7u);
}

// Whatever the order of events: all that was asked for is accounted, and who asks on gets a turn.
TEST(SendersModel, NobodyWaitsForEver) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  Senders senders;
  Instant now = Instant{} + std::chrono::hours(1);
  std::map<uint32_t, std::deque<uint64_t>> owed;
  std::map<uint32_t, Instant> waits_since;
  Nanos longest{0};
  for (int step = 0; step < 20'000; ++step) {
    now = now + Micros(random() % 2000);
    for (uint32_t server = 1; server <= 12; ++server) {
      auto& blocks = owed[server];
      if (!blocks.empty() && random() % 4 == 0) {
        const auto ending = static_cast<Senders::Ending>(random() % 3);
        senders.on_end({server}, blocks.front(), ending, now);
        blocks.pop_front();
      }
      if (blocks.size() > 6) continue;
      const uint64_t bytes = 1 + random() % (4 * kMiB);
      if (senders.ask({server}, bytes, now)) {
        blocks.push_back(bytes);
        waits_since.erase(server);
        continue;
      }
      const Instant since = waits_since.emplace(server, now).first->second;
      longest = std::max<Nanos>(longest, now - since);
    }
    ASSERT_GE(senders.most(), 1u);
  }
  EXPECT_LT(longest, std::chrono::seconds(2));
}

class PacedGets : public KvTest {};

TEST_F(PacedGets, OfMoreServersThanMaySendAtOnceAllCome) {
  start(Senders::kFirst * 3);
  Chain chain("paced", 96, 100'000);
  auto writes = chain.writes();
  for (PutItem& write : writes)
    write.parent = {};  // each has a place of its own
  Transfer put = space->put_kv(writes);
  ASSERT_TRUE(put.wait());
  Transfer get = space->get_kv(chain.reads());
  ASSERT_TRUE(get.wait());
  std::set<std::string> servers;
  for (const BlockOutcome& outcome : get.outcomes()) {
    EXPECT_EQ(outcome.outcome, Outcome::ok) << outcome.message;
    servers.insert(outcome.server);
  }
  EXPECT_TRUE(chain.is_whole());
  EXPECT_GT(servers.size(), Senders::kFirst);
}

}  // namespace
}  // namespace tarn::sdk
