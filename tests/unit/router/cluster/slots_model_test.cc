// The planner under random deaths, returns, wiped disks and drains: what must hold of the slot
// table after every epoch, whatever happened.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "common/ring/slots.h"
#include "router/cluster/controller.h"

namespace tarn::cluster {
namespace {

constexpr uint32_t kServers = 5;
#ifdef TARN_SANITIZE
constexpr int kSteps = 60;
#else
constexpr int kSteps = 120;
#endif
constexpr int kStepsToNotice = 20;  // of 50 ms each: more than a silent server has

bool contains(const std::vector<ServerId>& servers, ServerId id) {
  return std::find(servers.begin(), servers.end(), id) != servers.end();
}

std::vector<uint64_t> seeds() {
  if (const char* seed = std::getenv("TARN_SEED")) return {std::strtoull(seed, nullptr, 10)};
  return {1, std::random_device()()};
}

// A storage server as the router hears of it.
struct Server {
  std::string name;
  bool is_alive = true;
  bool is_draining = false;
  uint64_t incarnation = 100;
};

// Slots that a server says it has caught up with, and under which epoch.
struct Claims {
  Epoch epoch;
  std::set<uint32_t> slots;
};

class SlotsModel : public ::testing::TestWithParam<uint64_t> {
 protected:
  SlotsModel() : heard(clock, timing.dead_after), planner(timing, clock.now()) {
    std::printf("seed %llu\n", static_cast<unsigned long long>(GetParam()));
    state.config.cluster = "test";
    state.config.epoch = {1};
    for (uint32_t i = 0; i < kServers; ++i)
      servers.push_back({"s" + std::to_string(i)});
  }

  uint32_t draw(uint32_t below) { return static_cast<uint32_t>(random() % below); }

  void disturb() {
    Server& server = servers[draw(kServers)];
    switch (draw(6)) {
      case 0:
      case 1:
        server.is_alive = false;
        break;
      case 2:
      case 3:
        server.is_alive = true;
        break;
      case 4:
        wipe(server);
        break;
      case 5:
        server.is_draining = server.is_alive && draw(3) == 0;
        break;
    }
  }
  // It begins another life, without its disk.
  void wipe(Server& server) {
    heard.part(server.name, {server.incarnation});
    ++server.incarnation;
    server.is_alive = true;
    server.is_draining = false;
  }

  ServerId id_of(const std::string& name) const {
    for (const ring::Member& member : state.config.members) {
      if (member.name == name) return member.id;
    }
    return ring::kNoServer;
  }

  // Learners say that they have caught up with the likelihood of 1 in `slowness`.
  void beat_all(uint32_t slowness) {
    for (const Server& server : servers) {
      if (!server.is_alive) continue;
      ServerBeat beat;
      beat.name = server.name;
      beat.control_endpoint = "127.0.0.1:7000";
      beat.incarnation = {server.incarnation};
      beat.domain = "rack" + server.name.substr(1, 1);
      beat.draining = server.is_draining;
      beat.epoch = state.config.epoch;
      if (draw(5) == 0) beat.epoch.value -= 1;  // it lags behind, and its word counts for nothing
      const ServerId id = id_of(server.name);
      Claims said{beat.epoch, {}};
      for (uint32_t slot = 0; slot < kSessionSlots && id != ring::kNoServer; ++slot) {
        const bool is_learner = contains(state.config.slots[slot].learners, id);
        if (!is_learner || draw(slowness) != 0) continue;
        beat.caught_up_slots.push_back({slot});
        said.slots.insert(slot);
      }
      // Refused where another life of it still counts. It counts until the server is dead.
      if (heard.beat(beat).is_ok()) claims[id.value] = said;
    }
  }

  void turn(uint32_t slowness) {
    clock.advance(Millis(50));
    beat_all(slowness);
    const auto change = planner.plan(state, heard.all(), clock.now());
    if (!change) return;
    ASSERT_NO_FATAL_FAILURE(judge(state, change->next)) << change->words;
    state = change->next;
  }

  // All join, one dies and returns: something happens under any seed.
  void live_through_a_death() {
    for (const bool is_alive : {true, false, true}) {
      servers[0].is_alive = is_alive;
      for (int step = 0; step < kStepsToNotice; ++step)
        ASSERT_NO_FATAL_FAILURE(turn(1));
    }
  }

  void judge(const member::ClusterState& before, const member::ClusterState& after) {
    ASSERT_EQ(after.config.epoch.value, before.config.epoch.value + 1);
    ASSERT_TRUE(ring::validate(after.config).is_ok());
    ASSERT_GE(after.next_server_id, before.next_server_id);
    for (const ring::Member& member : after.config.members) {
      ASSERT_LT(member.id.value, after.next_server_id);
      const auto known = ids.emplace(member.name, member.id.value).first;
      ASSERT_EQ(known->second, member.id.value) << member.name << " got another id";
    }
    for (uint32_t slot = 0; slot < kSessionSlots; ++slot) {
      SCOPED_TRACE("slot " + std::to_string(slot));
      ASSERT_NO_FATAL_FAILURE(judge_slot(slot, before.config, after.config));
    }
  }

  void judge_slot(uint32_t number, const ring::ClusterConfig& before,
                  const ring::ClusterConfig& after) {
    const ring::SlotEntry& was = before.slots[number];
    const ring::SlotEntry& is = after.slots[number];
    const bool is_new = was.primary == ring::kNoServer;
    if (!is_new) {
      ASSERT_NE(is.primary, ring::kNoServer) << "a slot in use is never given up";
    }
    if (!is_new && was.synced.empty()) {
      ASSERT_TRUE(is.synced.empty()) << "a lost log was begun anew";
      ASSERT_EQ(is.primary, was.primary);
      return;
    }
    if (!is.synced.empty()) {
      ASSERT_TRUE(contains(is.synced, is.primary)) << "the primary has not the log";
    }
    for (const ServerId id : is.synced) {
      const ring::Member* const then = ring::find_member(before, id);
      const ring::Member* const now = ring::find_member(after, id);
      ASSERT_NE(now, nullptr);
      ASSERT_FALSE(contains(is.learners, id));
      const bool has_learnt = contains(was.learners, id) &&
                              claims[id.value].epoch == before.epoch &&
                              claims[id.value].slots.contains(number);
      const bool may = is_new || contains(was.synced, id) || has_learnt;
      ASSERT_TRUE(may) << "server " << id.value << " is synced but never had the whole log";
      if (then == nullptr || is_new) continue;
      ASSERT_EQ(then->incarnation, now->incarnation) << "its disk is another";
    }
  }

  std::mt19937_64 random{GetParam()};
  ManualClock clock;
  Timing timing;
  ServerTable heard;
  Planner planner;
  member::ClusterState state;
  std::vector<Server> servers;
  std::map<std::string, uint32_t> ids;
  std::map<uint32_t, Claims> claims;  // by server: as the router last heard
};

TEST_P(SlotsModel, nobody_is_primary_without_the_whole_log) {
  ASSERT_NO_FATAL_FAILURE(live_through_a_death());
  for (int step = 0; step < kSteps; ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    if (draw(10) == 0) disturb();
    ASSERT_NO_FATAL_FAILURE(turn(1 + draw(4)));
  }
  EXPECT_GT(state.config.epoch.value, 3u) << "nothing has happened";
}

TEST_P(SlotsModel, once_all_are_well_every_slot_that_is_not_lost_has_two_copies) {
  for (int step = 0; step < kSteps; ++step) {
    if (draw(10) == 0) disturb();
    ASSERT_NO_FATAL_FAILURE(turn(2));
  }
  for (Server& server : servers) {
    server.is_alive = true;
    server.is_draining = false;
  }
  for (int step = 0; step < 100; ++step)
    ASSERT_NO_FATAL_FAILURE(turn(1));
  const uint64_t epoch = state.config.epoch.value;
  for (uint32_t slot = 0; slot < kSessionSlots; ++slot) {
    const ring::SlotEntry& entry = state.config.slots[slot];
    if (entry.primary != ring::kNoServer && entry.synced.empty()) continue;  // lost
    EXPECT_TRUE(ring::slot_is_available(state.config, {slot})) << slot;
    EXPECT_GE(entry.synced.size(), ring::synced_target(state.config)) << slot;
    EXPECT_TRUE(entry.learners.empty()) << slot;
  }
  for (int step = 0; step < 40; ++step)
    ASSERT_NO_FATAL_FAILURE(turn(1));
  EXPECT_EQ(state.config.epoch.value, epoch) << "what is well is left alone";
}

INSTANTIATE_TEST_SUITE_P(Seeds, SlotsModel, ::testing::ValuesIn(seeds()),
                         [](const auto& test) { return std::to_string(test.index); });

// One config that several routers share; who holds the lock, and who reaches it, is the test's.
class SharedAuthority : public member::Authority {
 public:
  struct Shared {
    member::StoredState stored;
    std::map<uint64_t, member::ClusterState> by_epoch;
    uint64_t conflicts = 0;
  };
  explicit SharedAuthority(Shared& shared) : x_shared(shared) {}

  void start(std::function<void()>) override {}
  void stop() override {}
  Result<member::StoredState> load() override {
    if (!is_up) return unavailable("down");
    known = x_shared.stored;
    return known;
  }
  Result<uint64_t> compare_and_swap(const member::ClusterState& state, uint64_t expected) override {
    if (!is_up) return unavailable("down");
    if (expected != x_shared.stored.revision) {
      ++x_shared.conflicts;
      return conflict("lost");
    }
    note(state);
    x_shared.stored = {state, expected + 1};
    if (loses_answer) return unavailable("the answer is lost");
    known = x_shared.stored;
    return known.revision;
  }
  std::shared_ptr<const member::StoredState> latest() const override {
    return std::make_shared<const member::StoredState>(known);
  }
  bool holds_lock() const override { return is_holder; }
  bool reachable() const override { return is_up; }
  std::string describe() const override { return "shared"; }

  member::StoredState known;  // may be old
  bool is_up = true;
  bool is_holder = false;
  bool loses_answer = false;

 private:
  void note(const member::ClusterState& state) {
    const uint64_t epoch = state.config.epoch.value;
    if (x_shared.stored.state) {
      const uint64_t before = x_shared.stored.state->config.epoch.value;
      EXPECT_GE(epoch, before);
      EXPECT_LE(epoch, before + 1);
    }
    const auto found = x_shared.by_epoch.find(epoch);
    if (found != x_shared.by_epoch.end()) {
      EXPECT_EQ(found->second.config, state.config) << "two configs of epoch " << epoch;
    }
    x_shared.by_epoch[epoch] = state;
  }

  Shared& x_shared;
};

// A router's part that makes and follows configs.
struct Follower {
  Follower(const Clock& clock, SharedAuthority::Shared& shared, const Timing& timing)
      : authority(shared),
        heard(clock, timing.dead_after),
        controller({clock, authority, heard, view, events, metrics}, {"test", timing}) {
    following = view.subscribe([this](const ConfigSnapshot& config) {
      EXPECT_GT(config->epoch.value, epoch);
      epoch = config->epoch.value;
      seen[epoch] = config->slots;
    });
  }

  SharedAuthority authority;
  ServerTable heard;
  ConfigView view;
  Events events;
  metrics::Registry metrics;
  Controller controller;
  uint64_t epoch = 0;
  std::map<uint64_t, ring::SlotTable> seen;
  ConfigView::Subscription following;
};

class TwoControllers : public ::testing::TestWithParam<uint64_t> {
 protected:
  uint32_t draw(uint32_t below) { return static_cast<uint32_t>(random() % below); }

  void beat(Follower& at, const std::string& name) {
    ServerBeat beat;
    beat.name = name;
    beat.control_endpoint = "127.0.0.1:7000";
    beat.incarnation = {7};
    beat.domain = name;
    ASSERT_TRUE(at.heard.beat(beat).is_ok());
  }
  // The lock is with one, the other, both (a clock went wrong) or none; routers hear some servers.
  void disturb() {
    Follower& one = *followers[draw(2)];
    switch (draw(4)) {
      case 0:
        one.authority.is_holder = !one.authority.is_holder;
        break;
      case 1:
        one.authority.is_up = !one.authority.is_up;
        break;
      case 2:
        one.authority.loses_answer = !one.authority.loses_answer;
        break;
      case 3:
        alive[draw(3)] = draw(3) != 0;
        break;
    }
  }
  void turn(bool all_well) {
    clock.advance(Millis(50));
    for (auto& follower : followers) {
      for (uint32_t i = 0; i < 3; ++i) {
        if (alive[i] && (all_well || draw(10) != 0)) beat(*follower, "s" + std::to_string(i));
      }
      // What it knows of the authority may be old.
      if (all_well || draw(3) == 0) (void)follower->authority.load();
      follower->controller.round();
    }
  }

  // All join, one dies and returns: something happens under any seed.
  void live_through_a_death() {
    for (const bool is_alive : {true, false, true}) {
      alive[0] = is_alive;
      for (int step = 0; step < kStepsToNotice; ++step)
        ASSERT_NO_FATAL_FAILURE(turn(true));
    }
  }

  std::mt19937_64 random{GetParam()};
  ManualClock clock;
  Timing timing;
  SharedAuthority::Shared shared;
  std::vector<std::unique_ptr<Follower>> followers = [this] {
    std::vector<std::unique_ptr<Follower>> made;
    for (int i = 0; i < 2; ++i)
      made.push_back(std::make_unique<Follower>(clock, shared, timing));
    return made;
  }();
  bool alive[3] = {true, true, true};
};

TEST_P(TwoControllers, make_one_config_of_each_epoch_between_them) {
  std::printf("seed %llu\n", static_cast<unsigned long long>(GetParam()));
  followers[0]->authority.is_holder = true;
  ASSERT_NO_FATAL_FAILURE(live_through_a_death());
  for (int step = 0; step < kSteps * 3; ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    if (draw(6) == 0) disturb();
    ASSERT_NO_FATAL_FAILURE(turn(false));
  }
  for (auto& follower : followers) {
    follower->authority.is_up = true;
    follower->authority.loses_answer = false;
    follower->authority.is_holder = false;
  }
  followers[1]->authority.is_holder = true;
  std::fill(std::begin(alive), std::end(alive), true);
  for (int step = 0; step < 60; ++step)
    ASSERT_NO_FATAL_FAILURE(turn(true));
  EXPECT_GT(shared.stored.state->config.epoch.value, 3u) << "nothing has happened";
  EXPECT_EQ(followers[0]->epoch, followers[1]->epoch);
  EXPECT_EQ(followers[0]->epoch, shared.stored.state->config.epoch.value);
  for (const auto& follower : followers) {
    for (const auto& [epoch, slots] : follower->seen)
      EXPECT_EQ(slots, shared.by_epoch.at(epoch).config.slots) << "epoch " << epoch;
    EXPECT_EQ(follower->controller.pending_change(), "");
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, TwoControllers, ::testing::ValuesIn(seeds()),
                         [](const auto& test) { return std::to_string(test.index); });

}  // namespace
}  // namespace tarn::cluster
