#include <gmock/gmock.h>

#include <functional>
#include <thread>

#include "tests/unit/sdk/kv_fixture.h"

namespace tarn::sdk {
namespace {

class WorkerTest : public KvTest {
 protected:
  Expected<Worker> work(const std::string& name) {
    WorkerSpec spec;
    spec.name = name;
    spec.endpoint = "10.0.0.1:8000";
    spec.capacity = 4;
    return client->register_worker(*space, spec);
  }
};

TEST_F(WorkerTest, BeatsAsLongAsItLives) {
  start(1);
  {
    auto worker = work("w1");
    ASSERT_TRUE(worker) << worker.error().message;
    EXPECT_TRUE(worker->connected());
    worker->set_load(3, 9);
    EXPECT_TRUE(becomes(
        [&] { return of_state([](ClusterState& s) { return s.workers["w1"].queued; }) == 9; }));
    EXPECT_FALSE(worker->should_drain());
    of_state([](ClusterState& s) { return s.drains_workers = true; });
    EXPECT_TRUE(becomes([&] { return worker->should_drain(); }));
    worker->set_draining(true);
    EXPECT_TRUE(becomes(
        [&] { return of_state([](ClusterState& s) { return s.workers["w1"].draining; }); }));
    const auto route = client->route(*space, {});
    ASSERT_TRUE(route);
    EXPECT_EQ(route.value().worker, "w1");
    EXPECT_EQ(route.value().endpoint, "10.0.0.1:8000");
  }
  EXPECT_TRUE(becomes([&] { return of_state([](ClusterState& s) { return s.workers.empty(); }); }));
  CallOptions soon;
  soon.timeout_ms = 50;
  EXPECT_EQ(client->route(*space, {}, soon).error().outcome, Outcome::unavailable);
}

TEST_F(WorkerTest, RegistersAgainWithTheNextRouter) {
  cluster = std::make_unique<FakeCluster>(1);
  cluster->add_router();
  client.emplace(Client::connect(cluster->options()).value());
  space.emplace(open());
  auto worker = work("w1");
  ASSERT_TRUE(worker);
  EXPECT_EQ(of_state([](ClusterState& s) { return s.registrations; }), 1u);
  cluster->router(0).stop();
  EXPECT_TRUE(becomes([&] {
    return of_state([](ClusterState& s) { return s.registrations; }) >= 2 && worker->connected();
  }));
}

TEST_F(WorkerTest, RegistersAgainAfterALostBeat) {
  start(1);
  auto worker = work("w1");
  ASSERT_TRUE(worker);
  fault::arm("sdk.worker_beat", {fault::Action::fail, 0, 1, 0});
  EXPECT_TRUE(
      becomes([&] { return of_state([](ClusterState& s) { return s.registrations; }) >= 2; }));
}

TEST_F(WorkerTest, WhatIsNotValidIsNamed) {
  start(1);
  EXPECT_EQ(work("").error().outcome, Outcome::invalid_argument);
  WorkerSpec spec;
  spec.name = "w";
  spec.capacity = 0;
  EXPECT_THAT(client->register_worker(*space, spec).error().message,
              testing::HasSubstr("capacity"));
}

TEST_F(WorkerTest, ANameHasOneTo128Bytes) {
  start(1);
  for (const size_t size : {0, 1, 128, 129}) {
    const auto worker = work(std::string(size, 'w'));
    EXPECT_EQ(worker.has_value(), size >= 1 && size <= 128) << size;
    if (!worker) {
      EXPECT_THAT(worker.error().message, testing::HasSubstr("worker.name"));
    }
  }
}

TEST_F(WorkerTest, MovedFromIsNobody) {
  start(1);
  Worker worker = work("w1").value();
  Worker moved = std::move(worker);
  worker.set_load(1, 2);  // NOLINT: a moved-from one is asked on purpose
  worker.set_draining(true);
  EXPECT_FALSE(worker.connected() || worker.should_drain());
  EXPECT_TRUE(moved.connected());
  moved = work("w2").value();
  EXPECT_TRUE(becomes([&] {
    return of_state(
        [](ClusterState& s) { return s.workers.contains("w2") && !s.workers.contains("w1"); });
  })) << "what was assigned over has left the pool";
}

TEST_F(WorkerTest, WithoutARouterRegistrationEndsByItsDeadline) {
  ClientOptions options;
  options.timeout_ms = 300;
  start(1, options);
  cluster->router(0).stop();
  const Instant begin = system_clock().now();
  const auto worker = work("w1");
  ASSERT_FALSE(worker);
  EXPECT_TRUE(worker.error().outcome == Outcome::unavailable ||
              worker.error().outcome == Outcome::deadline_exceeded);
  EXPECT_LT(system_clock().now() - begin, std::chrono::seconds(3));
}

TEST_F(WorkerTest, KeepsItsClientAliveAndMayBeTheLastToGo) {
  start(1);
  std::optional<Worker> worker = work("w1").value();
  space.reset();
  client.reset();
  EXPECT_TRUE(worker->connected());
  worker.reset();
  EXPECT_TRUE(becomes([&] { return of_state([](ClusterState& s) { return s.workers.empty(); }); }));
}

}  // namespace
}  // namespace tarn::sdk
