#include "router/cluster/controller.h"

#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "common/base/fault_point.h"
#include "router/member/file_authority.h"
#include "tests/unit/router/etcd_process.h"

namespace tarn::cluster {
namespace {

using testing::eventually;
using testing::TemporaryFolder;

// An authority in memory that can be made to fail.
class FakeAuthority : public member::Authority {
 public:
  void start(std::function<void()>) override {}
  void stop() override {}
  Result<member::StoredState> load() override {
    if (!is_up) return unavailable("down");
    return stored;
  }
  Result<uint64_t> compare_and_swap(const member::ClusterState& state, uint64_t expected) override {
    ++swaps;
    if (clock != nullptr) clock->advance(call_takes);
    if (!is_up) return unavailable("down");
    if (expected != stored.revision || lose_next) {
      if (std::exchange(lose_next, false)) ++stored.revision;
      return conflict("lost");
    }
    stored.state = state;
    ++stored.revision;
    return stored.revision;
  }
  std::shared_ptr<const member::StoredState> latest() const override {
    return std::make_shared<const member::StoredState>(stored);
  }
  bool holds_lock() const override { return is_holder && is_up; }
  bool reachable() const override { return is_up; }
  std::string describe() const override { return "fake"; }

  member::StoredState stored;
  bool is_up = true;
  bool is_holder = true;
  bool lose_next = false;
  int swaps = 0;
  ManualClock* clock = nullptr;
  Millis call_takes{0};
};

class ControllerTest : public ::testing::Test {
 protected:
  ControllerTest()
      : servers(clock, timing.dead_after),
        controller({clock, authority, servers, view, events, metrics}, {"test", timing}) {
    authority.clock = &clock;
    listening = events.subscribe([this](const Event& event) { heard.push_back(event); });
  }
  ~ControllerTest() override { fault::disarm_all(); }

  void beat(const std::string& name) {
    ServerBeat beat;
    beat.name = name;
    beat.control_endpoint = "127.0.0.1:7000";
    beat.incarnation = {7};
    ASSERT_TRUE(servers.beat(beat).is_ok());
  }
  void run(Millis span, const std::vector<std::string>& names) {
    for (Millis t{0}; t < span; t += Millis(50)) {
      clock.advance(Millis(50));
      for (const auto& name : names)
        beat(name);
      controller.round();
    }
  }
  uint64_t epoch() const { return view.current() ? view.current()->epoch.value : 0; }
  size_t heard_of(EventKind kind) const {
    size_t count = 0;
    for (const Event& event : heard)
      count += event.kind == kind ? 1 : 0;
    return count;
  }

  ManualClock clock;
  Timing timing;
  FakeAuthority authority;
  ServerTable servers;
  ConfigView view;
  Events events;
  metrics::Registry metrics;
  std::vector<Event> heard;
  Events::Subscription listening;
  Controller controller;
};

TEST_F(ControllerTest, makes_the_first_config_with_a_ticket_key) {
  controller.round();
  ASSERT_EQ(epoch(), 1u);
  EXPECT_EQ(view.current()->cluster, "test");
  EXPECT_EQ(view.current()->ticket_keys.size(), 1u);
}

TEST_F(ControllerTest, publishes_joins_and_deaths_and_tells_of_them) {
  controller.round();
  beat("a");
  beat("b");
  run(Millis(400), {"a", "b"});
  EXPECT_EQ(epoch(), 2u);
  run(Millis(700), {"a"});
  EXPECT_EQ(epoch(), 3u);
  EXPECT_EQ(heard_of(EventKind::server_up), 2u);
  EXPECT_EQ(heard_of(EventKind::server_lost), 1u);
  EXPECT_EQ(heard_of(EventKind::epoch), 3u);
}

TEST_F(ControllerTest, proposes_nothing_without_the_lock) {
  authority.is_holder = false;
  beat("a");
  run(Millis(1000), {"a"});
  EXPECT_EQ(authority.swaps, 0);
  EXPECT_EQ(view.current(), nullptr);
}

TEST_F(ControllerTest, looks_again_when_it_loses_a_race) {
  controller.round();
  beat("a");
  authority.lose_next = true;
  run(Millis(500), {"a"});
  EXPECT_EQ(epoch(), 2u);
  EXPECT_EQ(controller.pending_change(), "");
}

TEST_F(ControllerTest, says_what_waits_while_the_authority_is_down) {
  controller.round();
  beat("a");
  beat("b");
  run(Millis(400), {"a", "b"});
  authority.is_up = false;
  run(Millis(1300), {"a"});
  EXPECT_EQ(controller.pending_change(), "b is down");
  EXPECT_EQ(epoch(), 2u);
  authority.is_up = true;
  run(Millis(800), {"a"});
  EXPECT_EQ(controller.pending_change(), "");
  EXPECT_EQ(epoch(), 3u);
}

TEST_F(ControllerTest, does_not_take_waiting_for_the_authority_for_a_standstill) {
  controller.round();
  beat("a");
  beat("b");
  run(Millis(400), {"a", "b"});
  authority.call_takes = Millis(900);
  authority.lose_next = true;
  run(Millis(650), {"a"});
  authority.call_takes = Millis(0);
  run(Millis(50), {"a"});
  EXPECT_EQ(epoch(), 3u);
}

TEST_F(ControllerTest, makes_an_operators_change_though_another_came_first) {
  controller.round();
  authority.lose_next = true;
  int edits = 0;
  const auto changed = controller.change([&](ring::ClusterConfig& config) {
    ++edits;
    config.revocations["demo"] = 1;
    return Status::ok();
  });
  ASSERT_TRUE(changed.has_value());
  EXPECT_EQ(edits, 2);
  EXPECT_EQ(changed.value(), Epoch{2});
  controller.round();
  EXPECT_EQ(view.current()->revocations.at("demo"), 1u);
}

TEST_F(ControllerTest, gives_an_operators_refusal_back) {
  controller.round();
  const auto refused =
      controller.change([](ring::ClusterConfig&) { return not_found("no such server"); });
  EXPECT_EQ(refused.status().code(), Code::not_found);
  authority.is_up = false;
  const auto down = controller.change([](ring::ClusterConfig&) { return Status::ok(); });
  EXPECT_EQ(down.status().code(), Code::unavailable);
}

TEST_F(ControllerTest, has_spaces_kept_without_a_new_epoch) {
  controller.round();
  member::NamedSpace space{"demo", {}};
  space.spec.model = "m";
  controller.remember_space(space);
  controller.remember_space(space);
  run(Millis(100), {});
  EXPECT_EQ(authority.stored.state->spaces.size(), 1u);
  EXPECT_EQ(epoch(), 1u);
  EXPECT_EQ(controller.spaces("demo").size(), 1u);
  EXPECT_TRUE(controller.spaces("other").empty());
  EXPECT_EQ(controller.find_space("demo", block::space_id(space.spec))->model, "m");
  EXPECT_FALSE(controller.find_space("other", block::space_id(space.spec)).has_value());
}

TEST_F(ControllerTest, lets_no_tenant_fill_the_list_of_spaces) {
  controller.round();
  member::NamedSpace space{"demo", {}};
  for (size_t i = 0; i < kTenantSpacesMax + 10; ++i) {
    space.spec.model = "m" + std::to_string(i);
    controller.remember_space(space);
  }
  EXPECT_EQ(controller.spaces("demo").size(), kTenantSpacesMax);
  space.tenant = "other";
  controller.remember_space(space);
  EXPECT_EQ(controller.spaces("other").size(), 1u);
  run(Millis(100), {});
  EXPECT_EQ(authority.stored.state->spaces.size(), kTenantSpacesMax + 1);
}

TEST_F(ControllerTest, measures_what_it_does) {
  controller.round();
  beat("a");
  run(Millis(400), {"a"});
  EXPECT_EQ(metrics.gauge("tarn_config_epoch", "-").value(), 2);
  EXPECT_EQ(metrics.gauge("tarn_config_controller", "-").value(), 1);
  EXPECT_EQ(metrics.counter("tarn_config_changes_total", "-").value(), 1u);
}

TEST_F(ControllerTest, goes_on_from_the_authority_when_a_swap_went_unnoticed) {
  controller.round();
  beat("a");
  fault::arm("controller.crash_after_swap", {});
  run(Millis(400), {"a"});
  EXPECT_EQ(authority.stored.state->config.epoch, Epoch{2});
  EXPECT_EQ(epoch(), 2u);
  EXPECT_EQ(authority.stored.state->config.members.size(), 1u);
}

// The folder of the test with this process id.
std::string crash_folder(pid_t test) {
  const auto folder = std::filesystem::temp_directory_path();
  return (folder / ("tarn-crash-" + std::to_string(test))).string();
}

TEST(ControllerDeathTest, leaves_a_whole_config_when_its_process_dies_after_a_swap) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  const auto die = [] {
    const auto authority =
        std::move(member::open_file_authority(crash_folder(::getppid()))).value();
    ServerTable servers(system_clock(), Millis(600));
    ConfigView view;
    Events events;
    metrics::Registry metrics;
    Controller controller({system_clock(), *authority, servers, view, events, metrics},
                          {"test", {}});
    fault::arm("controller.crash_after_swap", {fault::Action::crash, 0, 1, 0});
    controller.start();
    ServerBeat beat;
    beat.name = "a";
    beat.control_endpoint = "127.0.0.1:7000";
    beat.incarnation = {7};
    (void)eventually([&] { return !servers.beat(beat).is_ok(); });
  };
  EXPECT_EXIT(die(), ::testing::KilledBySignal(SIGKILL), "");
  const std::string folder = crash_folder(::getpid());
  const auto authority = std::move(member::open_file_authority(folder)).value();
  const auto stored = authority->load();
  ASSERT_TRUE(stored.has_value() && stored->state.has_value());
  EXPECT_EQ(stored->state->config.epoch, Epoch{2});
  EXPECT_EQ(stored->state->config.members.size(), 1u);
  std::filesystem::remove_all(folder);
}

TEST(ControllerThread, follows_the_file_and_becomes_the_controller) {
  TemporaryFolder folder;
  const auto authority =
      std::move(member::open_file_authority(folder.path() + "/authority")).value();
  ServerTable servers(system_clock(), Millis(600));
  ConfigView view;
  Events events;
  metrics::Registry metrics;
  Controller controller({system_clock(), *authority, servers, view, events, metrics}, {"test", {}});
  controller.start();
  EXPECT_TRUE(eventually([&] { return view.current() != nullptr && controller.is_controller(); }));
}

}  // namespace
}  // namespace tarn::cluster
