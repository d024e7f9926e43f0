// Requests that prove who they are and still ask for what may not be: each is refused in words, and
// leaves nothing behind.
#include <functional>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "common/base/fault_point.h"
#include "common/wire/seal.h"
#include "tests/unit/server/lane/rig.h"

namespace tarn::lane {
namespace {

using Block = ClientRig::Block;

class HostileClient : public testing::Test {
 protected:
  void SetUp() override {
    x_lane.set_config(make_config(3, 1));
    x_client = std::make_unique<ClientRig>(x_hub, x_lane, ClientRig::Options{});
    ASSERT_EQ(x_client->put({.hash = 1, .epoch = 3}), Code::ok);
  }
  void TearDown() override { fault::disarm_all(); }

  template <typename Request>
  wire::HeaderBuffer sealed(wire::Route route, const Request& request) {
    wire::HeaderBuffer header;
    wire::encode(route, request, header);
    wire::sign(header, *x_client->mac);
    return header;
  }

  struct Answer {
    Code code = Code::internal;  // ok: no answer came
    std::string words;
  };

  // Sends it, with payload, and waits until the lane has nothing left to do.
  Answer ask(const wire::PutRequest& request, fabric::Bytes payload) {
    const auto route = x_client->next_route();
    x_client->send_raw(sealed(route, request), payload);
    for (int i = 0; i < 30; ++i)
      x_client->turn();
    const auto found = x_client->replies.find(route.sequence);
    if (found == x_client->replies.end()) return {Code::ok, ""};
    const wire::Reply& reply = found->second[0].reply;
    if (const auto* error = std::get_if<wire::ErrorReply>(&reply)) {
      return {error->code, std::string(wire::view(error->message))};
    }
    const auto& put = std::get<wire::PutReply>(reply);
    return {put.code, std::string(wire::view(put.message))};
  }

  void expect_nothing_left() {
    EXPECT_TRUE(x_lane.service->is_idle());
    const Peer* peer = x_lane.desk->peers.find(7);
    ASSERT_NE(peer, nullptr) << "the connection goes on";
    EXPECT_EQ(peer->requests, 0u);
    EXPECT_EQ(peer->bytes, 0u);
    EXPECT_EQ(x_lane.tier->usage().blocks, 1u);
  }

  fabric::LoopHub x_hub;
  ManualClock x_clock;
  LaneRig x_lane{x_hub, x_clock, "s1"};
  std::unique_ptr<ClientRig> x_client;
};

struct BentPut {
  const char* name;
  std::function<void(wire::PutRequest&)> bend;
  Code code;
  const char* says;
};

std::vector<BentPut> bent_puts() {
  using Put = wire::PutRequest;
  return {
      {"an older epoch", [](Put& p) { p.head.epoch = {2}; }, Code::stale_epoch, "runs 3"},
      {"a newer epoch", [](Put& p) { p.head.epoch = {4}; }, Code::stale_epoch, "runs 3"},
      {"epoch 0", [](Put& p) { p.head.epoch = {0}; }, Code::stale_epoch, "epoch 0"},
      {"another block at the anchor's place", [](Put& p) { p.anchor = test_hash(99); },
       Code::invalid_argument, "anchor"},
      {"the anchor at another place", [](Put& p) { p.index = 1; }, Code::invalid_argument,
       "anchor"},
      {"an index past G", [](Put& p) { p.index = p.extent_blocks; }, Code::invalid_argument,
       "request"},
      {"G of 0", [](Put& p) { p.extent_blocks = 0; }, Code::invalid_argument, "request"},
      {"G of 65", [](Put& p) { p.extent_blocks = 65; }, Code::invalid_argument, "request"},
      {"no copies", [](Put& p) { p.copies = 0; }, Code::invalid_argument, "request"},
      {"copies that the wire does not know", [](Put& p) { p.copies = 200; }, Code::invalid_argument,
       "request"},
      {"more copies than domains", [](Put& p) { p.copies = 2; }, Code::unavailable,
       "failure domains"},
      {"an empty block", [](Put& p) { p.payload_bytes = 0; }, Code::invalid_argument, "request"},
      {"a block over 64 MiB", [](Put& p) { p.payload_bytes = kBlockBytesMax + 1; },
       Code::invalid_argument, "request"},
      {"fewer bytes than were sent", [](Put& p) { p.payload_bytes -= 1; }, Code::invalid_argument,
       "payload"},
      {"more bytes than were sent", [](Put& p) { p.payload_bytes += 1; }, Code::invalid_argument,
       "payload"},
      {"another checksum", [](Put& p) { p.payload_crc ^= 1; }, Code::corrupt, "checksum"},
      {"another tenant",
       [](Put& p) {
         p.head.for_tenant = true;
         p.head.tenant = block::tenant_id("victim");
       },
       Code::permission_denied, "only servers"},
      {"a backup's copy", [](Put& p) { p.backup = true; }, Code::permission_denied, "ticket"},
      {"a kind of space that is none", [](Put& p) { p.kind = static_cast<block::SpaceKind>(9); },
       Code::invalid_argument, "request"},
  };
}

// The label of tarn_refused_total for a refusal that said so: what the guard finds malformed has
// its own.
std::string cause_of(Code code, const std::string& words) {
  const std::string guard = "request: ";
  if (words.starts_with(guard)) return "malformed_" + words.substr(guard.size());
  return std::string(code_name(code));
}

TEST_F(HostileClient, EachBentPutIsRefusedInWordsAndLeavesNothing) {
  const auto payload = test_payload(50, 10'000);
  for (const BentPut& each : bent_puts()) {
    wire::PutRequest request = x_client->request_of({.hash = 50, .epoch = 3});
    each.bend(request);
    auto counts = x_lane.refusals();
    const Answer answer = ask(request, payload);
    EXPECT_EQ(answer.code, each.code) << each.name << ": " << answer.words;
    EXPECT_NE(answer.words.find(each.says), std::string::npos) << each.name << ": " << answer.words;
    ++counts[cause_of(answer.code, answer.words)];
    EXPECT_EQ(x_lane.refusals(), counts) << each.name << ": counted once, by its cause";
    expect_nothing_left();
  }
  const wire::PutRequest good = x_client->request_of({.hash = 50, .epoch = 3});
  EXPECT_EQ(ask(good, payload).code, Code::ok) << "the same put, unbent";
}

// Every single bit of a signed put, flipped: nothing but silence or a refusal, nothing kept.
TEST_F(HostileClient, ASignedPutWithAnyBitFlippedIsNeverKept) {
  const auto payload = test_payload(50, 100);
  wire::PutRequest request = x_client->request_of({.hash = 50, .bytes = 100, .epoch = 3});
  const wire::HeaderBuffer good = sealed(x_client->next_route(), request);
  for (size_t bit = 0; bit < good.size * 8; ++bit) {
    wire::HeaderBuffer bent = good;
    bent.bytes[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
    x_client->send_raw(bent, payload);
    for (int i = 0; i < 3; ++i)
      x_client->turn();
    ASSERT_EQ(x_lane.tier->usage().blocks, 1u) << "bit " << bit;
  }
  expect_nothing_left();
  EXPECT_TRUE(x_client->replies.empty()) << "who proves nothing hears nothing";
}

// Fields drawn at random and signed properly, as a client with a ticket could: never more than its
// credits in flight, never a block of others, and the lane goes on.
TEST_F(HostileClient, RandomSignedRequestsNeverHarm) {
  std::mt19937_64 random(11);
  const auto pick = [&](uint64_t below) { return random() % below; };
  const auto payload = test_payload(60, 5'000);
  // Fewer than the replay window holds, so that the client's own requests stay within it.
  for (int round = 0; round < 450; ++round) {
    wire::PutRequest put = x_client->request_of({.hash = 60 + pick(20), .bytes = 5'000});
    put.head.epoch = {pick(5)};
    put.anchor = test_hash(60 + pick(20));
    put.index = static_cast<uint16_t>(pick(70));
    put.extent_blocks = static_cast<uint16_t>(pick(70));
    put.copies = static_cast<uint8_t>(pick(4));
    put.allow_less = pick(2) == 0;
    put.payload_bytes = pick(3) == 0 ? random() : 5'000;
    put.head.deadline_us = pick(2) == 0 ? random() : 1000;
    wire::GetRequest get;
    get.head = put.head;
    for (uint64_t i = 0; i <= pick(wire::kItemsMax - 1); ++i)
      get.items.push_back(
          {{static_cast<uint32_t>(pick(3))}, pick(20'000), test_hash(60 + pick(20))});
    const auto route = x_client->next_route();
    if (pick(2) == 0) {
      x_client->send_raw(sealed(route, put), payload);
    } else {
      x_client->send_raw(sealed(route, get));
    }
    x_client->turn();
  }
  for (int i = 0; i < 200; ++i)
    x_client->turn();
  EXPECT_TRUE(x_lane.service->is_idle());
  EXPECT_EQ(x_client->get({.hash = 1, .epoch = 3}), Code::ok);
}

TEST_F(HostileClient, TheGetOfABlockLargerThanItsMemoryMovesNothing) {
  wire::GetRequest request;
  request.head = x_client->request_of({.epoch = 3}).head;
  request.items.push_back({{}, 9'999, test_hash(1)});
  request.items.push_back({{}, 10'000, test_hash(1)});
  request.items.push_back({{}, 0, test_hash(1)});
  const auto route = x_client->next_route();
  x_client->send_raw(sealed(route, request));
  for (int i = 0; i < 30; ++i)
    x_client->turn();
  uint64_t bytes = 0;
  int refused = 0;
  for (const auto& reply : x_client->replies[route.sequence]) {
    bytes += reply.payload_bytes;
    const auto& got = std::get<wire::GetReply>(reply.reply);
    if (got.code == Code::invalid_argument) refused += got.count;
  }
  EXPECT_EQ(bytes, 10'000u) << "the one that fits";
  EXPECT_EQ(refused, 2);
  EXPECT_EQ(x_lane.refused("invalid_argument"), 2u);
}

struct TicketCase {
  const char* name;
  int64_t life_ms;
  Nanos passes;
  Millis grace;
  Code code;
};

TEST_F(HostileClient, ATicketsEndIsJudgedByTheGraceInForce) {
  const TicketCase cases[] = {
      {"fresh", 60'000, std::chrono::seconds(59), kTicketGrace, Code::ok},
      {"in the grace", 60'000, std::chrono::seconds(89), kTicketGrace, Code::ok},
      {"past the grace", 60'000, std::chrono::seconds(91), kTicketGrace, Code::unauthenticated},
      {"routers are away", 60'000, std::chrono::seconds(600), kTicketGraceWithoutRouters, Code::ok},
      {"for too long", 60'000, std::chrono::seconds(661), kTicketGraceWithoutRouters,
       Code::unauthenticated},
  };
  uint64_t id = 100;
  for (const TicketCase& each : cases) {
    ClientRig client(
        x_hub, x_lane,
        {.name = "client" + std::to_string(++id), .connection_id = id, .life_ms = each.life_ms});
    x_lane.desk->ticket_grace = each.grace;
    x_clock.advance(each.passes);
    EXPECT_EQ(client.get({.hash = 1, .epoch = 3}), each.code) << each.name;
    EXPECT_EQ(client.exists({.hash = 1, .epoch = 3}), each.code) << each.name;
    const Code put = client.put({.hash = 1, .epoch = 3});
    EXPECT_EQ(put, each.code == Code::ok ? Code::exists : each.code) << each.name;
  }
  EXPECT_EQ(x_lane.refusals(), (std::map<std::string, uint64_t>{{"unauthenticated", 6}}));
}

TEST_F(HostileClient, AConnectionWhoseTicketEndedLongAgoGoes) {
  ClientRig client(x_hub, x_lane, {.name = "old", .connection_id = 60, .life_ms = 1000});
  x_clock.advance(std::chrono::seconds(620));
  EXPECT_EQ(client.get({.hash = 1, .epoch = 3}), Code::unauthenticated)
      << "it is told for ten minutes";
  x_clock.advance(std::chrono::seconds(15));
  client.turn();
  EXPECT_EQ(x_lane.desk->peers.find(60), nullptr);
  EXPECT_NE(x_lane.desk->peers.find(7), nullptr);
}

// Clients that go, or whose time ends, while they are served.
class FullQueues : public HostileClient {
 protected:
  // Clients that send as much as they were granted, and take no answers.
  std::vector<std::unique_ptr<ClientRig>> hold_clients(size_t count) {
    std::vector<std::unique_ptr<ClientRig>> clients;
    for (size_t i = 0; i < count; ++i) {
      const std::string name = "held" + std::to_string(i);
      clients.push_back(std::make_unique<ClientRig>(
          x_hub, x_lane, ClientRig::Options{.name = name, .connection_id = 200 + i}));
      x_hub.set_path("s1", name, fabric::LoopHub::Path::hold);
    }
    return clients;
  }

  static void send_get(ClientRig& client) {
    wire::GetRequest request;
    request.head = client.request_of({}).head;
    request.items.push_back({{}, 1 << 20, test_hash(1)});
    wire::HeaderBuffer header;
    wire::encode(client.next_route(), request, header);
    wire::sign(header, *client.mac);
    client.send_raw(header);
  }
};

TEST_F(FullQueues, AClientThatGoesWhileItIsServedFreesAll) {
  auto clients = hold_clients(1);
  for (int i = 0; i < 20; ++i)
    send_get(*clients[0]);
  for (int i = 0; i < 20; ++i)
    x_client->turn();
  ASSERT_FALSE(x_lane.service->is_idle());
  ASSERT_EQ(x_client->remove({.hash = 1, .epoch = 3}), Code::ok);
  x_lane.service->remove_peer(200);
  ASSERT_TRUE(x_client->until([&] { return x_lane.service->is_idle(); }));
  EXPECT_EQ(x_lane.desk->peers.size(), 1u);
  EXPECT_EQ(x_client->put({.hash = 1, .epoch = 3}), Code::ok) << "no pin is left of it";
}

TEST_F(FullQueues, AGetWhoseTimeEndsInTheQueueIsAnsweredForTheRest) {
  auto clients = hold_clients(1);
  // More blocks than are sent at a time: some wait when the deadline comes.
  for (uint64_t hash = 2; hash <= 30; ++hash)
    ASSERT_EQ(x_client->put({.hash = hash, .epoch = 3}), Code::ok);
  wire::GetRequest request;
  request.head = clients[0]->request_of({}).head;
  request.head.deadline_us = 100'000;
  for (uint64_t hash = 1; hash <= 30; ++hash)
    request.items.push_back({{}, 10'000, test_hash(hash)});
  const auto route = clients[0]->next_route();
  wire::HeaderBuffer header;
  wire::encode(route, request, header);
  wire::sign(header, *clients[0]->mac);
  clients[0]->send_raw(header);
  for (int i = 0; i < 20; ++i)
    x_client->turn();
  x_clock.advance(std::chrono::milliseconds(200));
  x_client->turn();
  x_hub.set_path("s1", "held0", fabric::LoopHub::Path::pass);
  ASSERT_TRUE(clients[0]->until([&] { return x_lane.service->is_idle(); }));
  for (int i = 0; i < 20; ++i)
    clients[0]->turn();
  int sent = 0;
  int late = 0;
  for (const auto& reply : clients[0]->replies[route.sequence]) {
    const auto& got = std::get<wire::GetReply>(reply.reply);
    (got.code == Code::ok ? sent : late) += got.count;
    EXPECT_TRUE(got.code == Code::ok || got.code == Code::deadline_exceeded);
  }
  EXPECT_EQ(sent, static_cast<int>(GetService::kSendsPerGetMax));
  EXPECT_EQ(sent + late, 30) << "every item has one answer";
}

}  // namespace
}  // namespace tarn::lane
