#include <gmock/gmock.h>

#include <functional>
#include <thread>

#include "tests/unit/sdk/kv_fixture.h"

namespace tarn::sdk {
namespace {

class WorkerTest : public KvTest {
 protected:
  // Within five seconds.
  static bool becomes(const std::function<bool()>& wanted) {
    const Instant until = system_clock().now() + std::chrono::seconds(5);
    while (!wanted()) {
      if (system_clock().now() > until) return false;
      std::this_thread::yield();
    }
    return true;
  }
  template <typename Get>
  auto of_state(Get get) {
    const std::lock_guard lock(cluster->state().mutex);
    return get(cluster->state());
  }
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
        [&] { return of_state([](ClusterState& s) { return s.workers["w1"].queued(); }) == 9; }));
    EXPECT_FALSE(worker->should_drain());
    of_state([](ClusterState& s) { return s.drains_workers = true; });
    EXPECT_TRUE(becomes([&] { return worker->should_drain(); }));
    worker->set_draining(true);
    EXPECT_TRUE(becomes(
        [&] { return of_state([](ClusterState& s) { return s.workers["w1"].draining(); }); }));
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

}  // namespace
}  // namespace tarn::sdk
