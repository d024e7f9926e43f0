// Whose blocks leave a lane first, when more is asked for than its window holds.
#include <functional>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "common/base/units.h"
#include "common/block/key.h"
#include "common/wire/seal.h"
#include "server/lane/get_service.h"
#include "tests/unit/server/lane/rig.h"

namespace tarn::lane {
namespace {

constexpr uint64_t kLarge = 1;
constexpr uint64_t kSmall = 2;

class Order : public testing::Test {
 protected:
  void SetUp() override {
    x_lane.set_config(make_config(1, 1));
    ClientRig& putter = join("putter", "acme");
    ASSERT_EQ(putter.put({.hash = kLarge, .bytes = 2 * kMiB}), Code::ok);
    ASSERT_EQ(putter.put({.hash = kSmall, .bytes = 64 * kKiB}), Code::ok);
  }
  void TearDown() override {
    for (const auto& client : x_clients)
      x_hub.set_path("s1", client->options.name, fabric::LoopHub::Path::pass);
    EXPECT_TRUE(until([&] { return x_lane.service->is_idle(); }));
  }

  ClientRig& join(const std::string& name, const std::string& tenant, bool is_server = false) {
    ClientRig::Options options{.name = name, .tenant = tenant};
    options.connection_id = 100 + x_clients.size();
    if (is_server) options.rights = auth::right::kAll;
    x_clients.push_back(std::make_unique<ClientRig>(x_hub, x_lane, options));
    return *x_clients.back();
  }
  Peer& peer_of(const ClientRig& client) {
    return *x_lane.desk->peers.find(client.options.connection_id);
  }

  // Gets of eight blocks each.
  void ask(ClientRig& client, int gets, uint64_t hash = kLarge) {
    wire::GetRequest request;
    request.head = client.request_of({}).head;
    request.head.deadline_us = 60'000'000;
    request.head.for_tenant = peer_of(client).is_server();
    if (request.head.for_tenant) request.head.tenant = block::tenant_id("acme");
    for (int i = 0; i < 8; ++i)
      request.items.push_back({{}, 2 * kMiB, test_hash(hash)});
    wire::HeaderBuffer header;
    for (; gets > 0; --gets) {
      wire::encode(client.next_route(), request, header);
      wire::sign(header, *client.mac);
      client.send_raw(header);
    }
  }
  static size_t answers(const ClientRig& client) {
    size_t count = 0;
    for (const auto& [sequence, replies] : client.replies)
      count += replies.size();
    return count;
  }

  // Everybody reads what is there.
  void turn() {
    x_lane.turn();
    for (const auto& client : x_clients)
      client->port->progress();
  }
  bool until(const std::function<bool()>& condition) {
    for (x_turns = 0; x_turns < 100'000; ++x_turns) {
      if (condition()) return true;
      turn();
    }
    return false;
  }

  fabric::LoopHub x_hub;
  ManualClock x_clock;
  LaneRig x_lane{x_hub, x_clock, "s1"};
  std::vector<std::unique_ptr<ClientRig>> x_clients;
  int x_turns = 0;
};

TEST_F(Order, ASmallGetDoesNotWaitForEightLargeOnes) {
  ClientRig& large = join("large", "acme");
  ClientRig& small = join("small", "acme");
  ask(large, 8);
  x_lane.turn();
  EXPECT_LE(peer_of(large).flow.bytes(), Turns::kWindowBytes / 2 + 2 * kMiB);
  ask(small, 1, kSmall);
  ASSERT_TRUE(until([&] { return answers(small) == 8; }));
  EXPECT_LT(answers(large), 32u);
  ASSERT_TRUE(until([&] { return answers(large) == 64; }));
}

// Also on the same connection, and the order of gets is kept.
TEST_F(Order, GetsOfOneConnectionAreServedInTheirOrder) {
  ClientRig& client = join("one", "acme");
  ask(client, 8);
  ask(client, 1, kSmall);
  x_lane.turn();
  EXPECT_EQ(x_lane.metrics.get_turn.snapshot().count(), 0u) << "the first did not wait";
  x_clock.advance(std::chrono::milliseconds(3));
  ASSERT_TRUE(until([&] { return answers(client) == 72; }));
  ASSERT_TRUE(until([&] { return x_lane.service->is_idle(); }));
  EXPECT_EQ(peer_of(client).flow.bytes(), 0u);
  EXPECT_EQ(x_lane.metrics.get_turn.snapshot().count(), 7u) << "two had begun";
  EXPECT_EQ(x_lane.desk->peers.turns().bytes(), 0u);
}

TEST_F(Order, ATenantWithOneConnectionGetsAsMuchAsOneWithEight) {
  std::vector<ClientRig*> many;
  for (int i = 0; i < 8; ++i)
    many.push_back(&join("many" + std::to_string(i), "acme"));
  // Another tenant's blocks are its own.
  ClientRig& one = join("one", "zenith");
  ASSERT_EQ(one.put({.hash = kLarge, .bytes = 2 * kMiB}), Code::ok);
  for (ClientRig* const each : many)
    ask(*each, 8);
  ask(one, 16);
  const auto of_many = [&] {
    size_t count = 0;
    for (const ClientRig* const each : many)
      count += answers(*each);
    return count;
  };
  ASSERT_TRUE(until([&] { return answers(one) + of_many() >= 160; }));
  EXPECT_NEAR(static_cast<double>(answers(one)), static_cast<double>(of_many()), 16.0);
}

TEST_F(Order, GetsOfClientsComeBeforeThoseOfServers) {
  ClientRig& server = join("s2", "s2", true);
  ClientRig& other = join("s3", "s3", true);
  ask(server, 16);
  ask(other, 16);
  x_lane.turn();
  std::vector<ClientRig*> clients;
  for (int i = 0; i < 3; ++i)
    clients.push_back(&join("c" + std::to_string(i), "acme"));
  for (ClientRig* const each : clients)
    ask(*each, 8);
  size_t read = 0;
  ASSERT_TRUE(until([&] {
    read = 0;
    for (const ClientRig* const each : clients)
      read += answers(*each);
    return read == 3 * 64;
  }));
  const size_t copied = answers(server) + answers(other);
  EXPECT_GE(copied, read / 17) << "nobody starves";
  EXPECT_LE(copied, read / 2);
  ASSERT_TRUE(until([&] { return answers(server) + answers(other) == 256; }));
  ASSERT_TRUE(until([&] { return x_lane.service->is_idle(); }));
  EXPECT_EQ(x_lane.metrics.background_bytes.value() * 7 / 4, x_lane.metrics.get_bytes.value());
}

TEST_F(Order, AStoppedReaderCostsOthersNothing) {
  ClientRig& reader = join("reader", "acme");
  ask(reader, 8);
  ASSERT_TRUE(until([&] { return answers(reader) == 64; }));
  const int alone = x_turns;
  for (int i = 0; i < 12; ++i) {
    const std::string name = "mute" + std::to_string(i);
    ClientRig& mute = join(name, i % 2 == 0 ? "acme" : name);
    const Code put = mute.put({.hash = kLarge, .bytes = 2 * kMiB});
    ASSERT_EQ(put, i % 2 == 0 ? Code::exists : Code::ok);
    x_hub.set_path("s1", name, fabric::LoopHub::Path::hold);
    ask(mute, 16);
    turn();
  }
  for (int i = 0; i < 12; ++i) {
    turn();
    x_clock.advance(Turns::kStalledAfter + std::chrono::milliseconds(1));
  }
  turn();
  ask(reader, 8);
  ASSERT_TRUE(until([&] { return answers(reader) == 128; }));
  EXPECT_LE(x_turns, alone + 1);
}

// Before it counts as stopped, too, others go on.
TEST_F(Order, AReaderThatHasJustStoppedKeepsNobodyWaiting) {
  for (int i = 0; i < 12; ++i) {
    ClientRig& mute = join("mute" + std::to_string(i), "acme");
    x_hub.set_path("s1", mute.options.name, fabric::LoopHub::Path::hold);
    ask(mute, 16);
    turn();
  }
  ClientRig& reader = join("reader", "zenith");
  ASSERT_EQ(reader.put({.hash = kLarge, .bytes = 2 * kMiB}), Code::ok);
  ask(reader, 8);
  ASSERT_TRUE(until([&] { return answers(reader) == 64; }));
}

}  // namespace
}  // namespace tarn::lane
