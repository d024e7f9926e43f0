#include <gtest/gtest.h>

#include "tests/unit/server/session/cluster_of_slots.h"

// A slot whose history an operator gave up begins empty, whatever old logs lie on disks.
namespace tarn::session {
namespace {

constexpr const char* kSession = "s";

class Abandoned : public testing::Test {
 protected:
  ring::SlotEntry& slot(ring::ClusterConfig& config) const {
    return config.slots[cluster.slot_of(kSession).value];
  }

  // Appends until the session has `version`.
  void write(uint64_t version) {
    ASSERT_EQ(cluster.run(create(kSession, 1)).outcome(), v1::OUTCOME_OK);
    for (uint64_t v = 1; v < version; ++v) {
      ASSERT_EQ(cluster.run(append(kSession, v, static_cast<int>(v) + 1)).outcome(),
                v1::OUTCOME_OK);
    }
  }

  // As the router does at an operator's word, once all logs of the slot are thought lost.
  void abandon() {
    ring::ClusterConfig next = cluster.config();
    slot(next).synced.clear();
    slot(next).learners.clear();
    const Epoch epoch{next.epoch.value + 1};
    next.slots = ring::abandon_slots(next, {cluster.slot_of(kSession)}, epoch).value();
    cluster.set_config(next);
  }

  // Gives the slot to exactly these, the first of them as primary.
  void give_to(std::vector<ServerId> servers) {
    ring::ClusterConfig next = cluster.config();
    slot(next).primary = servers.front();
    slot(next).synced = std::move(servers);
    cluster.set_config(next);
  }

  ClusterOfSlots cluster{3};
};

TEST_F(Abandoned, slot_is_lost_until_an_operator_says_so) {
  write(2);
  ring::ClusterConfig next = cluster.config();
  slot(next).synced.clear();
  cluster.set_config(next);
  const auto result = cluster.run(resolve(kSession));
  EXPECT_EQ(result.outcome(), v1::OUTCOME_UNAVAILABLE);
  EXPECT_NE(cluster.run(create(kSession, 9)).outcome(), v1::OUTCOME_OK);
}

TEST_F(Abandoned, sessions_are_not_found_though_old_logs_are_there) {
  write(5);
  abandon();
  EXPECT_EQ(cluster.run(resolve(kSession)).outcome(), v1::OUTCOME_NOT_FOUND);
  EXPECT_EQ(cluster.run(create(kSession, 100)).version(), 1u);
  EXPECT_EQ(cluster.run(append(kSession, 1, 101)).version(), 2u);
  EXPECT_EQ(block_count(cluster.run(resolve(kSession)).manifest()), 1u);
}

TEST_F(Abandoned, compacted_logs_count_for_nothing_too) {
  write(kLogEntriesMax + 40);
  abandon();
  EXPECT_EQ(cluster.run(resolve(kSession)).outcome(), v1::OUTCOME_NOT_FOUND);
  EXPECT_EQ(cluster.run(create(kSession, 1000)).version(), 1u);
}

// A member of the given-up history, with many entries, joins a new one with few.
TEST_F(Abandoned, a_long_old_log_does_not_win_over_a_short_new_one) {
  write(30);
  const auto old_members = cluster.entry_of(kSession).synced;
  abandon();
  ASSERT_EQ(cluster.run(create(kSession, 100)).version(), 1u);
  for (const ServerId first : {ServerId{1}, ServerId{2}, ServerId{3}}) {
    std::vector<ServerId> members = cluster.entry_of(kSession).synced;
    if (std::find(members.begin(), members.end(), first) == members.end()) continue;
    std::swap(*std::find(members.begin(), members.end(), first), members.front());
    give_to(members);
    EXPECT_EQ(cluster.run(resolve(kSession)).manifest().version(), 1u) << first.value;
    EXPECT_EQ(block_count(cluster.run(resolve(kSession)).manifest()), 0u) << first.value;
  }
  EXPECT_EQ(old_members.size(), 2u);
}

TEST_F(Abandoned, a_restart_of_all_members_revives_nothing) {
  write(5);
  abandon();
  ASSERT_EQ(cluster.run(create("other", 50)).outcome(), v1::OUTCOME_OK);
  ASSERT_EQ(cluster.run(resolve(kSession)).outcome(), v1::OUTCOME_NOT_FOUND);
  for (uint32_t id = 1; id <= 3; ++id) {
    cluster.kill(id);
    cluster.start(id);
  }
  cluster.set_config(cluster.config());
  EXPECT_EQ(cluster.run(resolve(kSession)).outcome(), v1::OUTCOME_NOT_FOUND);
}

// The takeover that begins the new history is cut in the middle, again and again.
TEST_F(Abandoned, a_takeover_that_fails_half_way_is_made_again) {
  write(8);
  abandon();
  int calls = 0;
  int cut_after = 0;
  cluster.allow = [&](uint32_t, uint32_t) { return calls++ < cut_after; };
  for (; cut_after < 12; ++cut_after) {
    calls = 0;
    const auto result = cluster.run(create(kSession, 200));
    if (result.outcome() == v1::OUTCOME_OK) break;
    EXPECT_EQ(result.outcome(), v1::OUTCOME_UNAVAILABLE) << result.message();
  }
  EXPECT_LT(cut_after, 12);
  cluster.allow = [](uint32_t, uint32_t) { return true; };
  EXPECT_EQ(cluster.run(resolve(kSession)).manifest().version(), 1u);
}

TEST_F(Abandoned, a_learner_with_the_old_log_is_taught_the_new_one) {
  write(12);
  abandon();
  ASSERT_EQ(cluster.run(create(kSession, 100)).outcome(), v1::OUTCOME_OK);
  for (uint32_t id = 1; id <= 3; ++id) {
    ring::ClusterConfig next = cluster.config();
    auto& entry = slot(next);
    if (std::find(entry.synced.begin(), entry.synced.end(), ServerId{id}) != entry.synced.end()) {
      continue;
    }
    entry.learners = {ServerId{id}};
    cluster.set_config(next);
    cluster.store(entry.primary.value).teach_learners();
    EXPECT_EQ(cluster.store(id).caught_up_slots().size(), 1u);
    give_to({ServerId{id}});
    EXPECT_EQ(cluster.run(resolve(kSession)).manifest().version(), 1u);
  }
}

}  // namespace
}  // namespace tarn::session
