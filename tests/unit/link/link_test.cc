#include "common/fabric/link.h"

#include "tests/unit/link/link_fixture.h"

namespace tarn::fabric {
namespace {

using std::chrono::milliseconds;
using ::testing::Test;

const std::string kBytes(8192, 'b');

TEST_F(LinkTest, AGetEndsWithItsLastBlock) {
  Get get(3, kBytes.size());
  get.head = wire::samples::head();
  ASSERT_TRUE(x_link->submit(get).is_ok());
  const auto asked = std::get<wire::GetRequest>(request(0));
  ASSERT_EQ(asked.items.size(), 3u);
  EXPECT_EQ(asked.items[1].bytes_max, kBytes.size());
  EXPECT_EQ(asked.items[1].hash, get.targets[1].hash);
  EXPECT_EQ(asked.head.space, get.head.space);

  reply_block(0, 0, kBytes);
  reply_misses(0, 1, 1);
  EXPECT_EQ(get.blocks, (std::vector<size_t>{1}));
  land();
  EXPECT_EQ(get.blocks, (std::vector<size_t>{1, 0}));
  EXPECT_EQ(get.ends, 0);
  reply_block(0, 2, kBytes);
  land();
  EXPECT_EQ(get.ends, 1);
  EXPECT_EQ(get.code, Code::ok);
  EXPECT_EQ(get.targets[0].code, Code::ok);
  EXPECT_EQ(get.targets[0].generation, Generation{4});
  EXPECT_EQ(get.targets[1].code, Code::not_found);
  EXPECT_EQ(get.rooms[2].text(), kBytes);
  EXPECT_EQ(get.server_epoch, Epoch{7});
  EXPECT_EQ(x_link->server_epoch(), Epoch{7});
  EXPECT_TRUE(x_link->is_idle());
}

TEST_F(LinkTest, APutEndsWhenItsAnswerIsThereAndItsMemoryIsFree) {
  Put first(kBytes);
  Put second(kBytes);
  ASSERT_TRUE(x_link->submit(first).is_ok());
  ASSERT_TRUE(x_link->submit(second).is_ok());
  EXPECT_EQ(x_network.sent[0].payload, kBytes);
  EXPECT_EQ(std::get<wire::PutRequest>(request(0)).payload_crc, crc(kBytes));

  reply(0, wire::PutReply{Epoch{7}, Code::kept_less, 1, wire::make_text("one domain")});
  EXPECT_EQ(first.ends, 0);
  end_send(0);
  EXPECT_EQ(first.ends, 1);
  EXPECT_EQ(first.code, Code::kept_less);
  EXPECT_EQ(first.copies, 1);
  EXPECT_EQ(wire::view(first.message), "one domain");

  // The server has the block: it takes no bytes.
  end_send(1, Code::cancelled);
  EXPECT_EQ(second.ends, 0);
  reply(1, wire::PutReply{Epoch{7}, Code::exists, 2, {}});
  EXPECT_EQ(second.ends, 1);
  EXPECT_EQ(second.code, Code::exists);
}

TEST_F(LinkTest, ExistsRemoveAndPingAreAnswered) {
  std::vector<wire::BlockItem> items;
  for (size_t i = 0; i < 300; ++i)
    items.push_back({Shard{0}, wire::samples::hash_of(8, static_cast<uint8_t>(i))});
  std::vector<Code> codes(items.size(), Code::internal);
  Counted<KeysOp> exists(LinkOp::Kind::exists);
  exists.items = items;
  exists.codes = codes;
  ASSERT_TRUE(x_link->submit(exists).is_ok());
  ASSERT_EQ(x_network.sent.size(), 2u);
  wire::ExistsReply tail{Epoch{3}, {}};
  for (size_t i = wire::kItemsMax; i < items.size(); ++i)
    tail.codes.push_back(Code::ok);
  reply(1, tail);
  wire::ExistsReply front{Epoch{3}, {}};
  while (!front.codes.is_full())
    front.codes.push_back(Code::not_found);
  EXPECT_EQ(exists.ends, 0);
  reply(0, front);
  EXPECT_EQ(exists.ends, 1);
  EXPECT_EQ(codes[159], Code::not_found);
  EXPECT_EQ(codes[160], Code::ok);

  Counted<KeysOp> remove(LinkOp::Kind::remove);
  remove.items = std::span(items).first(2);
  remove.codes = std::span(codes).first(2);
  remove.backup = true;
  ASSERT_TRUE(x_link->submit(remove).is_ok());
  EXPECT_TRUE(std::get<wire::RemoveRequest>(request(2)).backup);
  reply(2, wire::RemoveReply{Epoch{3}, wire::samples::codes(2)});
  EXPECT_EQ(remove.ends, 1);

  Counted<PingOp> ping;
  ASSERT_TRUE(x_link->submit(ping).is_ok());
  reply(3, wire::Pong{Epoch{8}});
  EXPECT_EQ(ping.ends, 1);
  EXPECT_EQ(ping.server_epoch, Epoch{8});
}

TEST_F(LinkTest, ABatchOfAThousandTravelsInSeveralMessages) {
  Get get(1000, 4096);
  ASSERT_TRUE(x_link->submit(get).is_ok());
  ASSERT_EQ(x_network.sent.size(), 7u);
  const std::string bytes(4096, 'x');
  // Messages and blocks in any order.
  for (size_t i = x_network.sent.size(); i-- > 0;) {
    const size_t count = std::get<wire::GetRequest>(request(i)).items.size();
    for (size_t item = count; item-- > 0;) {
      reply_block(i, item, bytes);
      land();
    }
  }
  EXPECT_EQ(get.ends, 1);
  EXPECT_EQ(get.blocks.size(), 1000u);
  for (const GetTarget& target : get.targets)
    EXPECT_EQ(target.code, Code::ok);
}

TEST_F(LinkTest, BlocksOfAnotherSizeAreNotMoved) {
  Get get(3, 4096);
  get.targets_of[2].exact = false;
  ASSERT_TRUE(x_link->submit(get).is_ok());
  reply_block(0, 0, std::string(4097, 'x'));
  reply_block(0, 1, std::string(4095, 'x'));
  EXPECT_TRUE(x_network.receives.empty());
  reply_block(0, 2, std::string(100, 'y'));
  land();
  EXPECT_EQ(get.ends, 1);
  EXPECT_EQ(get.targets[0].code, Code::invalid_argument);
  EXPECT_EQ(get.targets[1].code, Code::invalid_argument);
  EXPECT_EQ(get.targets[1].bytes, 4095u);
  EXPECT_EQ(get.targets[2].code, Code::ok);
  EXPECT_EQ(get.targets[2].bytes, 100u);
  EXPECT_EQ(get.rooms[2].text().substr(0, 101), std::string(100, 'y') + '\0');
  EXPECT_EQ(x_link->counters().size_mismatches, 2u);
}

TEST_F(LinkTest, APayloadThatFailsItsChecksumIsAMissOfThatBlock) {
  Get get(3, kBytes.size());
  ASSERT_TRUE(x_link->submit(get).is_ok());
  reply(0, wire::GetReply{{}, 0, 1, Code::ok, {}, kBytes.size(), crc(kBytes) + 1}, kBytes);
  land();
  reply_block(0, 1, kBytes);
  land();
  fault::arm("link.corrupt_payload", {});
  reply_block(0, 2, kBytes);
  land();
  EXPECT_EQ(get.ends, 1);
  EXPECT_EQ(get.targets[0].code, Code::corrupt);
  EXPECT_EQ(get.targets[0].bytes, 0u);
  EXPECT_EQ(get.targets[1].code, Code::ok);
  EXPECT_EQ(get.targets[2].code, Code::corrupt);
  EXPECT_EQ(x_link->counters().corrupt_payloads, 2u);
}

TEST_F(LinkTest, ASecondAnswerToAnItemIsDropped) {
  Get get(2, kBytes.size());
  ASSERT_TRUE(x_link->submit(get).is_ok());
  reply_block(0, 0, kBytes);
  reply_block(0, 0, kBytes);
  reply_misses(0, 0, 2);
  EXPECT_EQ(x_link->counters().repeated_replies, 2u);
  EXPECT_EQ(x_network.receives.size(), 1u);
  land();
  EXPECT_TRUE(get.targets[1].code == Code::ok && get.ends == 0);
  reply_misses(0, 1, 1);
  EXPECT_EQ(get.ends, 1);
  reply_misses(0, 1, 1);
  EXPECT_EQ(x_link->counters().unknown_replies, 1u);
  EXPECT_EQ(get.ends, 1);
}

TEST_F(LinkTest, RepliesThatFitNoRequestAreDropped) {
  Get get(2, kBytes.size());
  ASSERT_TRUE(x_link->submit(get).is_ok());
  reply(0, wire::PutReply{{}, Code::ok, 1, {}});
  reply(0, wire::Pong{});
  reply(0, wire::ExistsReply{{}, wire::samples::codes(2)});
  reply(0, wire::ExistsReply{{}, wire::samples::codes(3)});
  reply_misses(0, 1, 2);
  EXPECT_EQ(x_link->counters().foreign_replies, 5u);
  reply_to({kId, wire::first_sequence(kLane) + 5}, wire::Pong{});
  EXPECT_EQ(x_link->counters().unknown_replies, 1u);
  EXPECT_TRUE(get.blocks.empty());
  reply_misses(0, 0, 2);
  EXPECT_EQ(get.ends, 1);
}

TEST_F(LinkTest, MalformedAndUnsignedRepliesAreCountedByCause) {
  Get get(1, kBytes.size());
  ASSERT_TRUE(x_link->submit(get).is_ok());
  const auto refused = [this](wire::Refusal why) { return x_link->counters().refused.of(why); };
  reply_to({kId + 1, route(0).sequence}, wire::Pong{});
  EXPECT_EQ(refused(wire::Refusal::unknown_connection), 1u);
  reply_to({kId, wire::first_sequence(kLane + 1)}, wire::Pong{});
  EXPECT_EQ(refused(wire::Refusal::lane), 1u);
  deliver(x_network.sent[0].header.view());
  EXPECT_EQ(refused(wire::Refusal::direction), 1u);
  deliver({});
  EXPECT_EQ(refused(wire::Refusal::too_short), 1u);
  reply(0, wire::GetReply{{}, 0, 1, Code::ok, {}, 4096, 1}, kBytes);
  EXPECT_EQ(refused(wire::Refusal::payload), 1u);

  wire::HeaderBuffer forged;
  wire::encode(route(0), wire::GetReply{{}, 0, 1, Code::not_found, {}, 0, 0}, forged);
  deliver(forged.view());
  EXPECT_EQ(refused(wire::Refusal::mac), 1u);
  EXPECT_EQ(get.ends, 0);
  EXPECT_TRUE(get.blocks.empty());
  fault::arm("link.drop_reply", {});
  reply_misses(0, 0, 1);
  EXPECT_EQ(get.ends, 0);
  reply_misses(0, 0, 1);
  EXPECT_EQ(get.ends, 1);
}

TEST_F(LinkTest, ARefusedRequestEndsWithTheServersWords) {
  Get get(2, kBytes.size());
  Put put(kBytes);
  ASSERT_TRUE(x_link->submit(get).is_ok());
  ASSERT_TRUE(x_link->submit(put).is_ok());
  reply_block(0, 0, kBytes);
  reply(0, wire::ErrorReply{Epoch{9}, Code::permission_denied, wire::make_text("no read right")});
  EXPECT_EQ(get.ends, 0);
  land();
  EXPECT_EQ(get.ends, 1);
  EXPECT_EQ(get.code, Code::permission_denied);
  EXPECT_EQ(get.targets[0].code, Code::ok);
  EXPECT_EQ(get.targets[1].code, Code::permission_denied);
  EXPECT_EQ(wire::view(get.message), "no read right");
  reply(1, wire::ErrorReply{Epoch{9}, Code::stale_epoch, {}});
  end_send(1, Code::cancelled);
  EXPECT_EQ(put.code, Code::stale_epoch);
  EXPECT_EQ(put.server_epoch, Epoch{9});
}

TEST_F(LinkTest, WhatMakesNoSenseIsNotSent) {
  Get none(0, 0);
  EXPECT_EQ(x_link->submit(none).code(), Code::invalid_argument);
  Get many(kOpItemsMax + 1, 16);
  EXPECT_EQ(x_link->submit(many).code(), Code::invalid_argument);
  Get nameless(1, 16);
  nameless.targets_of[0].hash = {};
  EXPECT_EQ(x_link->submit(nameless).code(), Code::invalid_argument);
  Get roomless(1, 0);
  EXPECT_EQ(x_link->submit(roomless).code(), Code::invalid_argument);
  Put short_payload(kBytes);
  ++short_payload.request.payload_bytes;
  EXPECT_EQ(x_link->submit(short_payload).code(), Code::invalid_argument);
  Put far(kBytes);
  far.request.index = far.request.extent_blocks;
  EXPECT_EQ(x_link->submit(far).code(), Code::invalid_argument);
  Counted<KeysOp> keys(LinkOp::Kind::exists);
  EXPECT_EQ(x_link->submit(keys).code(), Code::invalid_argument);
  EXPECT_TRUE(x_network.sent.empty());
  EXPECT_TRUE(x_link->is_idle());

  LinkOptions options;
  options.client_key = "short";
  EXPECT_EQ(Link::open(std::move(options)).error().code(), Code::invalid_argument);
}

TEST_F(LinkTest, CallbacksMaySubmitAndDestroy) {
  auto first = std::make_unique<Get>(1, kBytes.size());
  Get second(1, kBytes.size());
  first->on_end = [&](LinkOp&) {
    first.reset();
    EXPECT_TRUE(x_link->submit(second).is_ok());
  };
  ASSERT_TRUE(x_link->submit(*first).is_ok());
  reply_misses(0, 0, 1);
  EXPECT_EQ(first, nullptr);
  reply_misses(1, 0, 1);
  EXPECT_EQ(second.ends, 1);
  // The same object again.
  ASSERT_TRUE(x_link->submit(second).is_ok());
  reply_misses(2, 0, 1);
  EXPECT_EQ(second.ends, 2);
}

TEST_F(LinkTest, OfTwoOperationsWithOneMemoryTheFirstAnswerTakesIt) {
  Get first(1, kBytes.size());
  Get second(1, kBytes.size());
  bool taken = false;
  second.targets[0].into = first.targets[0].into;
  first.targets[0].taken = second.targets[0].taken = &taken;
  ASSERT_TRUE(x_link->submit(first).is_ok());
  ASSERT_TRUE(x_link->submit(second).is_ok());
  const std::string others(kBytes.size(), 'x');
  reply_misses(0, 0, 1);
  EXPECT_FALSE(taken) << "an answer without a block takes nothing";
  ASSERT_TRUE(x_link->submit(first).is_ok());

  reply_block(1, 0, kBytes);
  EXPECT_TRUE(second.targets[0].took && taken);
  reply_block(2, 0, others);
  EXPECT_EQ(first.targets[0].code, Code::cancelled);
  EXPECT_FALSE(first.targets[0].took);
  EXPECT_EQ(first.ends, 2);
  land();
  EXPECT_EQ(second.targets[0].code, Code::ok);
  EXPECT_EQ(first.rooms[0].text(), kBytes);

  // Whoever takes it and fails says so, and the memory is free for another.
  taken = false;
  ASSERT_TRUE(x_link->submit(second).is_ok());
  EXPECT_FALSE(second.targets[0].took) << "what an earlier use has left is gone";
  reply_block(3, 0, kBytes);
  land(Code::unavailable);
  EXPECT_EQ(second.targets[0].code, Code::unavailable);
  EXPECT_TRUE(second.targets[0].took);
}

TEST_F(LinkTest, ATableFindsTheLinkByNumberOrByHeader) {
  LinkTable table;
  table.add(17, *x_link);
  Counted<PingOp> by_number;
  Counted<PingOp> by_header;
  ASSERT_TRUE(x_link->submit(by_number).is_ok());
  ASSERT_TRUE(x_link->submit(by_header).is_ok());
  const auto pong = [&](size_t i, uint64_t number, uint64_t id) {
    wire::HeaderBuffer header;
    wire::encode({id, route(i).sequence}, wire::Pong{}, header);
    wire::sign(header, x_server_mac);
    FakePayload payload(x_network, {});
    return table.on_message(number, header.view(), payload);
  };
  EXPECT_FALSE(pong(0, 18, kId));
  EXPECT_FALSE(pong(0, 0, kId + 1));
  EXPECT_EQ(table.unrouted(), 2u);
  EXPECT_TRUE(pong(0, 17, kId));
  EXPECT_TRUE(pong(1, 0, kId));
  EXPECT_EQ(by_number.ends, 1);
  EXPECT_EQ(by_header.ends, 1);
  table.remove(17);
  EXPECT_EQ(table.size(), 0u);
}

}  // namespace
}  // namespace tarn::fabric
