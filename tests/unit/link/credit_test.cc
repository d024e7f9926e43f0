#include "tests/unit/link/link_fixture.h"

namespace tarn::fabric {
namespace {

class CreditTest : public LinkTest {};

TEST_F(CreditTest, RequestsWaitForTheServersCredit) {
  LinkIdentity identity;
  identity.credits = 2;
  open(identity);
  std::deque<Counted<PingOp>> pings(5);
  for (auto& ping : pings)
    ASSERT_TRUE(x_link->submit(ping).is_ok());
  EXPECT_EQ(x_network.sent.size(), 2u);
  reply(1, wire::Pong{});
  EXPECT_EQ(x_network.sent.size(), 3u);
  reply(0, wire::Pong{});
  reply(2, wire::Pong{});
  reply(3, wire::Pong{});
  reply(4, wire::Pong{});
  for (auto& ping : pings)
    EXPECT_EQ(ping.ends, 1);
}

TEST_F(CreditTest, BytesInFlightStayWithinTheCredit) {
  LinkIdentity identity;
  identity.credit_bytes = 4 * 4096;
  open(identity);
  // A quarter of the credit is one message: here one block.
  Get get(6, 4096);
  ASSERT_TRUE(x_link->submit(get).is_ok());
  EXPECT_EQ(x_network.sent.size(), 4u);
  const std::string bytes(4096, 'x');
  reply_block(0, 0, bytes);
  EXPECT_EQ(x_network.sent.size(), 4u);
  land();
  EXPECT_EQ(x_network.sent.size(), 5u);
  for (size_t i = 1; i < 6; ++i)
    reply_misses(i, 0, 1);
  EXPECT_EQ(get.ends, 1);
  EXPECT_EQ(get.targets[5].code, Code::not_found);
}

TEST_F(CreditTest, ABlockLargerThanAllCreditGoesAlone) {
  LinkIdentity identity;
  identity.credit_bytes = 1024;
  open(identity);
  Put large(std::string(8192, 'l'));
  Put small(std::string(16, 's'));
  ASSERT_TRUE(x_link->submit(large).is_ok());
  ASSERT_TRUE(x_link->submit(small).is_ok());
  EXPECT_EQ(x_network.sent.size(), 1u);
  reply(0, wire::PutReply{{}, Code::ok, 1, {}});
  EXPECT_EQ(x_network.sent.size(), 1u);
  end_send(0);
  ASSERT_EQ(x_network.sent.size(), 2u);
  reply(1, wire::PutReply{{}, Code::ok, 1, {}});
  end_send(1);
  EXPECT_EQ(small.ends, 1);
}

TEST_F(CreditTest, TooManyThatWaitAreOverloaded) {
  LinkIdentity identity;
  identity.credits = 1;
  open(identity);
  std::deque<Counted<PingOp>> pings(kLinkWaitingMax + 1);
  for (auto& ping : pings)
    ASSERT_TRUE(x_link->submit(ping).is_ok());
  Counted<PingOp> one_more;
  EXPECT_EQ(x_link->submit(one_more).code(), Code::overloaded);
  x_link->lost(unavailable("the peer is gone"));
  for (auto& ping : pings) {
    EXPECT_EQ(ping.ends, 1);
    EXPECT_EQ(ping.code, Code::unavailable);
  }
  EXPECT_EQ(one_more.ends, 0);
  EXPECT_TRUE(x_link->is_idle());
}

TEST_F(CreditTest, AFullSendQueueIsTriedAgain) {
  x_network.next_send = overloaded("the send queue is full");
  Counted<PingOp> ping;
  ASSERT_TRUE(x_link->submit(ping).is_ok());
  EXPECT_TRUE(x_network.sent.empty());
  x_link->expire(x_clock.now());
  ASSERT_EQ(x_network.sent.size(), 1u);
  EXPECT_EQ(route(0).sequence, wire::first_sequence(kLane));
  reply(0, wire::Pong{});
  EXPECT_EQ(ping.ends, 1);
}

TEST_F(CreditTest, ASequenceNeverLeavesTheServersWindowWhileInFlight) {
  LinkIdentity identity;
  identity.credits = 100'000;
  open(identity);
  Counted<PingOp> old;
  ASSERT_TRUE(x_link->submit(old).is_ok());
  Counted<PingOp> ping;
  for (size_t i = 1; i < kLinkRequestsMax; ++i) {
    ASSERT_TRUE(x_link->submit(ping).is_ok());
    reply(i, wire::Pong{});
  }
  ASSERT_TRUE(x_link->submit(ping).is_ok());
  EXPECT_EQ(x_network.sent.size(), kLinkRequestsMax);
  reply(0, wire::Pong{});
  ASSERT_EQ(x_network.sent.size(), kLinkRequestsMax + 1);
  reply(kLinkRequestsMax, wire::Pong{});
  EXPECT_EQ(ping.ends, static_cast<int>(kLinkRequestsMax));
}

}  // namespace
}  // namespace tarn::fabric
