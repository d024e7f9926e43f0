#include <cstring>

#include <gtest/gtest.h>

#include "common/base/fault_point.h"
#include "common/wire/seal.h"
#include "tests/unit/server/lane/rig.h"

namespace tarn::lane {
namespace {

using Block = ClientRig::Block;
using Counts = std::map<std::string, uint64_t>;

class Serving : public testing::Test {
 protected:
  void SetUp() override { x_lane.set_config(make_config(1, 1)); }
  void TearDown() override { fault::disarm_all(); }

  ClientRig& client() { return client({}); }
  ClientRig& client(ClientRig::Options options) {
    if (x_client == nullptr) x_client = std::make_unique<ClientRig>(x_hub, x_lane, options);
    return *x_client;
  }

  fabric::LoopHub x_hub;
  ManualClock x_clock;
  LaneRig x_lane{x_hub, x_clock, "s1"};
  std::unique_ptr<ClientRig> x_client;
};

TEST_F(Serving, GivesBackWhatWasPut) {
  EXPECT_EQ(client().put({.hash = 1}), Code::ok);
  EXPECT_EQ(client().get({.hash = 1}), Code::ok);
  EXPECT_EQ(client().get({.hash = 2}), Code::not_found);
  EXPECT_EQ(client().exists({.hash = 1}), Code::ok);
  EXPECT_EQ(client().exists({.hash = 2}), Code::not_found);
  EXPECT_EQ(client().put({.hash = 1}), Code::exists);
  EXPECT_EQ(client().remove({.hash = 1}), Code::ok);
  EXPECT_EQ(client().get({.hash = 1}), Code::not_found);
}

TEST_F(Serving, BlocksOfManySizes) {
  uint64_t hash = 1;
  for (const uint64_t bytes : {uint64_t{1}, uint64_t{4097}, 300 * kKiB, 3 * kMiB}) {
    EXPECT_EQ(client().put({.hash = hash, .bytes = bytes}), Code::ok);
    EXPECT_EQ(client().get({.hash = hash, .bytes = bytes}), Code::ok);
    ++hash;
  }
}

TEST_F(Serving, OneRequestForManyBlocks) {
  for (uint64_t hash = 1; hash <= 100; ++hash)
    ASSERT_EQ(client().put({.hash = hash}), Code::ok);
  std::vector<std::vector<std::byte>> memory(200, std::vector<std::byte>(10'000));
  std::vector<fabric::MutableBytes> parts(memory.begin(), memory.end());
  std::vector<fabric::GetTarget> targets(200);
  for (uint64_t i = 0; i < 200; ++i) {
    targets[i].hash = test_hash(i + 1);
    targets[i].into = std::span(&parts[i], 1);
  }
  fabric::GetOp op;
  op.head.space = x_client->request_of({}).head.space;
  op.deadline = x_clock.now() + std::chrono::seconds(2);
  op.targets = targets;
  bool ended = false;
  op.on_end = [&](fabric::LinkOp&) { ended = true; };
  ASSERT_TRUE(client().link->submit(op).is_ok());
  ASSERT_TRUE(client().until([&] { return ended; }));
  for (uint64_t i = 0; i < 200; ++i) {
    EXPECT_EQ(targets[i].code, i < 100 ? Code::ok : Code::not_found) << i;
    if (i < 100) {
      EXPECT_EQ(memory[i], test_payload(i + 1, 10'000));
    }
  }
}

TEST_F(Serving, AWrongEpochIsFencedForPutsAndNeverForGets) {
  EXPECT_EQ(client().put({.hash = 1, .epoch = 1}), Code::ok);
  x_lane.set_config(make_config(5, 1));
  std::string words;
  EXPECT_EQ(client().put({.hash = 2, .epoch = 1}, &words), Code::stale_epoch);
  EXPECT_NE(words.find("5"), std::string::npos);
  EXPECT_EQ(client().put({.hash = 2, .epoch = 9}), Code::stale_epoch);
  EXPECT_EQ(x_lane.refused("stale_epoch"), 2u);
  EXPECT_EQ(client().remove({.hash = 1, .epoch = 1}), Code::stale_epoch);
  EXPECT_EQ(client().get({.hash = 1, .epoch = 1}), Code::ok);
  EXPECT_EQ(client().put({.hash = 2, .epoch = 5}), Code::ok);
  EXPECT_EQ(x_lane.refusals(), (Counts{{"stale_epoch", 3}}));
}

TEST_F(Serving, AServerThatIsNoMemberTakesNothing) {
  x_lane.set_config(make_config(1, 0));
  EXPECT_EQ(client().put({.hash = 1}), Code::unavailable);
  EXPECT_EQ(x_lane.refusals(), (Counts{{"unavailable", 1}}));
}

TEST_F(Serving, AnExpiredTicketServesNothing) {
  client({.life_ms = 60'000});
  EXPECT_EQ(client().put({.hash = 1}), Code::ok);
  x_clock.advance(std::chrono::minutes(3));
  EXPECT_EQ(client().get({.hash = 1}), Code::unauthenticated);
  EXPECT_EQ(x_lane.refused("unauthenticated"), 1u);
}

TEST_F(Serving, ARevokedTicketLosesItsConnection) {
  EXPECT_EQ(client().put({.hash = 1}), Code::ok);
  auto config = make_config(2, 1);
  config.revocations["acme"] = 1;
  x_lane.set_config(config);
  x_client->turn();
  EXPECT_EQ(x_lane.desk->peers.find(7), nullptr);
}

TEST_F(Serving, RightsAndSpacesBindTheTicket) {
  client({.rights = auth::right::kRead});
  EXPECT_EQ(client().put({.hash = 1}), Code::permission_denied);
  EXPECT_EQ(client().remove({.hash = 1}), Code::permission_denied);
  EXPECT_EQ(client().get({.hash = 1}), Code::not_found);
  ClientRig narrow(x_hub, x_lane, {.name = "narrow", .spaces = {SpaceId{{9}}}, .connection_id = 8});
  EXPECT_EQ(narrow.get({.hash = 1}), Code::permission_denied);
  EXPECT_EQ(x_lane.refusals(), (Counts{{"permission_denied", 3}})) << "a miss is no refusal";
}

TEST_F(Serving, TenantsNeverMeet) {
  EXPECT_EQ(client().put({.hash = 1}), Code::ok);
  ClientRig other(x_hub, x_lane, {.name = "other", .tenant = "evil", .connection_id = 8});
  EXPECT_EQ(other.get({.hash = 1}), Code::not_found);
  EXPECT_EQ(other.exists({.hash = 1}), Code::not_found);
  EXPECT_EQ(other.remove({.hash = 1}), Code::not_found);
  EXPECT_EQ(client().get({.hash = 1}), Code::ok);
}

TEST_F(Serving, OnlyServersActForOthersOrAsBackups) {
  fabric::PutOp op;
  bool ended = false;
  const auto bytes = test_payload(1, 10'000);
  const fabric::Bytes part(bytes);
  op.payload = std::span(&part, 1);
  op.request = client().request_of({.hash = 1});
  op.request.backup = true;
  op.head = op.request.head;
  op.head.for_tenant = true;
  op.deadline = x_clock.now() + std::chrono::seconds(1);
  op.on_end = [&](fabric::LinkOp&) { ended = true; };
  ASSERT_TRUE(client().link->submit(op).is_ok());
  ASSERT_TRUE(client().until([&] { return ended; }));
  EXPECT_EQ(op.code, Code::permission_denied);
  EXPECT_EQ(x_lane.refusals(), (Counts{{"permission_denied", 1}}));
}

TEST_F(Serving, TheAnchorsOwnerEnforcesTheExtent) {
  EXPECT_EQ(client().put({.hash = 1}), Code::ok);
  EXPECT_EQ(client().put({.hash = 2, .anchor = 1, .index = 1}), Code::ok);
  EXPECT_EQ(client().put({.hash = 3, .anchor = 1, .index = 1}), Code::extent_full);
  EXPECT_EQ(x_lane.refused("extent_full"), 1u);
}

TEST_F(Serving, AClassThatCannotBeHadIsRefused) {
  std::string words;
  EXPECT_EQ(client().put({.hash = 1, .copies = 2}, &words), Code::unavailable);
  EXPECT_NE(words.find("failure domains"), std::string::npos) << words;
  EXPECT_EQ(client().get({.hash = 1}), Code::not_found);
  EXPECT_EQ(client().put({.hash = 1, .copies = 2, .allow_less = true}), Code::kept_less);
  EXPECT_EQ(x_lane.refusals(), (Counts{{"unavailable", 1}})) << "the class that was asked for";
  EXPECT_EQ(client().get({.hash = 1}), Code::ok);
}

TEST_F(Serving, WrongBytesAreNotKept) {
  fabric::PutOp op;
  bool ended = false;
  const auto bytes = test_payload(2, 10'000);
  const fabric::Bytes part(bytes);
  op.payload = std::span(&part, 1);
  ASSERT_TRUE(client().begin_put(op, {.hash = 1}, ended).is_ok());
  ASSERT_TRUE(client().until([&] { return ended; }));
  EXPECT_EQ(op.code, Code::corrupt);
  EXPECT_EQ(x_lane.refused("corrupt"), 1u);
  EXPECT_EQ(client().exists({.hash = 1}), Code::not_found);
  EXPECT_EQ(client().put({.hash = 1}), Code::ok);
}

// Over `local` the server makes the checksum, from the bytes that it copies.
TEST_F(Serving, APutWithASampleGetsItsChecksumHere) {
  (void)client({.fabric = fabric::Kind::local});
  EXPECT_EQ(client().put_sampled({.hash = 1, .bytes = 300'000}, 1), Code::ok);
  EXPECT_EQ(client().get({.hash = 1, .bytes = 300'000}), Code::ok) << "verified by the getter";
  EXPECT_EQ(client().put_sampled({.hash = 2, .bytes = 300'000}, 3), Code::corrupt)
      << "bytes of another";
  EXPECT_EQ(x_lane.refused("corrupt"), 1u);
  EXPECT_EQ(client().exists({.hash = 2}), Code::not_found);
}

TEST_F(Serving, APutWithASampleComesOverNoWire) {
  EXPECT_EQ(client().put_sampled({.hash = 1, .bytes = 300'000}, 1), Code::invalid_argument);
  EXPECT_EQ(client().exists({.hash = 1}), Code::not_found);
}

TEST_F(Serving, AFailedReceiveLeavesNothing) {
  fault::arm("store.put_receive", {});
  EXPECT_EQ(client().put({.hash = 1}), Code::unavailable);
  fault::arm("store.put_visible", {});
  EXPECT_EQ(client().put({.hash = 1}), Code::internal);
  EXPECT_EQ(client().exists({.hash = 1}), Code::not_found);
  EXPECT_EQ(client().put({.hash = 1}), Code::ok);
}

TEST_F(Serving, ALostAnswerEndsAtTheRequestersDeadline) {
  fault::arm("lane.reply_dropped", {});
  fabric::PutOp op;
  bool ended = false;
  const auto bytes = test_payload(1, 10'000);
  const fabric::Bytes part(bytes);
  op.payload = std::span(&part, 1);
  ASSERT_TRUE(client().begin_put(op, {.hash = 1}, ended).is_ok());
  for (int i = 0; i < 100; ++i)
    client().turn();
  EXPECT_FALSE(ended);
  x_clock.advance(std::chrono::seconds(3));
  ASSERT_TRUE(client().until([&] { return ended; }));
  EXPECT_EQ(op.code, Code::deadline_exceeded);
  EXPECT_EQ(client().put({.hash = 1}), Code::exists);
}

TEST_F(Serving, TwoPutsOfOneBlockAtATime) {
  ClientRig other(x_hub, x_lane, {.name = "other", .connection_id = 8});
  fabric::PutOp a, b;
  bool a_ended = false, b_ended = false;
  const auto bytes = test_payload(1, 10'000);
  const fabric::Bytes part(bytes);
  a.payload = b.payload = std::span(&part, 1);
  client().put({.hash = 9});
  ASSERT_TRUE(client().begin_put(a, {.hash = 1}, a_ended).is_ok());
  ASSERT_TRUE(other.begin_put(b, {.hash = 1}, b_ended).is_ok());
  ASSERT_TRUE(client().until([&] {
    other.port->progress();
    return a_ended && b_ended;
  }));
  EXPECT_EQ(a.code, Code::ok);
  EXPECT_TRUE(b.code == Code::overloaded || b.code == Code::exists);
  EXPECT_EQ(other.get({.hash = 1}), Code::ok);
}

TEST_F(Serving, AGetterThatDoesNotTakeItsBytesIsCutOff) {
  ASSERT_EQ(client().put({.hash = 1}), Code::ok);
  wire::GetRequest request;
  request.head = client().request_of({}).head;
  request.items.push_back({{}, 1 << 20, test_hash(1)});
  x_hub.set_path("s1", "client", fabric::LoopHub::Path::hold);
  wire::HeaderBuffer header;
  wire::encode(client().next_route(), request, header);
  wire::sign(header, *client().mac);
  client().send_raw(header);
  for (int i = 0; i < 100; ++i)
    client().turn();
  EXPECT_FALSE(x_lane.service->is_idle());
  x_clock.advance(std::chrono::seconds(3));
  EXPECT_TRUE(client().until([&] { return x_lane.service->is_idle(); }));
  EXPECT_EQ(x_lane.desk->peers.find(7), nullptr);
  EXPECT_EQ(x_lane.metrics.forced_closes.value(), 1u);
}

TEST_F(Serving, MoreRequestsThanGrantedAreOverloaded) {
  ASSERT_EQ(client().put({.hash = 1}), Code::ok);
  x_hub.set_path("s1", "client", fabric::LoopHub::Path::hold);
  wire::GetRequest request;
  request.head = client().request_of({}).head;
  request.items.push_back({{}, 1 << 20, test_hash(1)});
  wire::HeaderBuffer header;
  for (uint32_t i = 0; i < 2 * kCreditsPromised + 5; ++i) {
    wire::encode(client().next_route(), request, header);
    wire::sign(header, *client().mac);
    client().send_raw(header);
  }
  for (int i = 0; i < 100; ++i)
    client().turn();
  EXPECT_EQ(x_lane.refused("overloaded"), 5u);
  x_hub.set_path("s1", "client", fabric::LoopHub::Path::pass);
  EXPECT_TRUE(client().until([&] { return x_lane.service->is_idle(); }));
}

class Hostile : public Serving {
 protected:
  void send(const wire::HeaderBuffer& header) {
    client().send_raw(header);
    for (int i = 0; i < 20; ++i)
      client().turn();
  }
  wire::HeaderBuffer exists_request(wire::Route route) {
    wire::ExistsRequest request;
    request.head = client().request_of({}).head;
    request.items.push_back({{}, test_hash(1)});
    wire::HeaderBuffer header;
    wire::encode(route, request, header);
    return header;
  }
};

TEST_F(Hostile, RubbishIsCountedAndGetsNoAnswer) {
  wire::HeaderBuffer header;
  header.size = 100;
  std::memset(header.bytes.data(), 0xee, header.size);
  send(header);
  header.size = 3;
  send(header);
  EXPECT_EQ(x_lane.refused("malformed_magic"), 1u);
  EXPECT_EQ(x_lane.refused("malformed_too_short"), 1u);
  EXPECT_TRUE(client().replies.empty());
  EXPECT_EQ(client().put({.hash = 1}), Code::ok);
}

TEST_F(Hostile, AForgedTagGetsNoAnswer) {
  auto key = auth::RequestMac::open(std::string(32, 'x'), client().binding);
  auto header = exists_request(client().next_route());
  wire::sign(header, *key);
  send(header);
  EXPECT_EQ(x_lane.refused("malformed_mac"), 1u);
  EXPECT_TRUE(client().replies.empty());
}

TEST_F(Hostile, AReplayIsRefused) {
  auto header = exists_request(client().next_route());
  wire::sign(header, *client().mac);
  send(header);
  send(header);
  EXPECT_EQ(x_lane.refused("malformed_replay"), 1u);
  ASSERT_EQ(client().replies.size(), 1u);
  EXPECT_EQ(client().replies.begin()->second.size(), 1u);
}

TEST_F(Hostile, AnUnknownConnectionAndAnotherLaneAreRefused) {
  auto header = exists_request({12345, 501});
  wire::sign(header, *client().mac);
  send(header);
  EXPECT_EQ(x_lane.refused("malformed_unknown_connection"), 1u);
  header = exists_request({7, wire::first_sequence(3) + 1});
  wire::sign(header, *client().mac);
  send(header);
  EXPECT_EQ(x_lane.refused("malformed_lane"), 1u);
}

TEST_F(Hostile, APutWhosePayloadIsOfAnotherSizeIsToldSo) {
  const auto route = client().next_route();
  wire::HeaderBuffer header;
  wire::encode(route, client().request_of({.hash = 1}), header);
  wire::sign(header, *client().mac);
  const auto bytes = test_payload(1, 5'000);
  client().send_raw(header, bytes);
  ASSERT_TRUE(client().until([&] { return client().replies.contains(route.sequence); }));
  const auto& reply = std::get<wire::ErrorReply>(client().replies[route.sequence][0].reply);
  EXPECT_EQ(reply.code, Code::invalid_argument);
  EXPECT_EQ(x_lane.refusals(), (Counts{{"malformed_payload", 1}})) << "counted once";
}

TEST_F(Hostile, RandomBytesNeverHarm) {
  ASSERT_EQ(client().put({.hash = 1}), Code::ok);
  uint64_t state = 42;
  auto header = exists_request(client().next_route());
  wire::sign(header, *client().mac);
  for (int round = 0; round < 2000; ++round) {
    wire::HeaderBuffer bent = header;
    state = state * 6364136223846793005u + 1442695040888963407u;
    bent.bytes[(state >> 33) % bent.size] ^= static_cast<std::byte>(1 + (state >> 20) % 255);
    client().send_raw(bent);
    client().turn();
  }
  EXPECT_EQ(client().get({.hash = 1}), Code::ok);
}

}  // namespace
}  // namespace tarn::lane
