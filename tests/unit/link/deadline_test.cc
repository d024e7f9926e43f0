#include "tests/unit/link/link_fixture.h"

namespace tarn::fabric {
namespace {

using std::chrono::milliseconds;

const std::string kBytes(8192, 'b');

class DeadlineTest : public LinkTest {
 protected:
  Instant in(int ms) { return x_clock.now() + milliseconds(ms); }
};

TEST_F(DeadlineTest, TheServerIsToldHowLongTheRequesterWaits) {
  Get get(1, kBytes.size());
  get.deadline = in(5);
  ASSERT_TRUE(x_link->submit(get).is_ok());
  EXPECT_EQ(std::get<wire::GetRequest>(request(0)).head.deadline_us, 5000u);
  EXPECT_EQ(x_link->next_deadline(), get.deadline);
  Get patient(1, kBytes.size());
  ASSERT_TRUE(x_link->submit(patient).is_ok());
  EXPECT_EQ(std::get<wire::GetRequest>(request(1)).head.deadline_us, wire::kDeadlineUsMax);
  // Both live in this frame, so they end before it does.
  x_link->lost(unavailable("the test is over"));
  finish_all();
}

TEST_F(DeadlineTest, AGetWithoutBytesUnderWayEndsAloneAndTheLinkLives) {
  Get late(2, kBytes.size());
  late.deadline = in(5);
  Get other(1, kBytes.size());
  ASSERT_TRUE(x_link->submit(late).is_ok());
  ASSERT_TRUE(x_link->submit(other).is_ok());
  reply_misses(0, 0, 1);
  advance(milliseconds(5));
  EXPECT_EQ(late.ends, 1);
  EXPECT_EQ(late.code, Code::deadline_exceeded);
  EXPECT_EQ(late.targets[0].code, Code::not_found);
  EXPECT_EQ(late.targets[1].code, Code::deadline_exceeded);
  EXPECT_EQ(late.blocks.size(), 2u);
  EXPECT_FALSE(x_link->is_lost());
  EXPECT_FALSE(x_network.is_closed);

  // The answer comes after all: nothing is written, and its credit comes back.
  reply_block(0, 1, kBytes);
  EXPECT_TRUE(x_network.receives.empty());
  EXPECT_EQ(x_link->counters().late_replies, 1u);
  EXPECT_EQ(late.ends, 1);
  reply_misses(1, 0, 1);
  EXPECT_EQ(other.ends, 1);
  EXPECT_TRUE(x_link->is_idle());
  advance(std::chrono::seconds(2));
  EXPECT_FALSE(x_link->is_lost());
}

TEST_F(DeadlineTest, APutWhoseAcknowledgementIsLostEndsByItsDeadline) {
  Put put(kBytes);
  put.deadline = in(5);
  ASSERT_TRUE(x_link->submit(put).is_ok());
  end_send(0);
  advance(milliseconds(4));
  EXPECT_EQ(put.ends, 0);
  advance(milliseconds(1));
  EXPECT_EQ(put.ends, 1);
  EXPECT_EQ(put.code, Code::deadline_exceeded);
  EXPECT_EQ(x_link->counters().deadlines, 1u);
  EXPECT_FALSE(x_link->is_lost());
  // A server that owes an answer for long is given up.
  advance(kLinkAnswerGrace);
  EXPECT_TRUE(x_link->is_lost());
  EXPECT_TRUE(x_link->is_idle());
}

TEST_F(DeadlineTest, AHalfReceivedBlockClosesTheConnectionAndWaitsForItsMemory) {
  Get half(2, kBytes.size());
  half.deadline = in(5);
  Get patient(1, kBytes.size());
  ASSERT_TRUE(x_link->submit(half).is_ok());
  ASSERT_TRUE(x_link->submit(patient).is_ok());
  reply_block(0, 0, kBytes);
  advance(milliseconds(5));
  EXPECT_TRUE(x_link->is_lost());
  EXPECT_TRUE(x_network.is_closed);
  EXPECT_EQ(patient.ends, 1);
  EXPECT_EQ(patient.code, Code::unavailable);
  EXPECT_EQ(half.blocks, (std::vector<size_t>{1}));
  EXPECT_EQ(half.ends, 0);
  EXPECT_FALSE(x_link->is_idle());
  land(Code::cancelled);
  EXPECT_EQ(half.ends, 1);
  EXPECT_EQ(half.code, Code::deadline_exceeded);
  EXPECT_EQ(half.targets[0].code, Code::deadline_exceeded);
  EXPECT_TRUE(x_link->is_idle());
}

TEST_F(DeadlineTest, BytesThatLandedBeforeTheCloseAreKept) {
  Get get(1, kBytes.size());
  ASSERT_TRUE(x_link->submit(get).is_ok());
  reply_block(0, 0, kBytes);
  x_link->lost(unavailable("the peer is gone"));
  EXPECT_EQ(get.ends, 0);
  land();
  EXPECT_EQ(get.ends, 1);
  EXPECT_EQ(get.targets[0].code, Code::ok);
  EXPECT_EQ(get.rooms[0].text(), kBytes);
}

TEST_F(DeadlineTest, APutWhoseBytesAreUnderWayClosesTheConnection) {
  Put put(kBytes);
  put.deadline = in(5);
  ASSERT_TRUE(x_link->submit(put).is_ok());
  advance(milliseconds(6));
  EXPECT_TRUE(x_network.is_closed);
  EXPECT_EQ(put.ends, 0);
  end_send(0, Code::cancelled);
  EXPECT_EQ(put.ends, 1);
  EXPECT_EQ(put.code, Code::deadline_exceeded);
}

TEST_F(DeadlineTest, WhatWaitsForCreditEndsInTimeToo) {
  LinkIdentity identity;
  identity.credits = 1;
  open(identity);
  Get first(1, kBytes.size());
  Get waiting(2, kBytes.size());
  Counted<PingOp> last;
  waiting.deadline = in(5);
  ASSERT_TRUE(x_link->submit(first).is_ok());
  ASSERT_TRUE(x_link->submit(waiting).is_ok());
  ASSERT_TRUE(x_link->submit(last).is_ok());
  advance(milliseconds(5));
  EXPECT_EQ(waiting.ends, 1);
  EXPECT_EQ(waiting.code, Code::deadline_exceeded);
  EXPECT_EQ(waiting.targets[1].code, Code::deadline_exceeded);
  EXPECT_EQ(x_network.sent.size(), 1u);
  reply_misses(0, 0, 1);
  reply(1, wire::Pong{});
  EXPECT_EQ(last.ends, 1);
}

TEST_F(DeadlineTest, ABatchPartlySentEndsAsAWhole) {
  LinkIdentity identity;
  identity.credits = 1;
  open(identity);
  Get get(400, 64);
  get.deadline = in(5);
  ASSERT_TRUE(x_link->submit(get).is_ok());
  reply_misses(0, 0, 160);
  reply_misses(1, 0, 100);
  advance(milliseconds(5));
  EXPECT_EQ(get.ends, 1);
  EXPECT_EQ(get.blocks.size(), 400u);
  EXPECT_EQ(get.targets[259].code, Code::not_found);
  EXPECT_EQ(get.targets[260].code, Code::deadline_exceeded);
  EXPECT_EQ(get.targets[399].code, Code::deadline_exceeded);
}

TEST_F(DeadlineTest, ALostConnectionEndsAllOnce) {
  Get get(400, 64);
  Put put(kBytes);
  std::vector<wire::BlockItem> items(3, {Shard{1}, wire::samples::hash_of(4, 1)});
  std::vector<Code> codes(3);
  Counted<KeysOp> exists(LinkOp::Kind::exists);
  exists.items = items;
  exists.codes = codes;
  ASSERT_TRUE(x_link->submit(get).is_ok());
  ASSERT_TRUE(x_link->submit(put).is_ok());
  ASSERT_TRUE(x_link->submit(exists).is_ok());
  x_link->lost(unavailable("the peer is gone"));
  x_link->lost(unavailable("again"));
  EXPECT_EQ(x_link->lost_status().message(), "the peer is gone");
  EXPECT_EQ(get.ends, 1);
  EXPECT_EQ(get.blocks.size(), 400u);
  EXPECT_EQ(exists.ends, 1);
  EXPECT_EQ(codes[2], Code::unavailable);
  EXPECT_EQ(put.ends, 0);
  end_send(3, Code::unavailable);
  EXPECT_EQ(put.ends, 1);
  EXPECT_EQ(put.code, Code::unavailable);
  reply(2, wire::Pong{});
  EXPECT_EQ(x_link->counters().unknown_replies, 1u);
  EXPECT_EQ(x_link->submit(get).code(), Code::unavailable);
  EXPECT_EQ(get.ends, 1);
}

TEST_F(DeadlineTest, ASendThatFailsIsALossAtTheNextTurn) {
  fault::arm("link.send", {});
  Counted<PingOp> ping;
  ASSERT_TRUE(x_link->submit(ping).is_ok());
  EXPECT_EQ(ping.ends, 0);
  EXPECT_LE(x_link->next_deadline(), x_clock.now());
  x_link->expire(x_clock.now());
  EXPECT_EQ(ping.ends, 1);
  EXPECT_EQ(ping.code, Code::unavailable);
  EXPECT_TRUE(x_link->is_lost());
}

}  // namespace
}  // namespace tarn::fabric
