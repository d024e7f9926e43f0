// The client's ticket over a clock of the test's own.
#include "sdk/cpp/src/ticket_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <thread>
#include <vector>

namespace tarn::sdk {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int64_t kLifeMs = 60'000;

// A router whose answers the test chooses.
class TicketCacheTest : public ::testing::Test {
 protected:
  Result<IssuedTicket> issue(Instant deadline) {
    ++asked;
    last_deadline = deadline;
    if (!refusal.is_ok()) return refusal;
    return IssuedTicket{"ticket " + std::to_string(asked), "key", clock.unix_ms() + kLifeMs};
  }
  Result<IssuedTicket> get() { return cache.get(clock.now() + seconds(2)); }
  std::string ticket() {
    const auto got = get();
    return got ? got->bytes : got.error().to_string();
  }

  ManualClock clock;
  int asked = 0;
  Instant last_deadline;
  Status refusal;
  TicketCache cache{[this](Instant deadline) { return issue(deadline); }, clock};
};

TEST_F(TicketCacheTest, OneTicketServesUntilHalfOfItsLife) {
  EXPECT_EQ(ticket(), "ticket 1");
  clock.advance(milliseconds(kLifeMs / 2 - 1));
  EXPECT_FALSE(cache.is_due());
  EXPECT_EQ(ticket(), "ticket 1");
  clock.advance(milliseconds(1));
  EXPECT_TRUE(cache.is_due());
  EXPECT_EQ(ticket(), "ticket 2");
  EXPECT_EQ(asked, 2);
  EXPECT_EQ(cache.expires_unix_ms(), clock.unix_ms() + kLifeMs);
}

TEST_F(TicketCacheTest, TheFirstOneMayTakeTheWholeDeadlineAndALaterOneHalf) {
  EXPECT_EQ(cache.expires_unix_ms(), 0);
  ASSERT_TRUE(get());
  EXPECT_EQ(last_deadline - clock.now(), seconds(2));
  clock.advance(milliseconds(kLifeMs / 2));
  ASSERT_TRUE(get());
  EXPECT_EQ(last_deadline - clock.now(), seconds(1)) << "the rest is for showing the old one";
}

TEST_F(TicketCacheTest, WithoutRoutersTheOldOneServesOnAndNobodyWaitsTwice) {
  ASSERT_TRUE(get());
  for (const Status& silence : {unavailable("gone"), overloaded("busy"), deadline_exceeded("?")}) {
    refusal = silence;
    clock.advance(milliseconds(kLifeMs / 2));
    const int before = asked;
    EXPECT_EQ(ticket(), "ticket 1") << silence.to_string();
    EXPECT_EQ(ticket(), "ticket 1");
    EXPECT_EQ(asked, before + 1) << "the routers were asked a moment ago";
    clock.advance(kTicketAskPause);
    EXPECT_EQ(ticket(), "ticket 1");
    EXPECT_EQ(asked, before + 2);
  }
  refusal = Status::ok();
  clock.advance(kTicketAskPause);
  EXPECT_NE(ticket(), "ticket 1");
}

TEST_F(TicketCacheTest, AnEndedOneIsShownForAsLongAsServersMayHonourIt) {
  ASSERT_TRUE(get());
  refusal = unavailable("no router");
  clock.advance(milliseconds(kLifeMs + kEndedTicketMostMs - 1));
  EXPECT_EQ(ticket(), "ticket 1");
  clock.advance(kTicketAskPause);
  EXPECT_EQ(ticket(), "unavailable: no router");
}

TEST_F(TicketCacheTest, ARouterThatRefusesIsBelieved) {
  ASSERT_TRUE(get());
  clock.advance(milliseconds(kLifeMs / 2));
  for (const Status& word :
       {unauthenticated("who?"), permission_denied("no"), internal_error("")}) {
    refusal = word;
    EXPECT_EQ(get().error().code(), word.code()) << "the old ticket must not hide this";
  }
}

TEST_F(TicketCacheTest, ADroppedOneIsNeverShownAgain) {
  ASSERT_TRUE(get());
  cache.drop();
  EXPECT_TRUE(cache.is_due());
  EXPECT_EQ(cache.expires_unix_ms(), 0);
  refusal = unavailable("no router");
  EXPECT_FALSE(get()) << "a server has refused it";
  refusal = Status::ok();
  EXPECT_EQ(ticket(), "ticket 3");
}

TEST_F(TicketCacheTest, ATicketThatCameExpiredIsAskedForAgain) {
  TicketCache stale(
      [&](Instant) {
        ++asked;
        return Result<IssuedTicket>(IssuedTicket{"old", "key", clock.unix_ms() - 5});
      },
      clock);
  ASSERT_TRUE(stale.get(clock.now() + seconds(1)));
  ASSERT_TRUE(stale.get(clock.now() + seconds(1)));
  EXPECT_EQ(asked, 2);
}

TEST(TicketCacheThreads, ManyMayAskAtOnce) {
  std::atomic<int> issued{0};
  TicketCache cache([&](Instant) {
    const int number = ++issued;
    return Result<IssuedTicket>(
        IssuedTicket{"t" + std::to_string(number), "k", system_clock().unix_ms() + kLifeMs});
  });
  std::barrier start(4);
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      start.arrive_and_wait();
      for (int k = 0; k < 200; ++k) {
        if (i == 0 && k % 20 == 0) cache.drop();
        const auto ticket = cache.get(system_clock().now() + seconds(1));
        if (ticket && !ticket->bytes.empty() && !ticket->client_key.empty()) ++good;
      }
    });
  }
  for (std::thread& each : threads)
    each.join();
  EXPECT_EQ(good, 800);
  EXPECT_LE(issued, 4 * 11) << "one ticket serves many";
}

}  // namespace
}  // namespace tarn::sdk
