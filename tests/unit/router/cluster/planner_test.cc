#include "router/cluster/planner.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "common/ring/slots.h"
#include "router/cluster/server_table.h"

namespace tarn::cluster {
namespace {

// A cluster of heartbeats under a clock that moves by hand.
class PlannerTest : public ::testing::Test {
 protected:
  PlannerTest() : servers(clock, timing.dead_after), planner(timing, clock.now()) {
    state.config.cluster = "test";
    state.config.epoch = {1};
  }

  static ServerBeat beat_of(const std::string& name) {
    ServerBeat beat;
    beat.name = name;
    beat.control_endpoint = "127.0.0.1:7000";
    beat.incarnation = {100};
    beat.domain = name;
    return beat;
  }

  void beat(const std::string& name) { beat(beat_of(name)); }
  void beat(ServerBeat beat) {
    beat.epoch = state.config.epoch;
    ASSERT_TRUE(servers.beat(beat).is_ok());
  }

  // Looks once; a change takes place. Returns its words.
  std::string look() {
    const auto change = planner.plan(state, servers.all(), clock.now());
    if (!change) return "";
    EXPECT_EQ(change->next.config.epoch.value, state.config.epoch.value + 1);
    EXPECT_TRUE(ring::validate(change->next.config).is_ok());
    state = change->next;
    return change->words;
  }

  // Time goes by in rounds, with heartbeats of `names`. Returns the words of all changes.
  std::string run(Millis span, const std::vector<std::string>& names) {
    std::string words;
    for (Millis t{0}; t < span; t += Millis(50)) {
      clock.advance(Millis(50));
      for (const std::string& name : names)
        beat(name);
      const std::string more = look();
      if (!more.empty()) words += (words.empty() ? "" : "; ") + more;
    }
    return words;
  }

  void start_three() {
    for (const char* name : {"a", "b", "c"})
      beat(name);
    ASSERT_EQ(run(Millis(300), {"a", "b", "c"}), "a joins, b joins, c joins");
  }

  const ring::Member& member(const std::string& name) const {
    for (const auto& one : state.config.members) {
      if (one.name == name) return one;
    }
    ADD_FAILURE() << "no member " << name;
    return state.config.members.front();
  }
  ring::MemberState state_of(const std::string& name) const { return member(name).state; }

  size_t slots_with(const std::string& name, std::vector<ServerId> ring::SlotEntry::*list) const {
    const ServerId id = member(name).id;
    return static_cast<size_t>(std::count_if(
        state.config.slots.begin(), state.config.slots.end(), [&](const ring::SlotEntry& slot) {
          return std::find((slot.*list).begin(), (slot.*list).end(), id) != (slot.*list).end();
        }));
  }
  size_t synced(const std::string& name) const {
    return slots_with(name, &ring::SlotEntry::synced);
  }
  size_t learning(const std::string& name) const {
    return slots_with(name, &ring::SlotEntry::learners);
  }
  bool all_available() const {
    for (uint32_t slot = 0; slot < kSessionSlots; ++slot) {
      if (!ring::slot_is_available(state.config, SlotId{slot})) return false;
    }
    return true;
  }
  std::vector<SlotId> learner_slots(const std::string& name) const {
    std::vector<SlotId> out;
    const ServerId id = member(name).id;
    for (uint32_t slot = 0; slot < kSessionSlots; ++slot) {
      const auto& learners = state.config.slots[slot].learners;
      if (std::find(learners.begin(), learners.end(), id) != learners.end())
        out.push_back(SlotId{slot});
    }
    return out;
  }

  ManualClock clock;
  Timing timing;
  ServerTable servers;
  Planner planner;
  member::ClusterState state;
};

TEST_F(PlannerTest, joins_several_first_servers_in_one_epoch) {
  beat("a");
  EXPECT_EQ(run(Millis(100), {"a"}), "");
  EXPECT_EQ(run(Millis(300), {"a", "b", "c"}), "a joins, b joins, c joins");
  EXPECT_EQ(state.config.epoch, Epoch{2});
  EXPECT_EQ(state.next_server_id, 4u);
  EXPECT_TRUE(all_available());
  EXPECT_EQ(synced("a") + synced("b") + synced("c"), 2 * kSessionSlots);
  EXPECT_EQ(run(Millis(2000), {"a", "b", "c"}), "");
}

TEST_F(PlannerTest, declares_a_silent_server_dead_after_the_time_and_not_before) {
  start_three();
  EXPECT_EQ(run(Millis(550), {"a", "b"}), "");
  EXPECT_EQ(run(Millis(50), {"a", "b"}), "c is down");
  EXPECT_EQ(state_of("c"), ring::MemberState::down);
  EXPECT_EQ(synced("c"), 0u);
  EXPECT_TRUE(all_available());
  EXPECT_GT(learning("a") + learning("b"), 0u);
}

TEST_F(PlannerTest, survives_the_death_of_two_of_three) {
  start_three();
  EXPECT_EQ(run(Millis(600), {"a"}), "b is down, c is down");
  // Slots that only the two held wait for one of them; they are never begun anew.
  EXPECT_FALSE(all_available());
  EXPECT_GT(synced("b"), 0u);
  EXPECT_EQ(run(Millis(50), {"a", "b"}), "b is back");
  EXPECT_TRUE(all_available());
  EXPECT_EQ(state_of("b"), ring::MemberState::up);
}

TEST_F(PlannerTest, takes_a_server_back_as_learner_when_it_returns_with_its_data) {
  start_three();
  run(Millis(700), {"a", "b"});
  EXPECT_EQ(run(Millis(100), {"a", "b", "c"}), "c is back");
  EXPECT_EQ(member("c").id, ServerId{3});
  EXPECT_EQ(synced("c"), 0u);
  EXPECT_GT(learning("c"), 0u);
}

TEST_F(PlannerTest, takes_a_wiped_server_back_as_learner_everywhere) {
  start_three();
  servers.part("c", {100});
  ServerBeat wiped = beat_of("c");
  wiped.incarnation = {200};
  clock.advance(Millis(50));
  beat("a");
  beat("b");
  beat(wiped);
  EXPECT_EQ(look(), "c is back without its data");
  EXPECT_EQ(member("c").incarnation, Incarnation{200});
  EXPECT_EQ(synced("c"), 0u);
  EXPECT_GT(learning("c"), 0u);
  EXPECT_TRUE(all_available());
}

TEST_F(PlannerTest, never_begins_a_fresh_log_when_the_last_copy_comes_back_wiped) {
  beat("a");
  ASSERT_EQ(run(Millis(350), {"a"}), "a joins");
  servers.part("a", {100});
  ServerBeat wiped = beat_of("a");
  wiped.incarnation = {200};
  beat(wiped);
  EXPECT_EQ(look(), "a is back without its data");
  for (const auto& slot : state.config.slots) {
    EXPECT_EQ(slot.primary, ServerId{1});
    EXPECT_TRUE(slot.synced.empty());
  }
}

TEST_F(PlannerTest, promotes_learners_together_and_only_on_word_of_this_epoch) {
  start_three();
  run(Millis(600), {"a", "b"});
  ServerBeat a = beat_of("a");
  ServerBeat b = beat_of("b");
  a.caught_up_slots = learner_slots("a");
  b.caught_up_slots = learner_slots("b");
  ASSERT_FALSE(a.caught_up_slots.empty());
  a.epoch = {state.config.epoch.value - 1};
  ASSERT_TRUE(servers.beat(a).is_ok());
  beat("b");
  clock.advance(Millis(50));
  EXPECT_EQ(look(), "");
  const uint64_t epoch = state.config.epoch.value;
  for (int i = 0; i < 8; ++i) {
    clock.advance(Millis(50));
    beat(a);
    beat(b);
    look();
  }
  EXPECT_EQ(state.config.epoch.value, epoch + 1);
  EXPECT_EQ(synced("a"), kSessionSlots);
  EXPECT_EQ(synced("b"), kSessionSlots);
}

TEST_F(PlannerTest, ignores_promotions_of_who_is_no_learner) {
  start_three();
  ServerBeat liar = beat_of("a");
  for (uint32_t slot = 0; slot < kSessionSlots; ++slot)
    liar.caught_up_slots.push_back(SlotId{slot});
  liar.caught_up_slots.back() = SlotId{kSessionSlots + 7};
  for (int i = 0; i < 8; ++i) {
    clock.advance(Millis(50));
    beat(liar);
    beat("b");
    beat("c");
    EXPECT_EQ(look(), "");
  }
}

TEST_F(PlannerTest, moves_primaries_off_a_server_that_drains) {
  start_three();
  ServerBeat draining = beat_of("a");
  draining.draining = true;
  clock.advance(Millis(50));
  beat(draining);
  EXPECT_EQ(look(), "a drains");
  EXPECT_EQ(state_of("a"), ring::MemberState::draining);
  for (const auto& slot : state.config.slots)
    EXPECT_NE(slot.primary, member("a").id);
  EXPECT_GT(learning("b") + learning("c"), 0u);
  // An operator's drain, too, holds though the server itself does not ask for it.
  EXPECT_EQ(run(Millis(200), {"a", "b", "c"}), "");
  EXPECT_EQ(state_of("a"), ring::MemberState::draining);
}

TEST_F(PlannerTest, follows_a_server_that_has_moved) {
  start_three();
  ServerBeat moved = beat_of("a");
  moved.control_endpoint = "127.0.0.1:7001";
  clock.advance(Millis(50));
  beat(moved);
  EXPECT_EQ(look(), "a has moved");
  EXPECT_EQ(member("a").control_endpoint, "127.0.0.1:7001");
  EXPECT_EQ(synced("a") + synced("b") + synced("c"), 2 * kSessionSlots);
}

TEST_F(PlannerTest, declares_nobody_dead_after_it_stood_still_itself) {
  start_three();
  clock.advance(std::chrono::seconds(30));
  EXPECT_EQ(look(), "");
  EXPECT_EQ(run(Millis(500), {"a", "b"}), "");
  EXPECT_EQ(run(Millis(150), {"a", "b"}), "c is down");
}

TEST_F(PlannerTest, gives_servers_time_to_find_a_router_that_just_started) {
  start_three();
  Planner fresh(timing, clock.now());
  ServerTable nobody(clock, timing.dead_after);
  for (int i = 0; i < 11; ++i) {
    clock.advance(Millis(50));
    EXPECT_FALSE(fresh.plan(state, nobody.all(), clock.now()).has_value());
  }
  clock.advance(Millis(50));
  ASSERT_TRUE(fresh.plan(state, nobody.all(), clock.now()).has_value());
}

TEST_F(PlannerTest, forgets_dead_members_only_when_their_seats_are_needed) {
  for (uint32_t i = 1; i <= ring::kMembersMax; ++i) {
    ring::Member old;
    old.id = {i};
    old.name = "old-" + std::to_string(i);
    old.incarnation = {1};
    old.state = ring::MemberState::down;
    state.config.members.push_back(old);
  }
  state.next_server_id = ring::kMembersMax + 1;
  beat("new");
  EXPECT_EQ(run(Millis(350), {"new"}), "new joins");
  EXPECT_EQ(state.config.members.size(), 1u);
  EXPECT_EQ(member("new").id, ServerId{ring::kMembersMax + 1});
}

TEST_F(PlannerTest, refuses_beats_that_are_wrong) {
  ServerBeat bad = beat_of("a");
  bad.name = "Not A Name";
  EXPECT_EQ(servers.beat(bad).code(), Code::invalid_argument);
  bad = beat_of("a");
  bad.weight = 5000;
  EXPECT_EQ(servers.beat(bad).code(), Code::invalid_argument);
  bad = beat_of("a");
  bad.lanes = 0;
  EXPECT_EQ(servers.beat(bad).code(), Code::invalid_argument);
  bad = beat_of("a");
  bad.incarnation = {};
  EXPECT_EQ(servers.beat(bad).code(), Code::invalid_argument);
  bad = beat_of("a");
  bad.control_endpoint = "nowhere";
  EXPECT_EQ(servers.beat(bad).code(), Code::invalid_argument);
  EXPECT_TRUE(servers.all().empty());
}

TEST_F(PlannerTest, keeps_a_name_for_the_incarnation_that_beats) {
  beat("a");
  ServerBeat twin = beat_of("a");
  twin.incarnation = {200};
  EXPECT_EQ(servers.beat(twin).code(), Code::exists);
  clock.advance(timing.dead_after);
  EXPECT_TRUE(servers.beat(twin).is_ok());
}

}  // namespace
}  // namespace tarn::cluster
