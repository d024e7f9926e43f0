#include "server/lane/lane.h"

#include <atomic>
#include <future>

#include <gtest/gtest.h>

#include "common/fabric/loop_port.h"
#include "server/lane/fabric_metrics.h"
#include "server/lane/pool.h"
#include "tests/unit/server/lane/rig.h"
#include "tests/unit/until.h"

namespace tarn::lane {
namespace {

using thread::Inbox;

TEST(Inbox, RunsWhatWasPostedInOrder) {
  Inbox inbox(*fabric::Event::open());
  std::vector<int> ran;
  for (int i = 0; i < 3; ++i)
    ASSERT_TRUE(inbox.post([&ran, i] { ran.push_back(i); }).is_ok());
  EXPECT_EQ(inbox.run_all(), 3u);
  EXPECT_EQ(ran, (std::vector<int>{0, 1, 2}));
  EXPECT_EQ(inbox.run_all(), 0u);
}

TEST(Inbox, ATaskMayPostAnother) {
  Inbox inbox(*fabric::Event::open());
  bool ran = false;
  ASSERT_TRUE(inbox.post([&] { (void)inbox.post([&ran] { ran = true; }); }).is_ok());
  EXPECT_EQ(inbox.run_all(), 1u);
  EXPECT_FALSE(ran);
  EXPECT_EQ(inbox.run_all(), 1u);
  EXPECT_TRUE(ran);
}

TEST(Inbox, IsBoundedAndCanBeClosed) {
  Inbox inbox(*fabric::Event::open());
  for (size_t i = 0; i < Inbox::kCapacity; ++i)
    ASSERT_TRUE(inbox.post([] {}).is_ok());
  EXPECT_EQ(inbox.post([] {}).code(), Code::overloaded);
  inbox.close();
  EXPECT_EQ(inbox.run_all(), Inbox::kCapacity);
  EXPECT_EQ(inbox.post([] {}).code(), Code::unavailable);
}

struct Thing {
  bool in_use = false;
};

TEST(Pool, GivesWhatItHasAndNoMore) {
  Pool<Thing> pool(2);
  Thing* a = pool.take();
  Thing* b = pool.take();
  ASSERT_TRUE(a != nullptr && b != nullptr);
  EXPECT_EQ(pool.take(), nullptr);
  EXPECT_EQ(pool.used(), 2u);
  pool.give_back(*a);
  EXPECT_EQ(pool.take(), a);
  pool.for_each([&pool](Thing& each) { pool.give_back(each); });
  EXPECT_EQ(pool.used(), 0u);
}

PeerSpec spec_of(uint64_t id, const std::string& tenant) {
  PeerSpec spec;
  spec.connection_id = id;
  spec.ticket.holder = *auth::make_identity(auth::Role::tenant, tenant);
  spec.client_key = std::string(32, 'k');
  return spec;
}

TEST(Peers, AreBoundedPerTenant) {
  Peers peers;
  for (uint64_t id = 1; id <= Peers::kPeersOfTenantMax; ++id)
    ASSERT_TRUE(peers.add(spec_of(id, "greedy")).has_value());
  EXPECT_EQ(peers.add(spec_of(9999, "greedy")).error().code(), Code::overloaded);
  EXPECT_TRUE(peers.add(spec_of(9999, "modest")).has_value());
}

TEST(Peers, AClosedOneGoesWhenNothingRefersToIt) {
  Peers peers;
  Peer* peer = *peers.add(spec_of(1, "acme"));
  EXPECT_EQ(peers.add(spec_of(1, "acme")).error().code(), Code::invalid_argument);
  peer->requests = 1;
  peers.close(*peer);
  EXPECT_EQ(peers.find(1), nullptr);
  peers.sweep();
  EXPECT_EQ(peers.size(), 1u);
  peer->requests = 0;
  peers.sweep();
  EXPECT_EQ(peers.size(), 0u);
}

TEST(Peers, AKeyOfAnotherLengthIsRefused) {
  Peers peers;
  PeerSpec spec = spec_of(1, "acme");
  spec.client_key = "short";
  EXPECT_EQ(peers.add(spec).error().code(), Code::invalid_argument);
}

// A fabric that does not end what it is told to end.
class StuckPort : public fabric::Port {
 public:
  explicit StuckPort(const std::atomic<uint64_t>& quarantined) : x_quarantined(quarantined) {}
  fabric::Kind kind() const override { return fabric::Kind::ucx; }
  std::string address() const override { return "stuck"; }
  std::string transport() const override { return "none"; }
  void set_handler(fabric::Handler) override {}
  Result<std::unique_ptr<fabric::Connection>> connect(fabric::ConnectOptions) override {
    return unavailable("it is stuck");
  }
  size_t progress() override { return 0; }
  bool arm() override { return true; }
  int event_fd() const override { return -1; }
  bool idle() const override { return true; }
  uint64_t quarantined_total() const override { return x_quarantined.load(); }

 private:
  const std::atomic<uint64_t>& x_quarantined;
};

// A lane with its thread.
class LaneThread : public testing::Test {
 protected:
  void SetUp() override {
    x_pool = std::move(
        *memory::SlabPool::open({.shelves = {{memory::kMixedSlabBytes, 1}}, .prefault = false}));
    ASSERT_TRUE(x_pool->wait_until_full(Millis(10'000)).is_ok());
    open();
  }

  void open(std::unique_ptr<fabric::Port> another = nullptr) {
    LaneOptions options;
    options.memory.pool = x_pool.get();
    options.memory.cap_bytes = 64 * kMiB;
    options.events = &x_events;
    options.registry = &x_registry;
    options.ports.push_back(fabric::LoopPort::open(x_hub, "s1").value());
    if (another != nullptr) options.ports.push_back(std::move(another));
    auto opened = Lane::open(std::move(options));
    ASSERT_TRUE(opened.has_value());
    x_lane = std::move(*opened);
  }

  fabric::LoopHub x_hub;
  metrics::Registry x_registry;
  store::EventLog x_events;
  std::unique_ptr<memory::SlabPool> x_pool;
  std::unique_ptr<Lane> x_lane;
};

TEST_F(LaneThread, RunsTasksAndSaysItsPorts) {
  EXPECT_TRUE(x_lane->call([] { return Status::ok(); }, std::chrono::seconds(5)).is_ok());
  EXPECT_EQ(x_lane->call([] { return not_found("x"); }, std::chrono::seconds(5)).code(),
            Code::not_found);
  ASSERT_EQ(x_lane->ports().size(), 1u);
  EXPECT_EQ(x_lane->ports()[0].address, "s1");
}

TEST_F(LaneThread, ACallEndsByItsTimeout) {
  std::promise<void> gate;
  auto opened = gate.get_future();
  ASSERT_TRUE(x_lane->post([&opened] { opened.wait(); }).is_ok());
  EXPECT_EQ(x_lane->call([] { return Status::ok(); }, std::chrono::milliseconds(10)).code(),
            Code::deadline_exceeded);
  gate.set_value();
  EXPECT_TRUE(x_lane->call([] { return Status::ok(); }, std::chrono::seconds(5)).is_ok());
}

TEST_F(LaneThread, ConnectionsNeedAFabricThatIsThere) {
  PeerSpec spec = spec_of(1, "acme");
  spec.fabric = fabric::Kind::ucx;
  EXPECT_EQ(x_lane->add_peer(spec, std::chrono::seconds(5)).code(), Code::unsupported);
  auto port = fabric::LoopPort::open(x_hub, "client").value();
  spec.fabric = fabric::Kind::loop;
  spec.address = "client";
  EXPECT_TRUE(x_lane->add_peer(spec, std::chrono::seconds(5)).is_ok());
  EXPECT_EQ(x_lane->remove_peer_of(1, "evil", std::chrono::seconds(5)).code(), Code::not_found);
  EXPECT_TRUE(x_lane->remove_peer_of(1, "acme", std::chrono::seconds(5)).is_ok());
  EXPECT_EQ(x_lane->remove_peer_of(1, "acme", std::chrono::seconds(5)).code(), Code::not_found);
}

TEST_F(LaneThread, ScansAndClosesTwice) {
  const auto chunk = x_lane->scan({{0}, {UINT64_MAX}}, 10, std::chrono::seconds(5));
  ASSERT_TRUE(chunk.has_value());
  EXPECT_TRUE(chunk->blocks.empty());
  EXPECT_FALSE(chunk->next.has_value());
  x_lane->close();
  x_lane->close();
  EXPECT_EQ(x_lane->post([] {}).code(), Code::unavailable);
  EXPECT_EQ(x_lane->scan({}, 10, std::chrono::seconds(5)).error().code(), Code::unavailable);
}

TEST_F(LaneThread, WhatAPortQuarantinesIsAMetricOfTheLane) {
  std::atomic<uint64_t> quarantined{2};
  x_lane.reset();
  open(std::make_unique<StuckPort>(quarantined));
  const metrics::Counter& counter =
      x_registry.counter("tarn_fabric_quarantined_total", "x", {{"lane", "0"}});
  EXPECT_TRUE(until([&] { return counter.value() == 2; })) << counter.value();
  quarantined = 5;
  EXPECT_TRUE(until([&] { return counter.value() == 5; })) << counter.value();
  x_lane->close();
  EXPECT_EQ(counter.value(), 5u) << "a lane without ports takes nothing back";
}

TEST(FabricMetrics, CountWhatCameSinceTheLastTimeByCause) {
  metrics::Registry registry;
  FabricMetrics metrics(registry, 3);
  const auto dropped = [&registry](const std::string& cause) {
    return registry
        .counter("tarn_fabric_dropped_replies_total", "x", {{"cause", cause}, {"lane", "3"}})
        .value();
  };
  fabric::LinkCounters links;
  links.late_replies = 1;
  links.repeated_replies = 2;
  links.foreign_replies = 3;
  links.unknown_replies = 4;
  links.refused.add(wire::Refusal::mac);
  links.corrupt_payloads = links.size_mismatches = links.deadlines = 100;
  for (const uint64_t rounds : {1u, 2u}) {
    metrics.publish({.quarantined = 7, .unrouted = 5 * rounds, .links = links});
    EXPECT_EQ(dropped("late"), 1u);
    EXPECT_EQ(dropped("repeated"), 2u);
    EXPECT_EQ(dropped("foreign"), 3u);
    EXPECT_EQ(dropped("unknown"), 4u);
    EXPECT_EQ(dropped("unrouted"), 5u * rounds);
    EXPECT_EQ(dropped("malformed_mac"), rounds);
    EXPECT_EQ(dropped("malformed_type"), 0u);
    EXPECT_EQ(registry.counter("tarn_fabric_quarantined_total", "x", {{"lane", "3"}}).value(), 7u);
    links.refused.add(wire::Refusal::mac);
  }
}

TEST(View, KnowsItself) {
  const auto view = make_view(make_config(3, 2), "s2");
  ASSERT_TRUE(view.has_value());
  EXPECT_EQ((*view)->self, ServerId{2});
  EXPECT_EQ((*view)->epoch(), Epoch{3});
  EXPECT_EQ((*make_view(make_config(3, 2), "s9"))->self, ring::kNoServer);
  auto broken = make_config(3, 2);
  broken.members[1].id = broken.members[0].id;
  EXPECT_EQ(make_view(broken, "s1").error().code(), Code::invalid_argument);
}

}  // namespace
}  // namespace tarn::lane
