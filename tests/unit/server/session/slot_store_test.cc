#include "server/session/slot_store.h"

#include <gtest/gtest.h>

#include <thread>

#include "common/base/fault_point.h"
#include "tests/unit/server/session/cluster_of_slots.h"

namespace tarn::session {
namespace {

class Slots : public testing::Test {
 protected:
  void TearDown() override { fault::disarm_all(); }

  // The config after `dead` has left it.
  static ring::ClusterConfig without(const ring::ClusterConfig& config, uint32_t dead) {
    ring::ClusterConfig next = config;
    ring::find_member(next, {dead})->state = ring::MemberState::down;
    next.slots = ring::remove_member(next, {dead});
    return next;
  }
};

TEST_F(Slots, an_append_is_on_the_disk_of_all_synced_members) {
  ClusterOfSlots cluster(3);
  ASSERT_EQ(cluster.run(create("s", 1)).outcome(), v1::OUTCOME_OK);
  ASSERT_EQ(cluster.run(append("s", 1, 2)).outcome(), v1::OUTCOME_OK);
  const auto entry = cluster.entry_of("s");
  ASSERT_EQ(entry.synced.size(), 2u);
  for (const ServerId id : entry.synced) {
    v1::ReadLogRequest ask;
    ask.set_slot(cluster.slot_of("s").value);
    ask.set_epoch(cluster.config().epoch.value);
    EXPECT_EQ(cluster.store(id.value).read_log(ask).last_index(), 2u);
  }
}

TEST_F(Slots, only_the_primary_answers) {
  ClusterOfSlots cluster(3);
  ASSERT_EQ(cluster.run(create("s", 1)).outcome(), v1::OUTCOME_OK);
  for (uint32_t id = 1; id <= 3; ++id) {
    if (id == cluster.entry_of("s").primary.value) continue;
    EXPECT_EQ(cluster.run_on(id, resolve("s")).outcome(), v1::OUTCOME_UNAVAILABLE);
    EXPECT_EQ(cluster.run_on(id, append("s", 1, 2)).outcome(), v1::OUTCOME_UNAVAILABLE);
  }
}

TEST_F(Slots, the_new_primary_has_every_acknowledged_append) {
  ClusterOfSlots cluster(3);
  ASSERT_EQ(cluster.run(create("s", 1)).outcome(), v1::OUTCOME_OK);
  for (int i = 1; i <= 20; ++i) {
    ASSERT_EQ(cluster.run(append("s", static_cast<uint64_t>(i), 1 + i)).outcome(), v1::OUTCOME_OK);
  }
  const uint32_t dead = cluster.entry_of("s").primary.value;
  cluster.kill(dead);
  cluster.set_config(without(cluster.config(), dead));
  EXPECT_NE(cluster.entry_of("s").primary.value, dead);
  const auto manifest = cluster.run(resolve("s")).manifest();
  EXPECT_EQ(manifest.version(), 21u);
  EXPECT_EQ(block_count(manifest), 20u);
}

TEST_F(Slots, synced_members_out_of_reach_are_unavailable_never_not_found) {
  ClusterOfSlots cluster(2);
  ASSERT_EQ(cluster.run(create("s", 1)).outcome(), v1::OUTCOME_OK);
  cluster.allow = [](uint32_t, uint32_t) { return false; };
  EXPECT_EQ(cluster.run(resolve("s")).outcome(), v1::OUTCOME_UNAVAILABLE);
  EXPECT_EQ(cluster.run(resolve("nobody")).outcome(), v1::OUTCOME_UNAVAILABLE);
  EXPECT_EQ(cluster.run(append("s", 1, 2)).outcome(), v1::OUTCOME_UNAVAILABLE);
  cluster.allow = [](uint32_t, uint32_t) { return true; };
  // The append's outcome was open; its retry settles it, once.
  EXPECT_EQ(cluster.run(append("s", 1, 2)).version(), 2u);
  EXPECT_EQ(block_count(cluster.run(resolve("s")).manifest()), 1u);
}

TEST_F(Slots, a_lost_acknowledgement_is_not_applied_twice) {
  ClusterOfSlots cluster(2);
  ASSERT_EQ(cluster.run(create("s", 1)).outcome(), v1::OUTCOME_OK);
  fault::arm("session.before_answer", {});
  EXPECT_EQ(cluster.run(append("s", 1, 2)).outcome(), v1::OUTCOME_UNAVAILABLE);
  const auto again = cluster.run(append("s", 1, 2));
  EXPECT_EQ(again.outcome(), v1::OUTCOME_OK);
  EXPECT_EQ(again.version(), 2u);
  EXPECT_EQ(block_count(cluster.run(resolve("s")).manifest()), 1u);
}

TEST_F(Slots, a_primary_that_dies_between_fsync_and_answer_leaves_one_history) {
  ClusterOfSlots cluster(3);
  ASSERT_EQ(cluster.run(create("s", 1)).outcome(), v1::OUTCOME_OK);
  fault::arm("session.after_local_fsync", {});
  EXPECT_EQ(cluster.run(append("s", 1, 2)).outcome(), v1::OUTCOME_UNAVAILABLE);
  const uint32_t dead = cluster.entry_of("s").primary.value;
  cluster.kill(dead);
  cluster.set_config(without(cluster.config(), dead));
  // Another append won the version meanwhile: the first one, retried, must see a conflict, not a
  // second block.
  EXPECT_EQ(cluster.run(append("s", 1, 3)).version(), 2u);
  EXPECT_EQ(cluster.run(append("s", 1, 2)).outcome(), v1::OUTCOME_CONFLICT);
  // The dead one returns as a learner: what only it had is gone everywhere.
  cluster.start(dead);
  auto next = cluster.config();
  ring::find_member(next, {dead})->state = ring::MemberState::up;
  next.slots = ring::add_learners(next);
  cluster.set_config(next);
  EXPECT_EQ(block_count(cluster.run(resolve("s")).manifest()), 1u);
}

TEST_F(Slots, a_stopped_primary_that_wakes_up_can_neither_acknowledge_nor_answer) {
  ClusterOfSlots cluster(3);
  ASSERT_EQ(cluster.run(create("s", 1)).outcome(), v1::OUTCOME_OK);
  const uint32_t old_primary = cluster.entry_of("s").primary.value;
  auto next = without(cluster.config(), old_primary);
  // The old primary does not hear of the new epoch: it still believes.
  cluster.set_config(next, {old_primary});
  ASSERT_EQ(cluster.run(append("s", 1, 2)).outcome(), v1::OUTCOME_OK);
  auto command = append("s", 1, 3);
  command.set_tenant("acme");
  command.set_epoch(1);
  EXPECT_NE(cluster.store(old_primary).execute(command).outcome(), v1::OUTCOME_OK);
  auto read = resolve("s");
  read.set_tenant("acme");
  read.set_epoch(1);
  EXPECT_NE(cluster.store(old_primary).execute(read).outcome(), v1::OUTCOME_OK);
  EXPECT_EQ(cluster.run(resolve("s")).version(), 2u);
}

TEST_F(Slots, a_learner_gets_the_whole_log_before_it_may_be_synced) {
  ClusterOfSlots cluster(3);
  ASSERT_EQ(cluster.run(create("s", 1)).outcome(), v1::OUTCOME_OK);
  const uint32_t slot = cluster.slot_of("s").value;
  const uint32_t primary = cluster.entry_of("s").primary.value;
  uint32_t backup = 0;
  for (const ServerId id : cluster.entry_of("s").synced)
    backup = id.value == primary ? backup : id.value;
  cluster.kill(backup);
  auto next = without(cluster.config(), backup);
  next.slots = ring::add_learners(next);
  cluster.set_config(next);
  ASSERT_EQ(cluster.entry_of("s").learners.size(), 1u);
  const uint32_t learner = cluster.entry_of("s").learners[0].value;
  EXPECT_TRUE(cluster.store(learner).caught_up_slots().empty());
  ASSERT_EQ(cluster.run(append("s", 1, 2)).outcome(), v1::OUTCOME_OK);
  cluster.store(primary).teach_learners();
  const auto caught_up = cluster.store(learner).caught_up_slots();
  ASSERT_NE(std::find(caught_up.begin(), caught_up.end(), slot), caught_up.end());
  // From here on no append is acknowledged without the learner.
  ASSERT_EQ(cluster.run(append("s", 2, 3)).outcome(), v1::OUTCOME_OK);
  next = cluster.config();
  next.slots = ring::promote_learner(next, {slot}, {learner}).value();
  // The primary dies in the same moment: the promoted one alone has the log, and has it whole.
  next.slots = [&] {
    ring::find_member(next, {primary})->state = ring::MemberState::down;
    return ring::remove_member(next, {primary});
  }();
  cluster.kill(primary);
  cluster.set_config(next);
  EXPECT_EQ(cluster.run(resolve("s")).version(), 3u);
}

TEST_F(Slots, a_member_that_lacks_entries_gets_everything) {
  ClusterOfSlots cluster(2);
  ASSERT_EQ(cluster.run(create("s", 1)).outcome(), v1::OUTCOME_OK);
  const uint64_t epoch = cluster.config().epoch.value;
  const uint32_t slot = cluster.slot_of("s").value;
  uint32_t backup = 0;
  for (const ServerId id : cluster.entry_of("s").synced) {
    if (id != cluster.entry_of("s").primary) backup = id.value;
  }
  v1::ReplicateRequest hole;
  hole.set_slot(slot);
  hole.set_epoch(epoch);
  hole.set_from_index(9);
  EXPECT_EQ(cluster.store(backup).replicate(hole).outcome(), v1::OUTCOME_CONFLICT);
  hole.set_from_index(0);
  EXPECT_EQ(cluster.store(backup).replicate(hole).outcome(), v1::OUTCOME_INVALID_ARGUMENT);
  hole.set_slot(kSessionSlots);
  EXPECT_EQ(cluster.store(backup).replicate(hole).outcome(), v1::OUTCOME_INVALID_ARGUMENT);
}

TEST_F(Slots, long_logs_are_compacted_and_survive_a_restart) {
  ClusterOfSlots cluster(2);
  ASSERT_EQ(cluster.run(create("s", 1)).outcome(), v1::OUTCOME_OK);
  const int appends = static_cast<int>(kLogEntriesMax) + 40;
  for (int i = 1; i <= appends; ++i) {
    ASSERT_EQ(cluster.run(append("s", static_cast<uint64_t>(i), 1 + i)).outcome(), v1::OUTCOME_OK)
        << i;
  }
  for (uint32_t id = 1; id <= 2; ++id) {
    v1::ReadLogRequest ask;
    ask.set_slot(cluster.slot_of("s").value);
    ask.set_epoch(cluster.config().epoch.value);
    EXPECT_GT(cluster.store(id).read_log(ask).first_index(), 1u);
  }
  const Incarnation before = cluster.store(1).incarnation();
  for (uint32_t id = 1; id <= 2; ++id) {
    cluster.kill(id);
    cluster.start(id);
  }
  EXPECT_EQ(cluster.store(1).incarnation(), before);
  EXPECT_EQ(cluster.run(resolve("s")).version(), static_cast<uint64_t>(appends) + 1);
}

TEST_F(Slots, a_failed_fsync_makes_the_log_suspect) {
  ClusterOfSlots cluster(1);
  ASSERT_EQ(cluster.run(create("s", 1)).outcome(), v1::OUTCOME_OK);
  fault::arm("session.log_fsync", {});
  EXPECT_EQ(cluster.run(append("s", 1, 2)).outcome(), v1::OUTCOME_UNAVAILABLE);
  EXPECT_EQ(cluster.run(append("s", 1, 2)).outcome(), v1::OUTCOME_UNAVAILABLE);
  cluster.kill(1);
  cluster.start(1);
  EXPECT_EQ(cluster.run(resolve("s")).version(), 1u);
}

TEST_F(Slots, lists_for_a_router_of_the_same_epoch_and_for_one_that_names_none) {
  ClusterOfSlots cluster(2);
  v1::ListSlotRequest ask;
  ask.set_tenant("acme");
  const uint64_t epoch = cluster.config().epoch.value;
  for (const uint64_t fits : {uint64_t{0}, epoch}) {
    ask.set_epoch(fits);
    EXPECT_TRUE(cluster.store(1).list(ask).has_value()) << fits;
  }
  for (const uint64_t other : {epoch - 1, epoch + 1}) {
    if (other == 0) continue;
    ask.set_epoch(other);
    const auto refused = cluster.store(1).list(ask);
    ASSERT_FALSE(refused.has_value()) << other;
    EXPECT_EQ(refused.error().code(), Code::stale_epoch);
    EXPECT_NE(refused.error().message().find("epoch " + std::to_string(epoch)), std::string::npos);
  }
  // A primary that did not hear of the next epoch gives no list under it.
  cluster.set_config(cluster.config(), {1});
  ask.set_epoch(epoch + 1);
  EXPECT_EQ(cluster.store(1).list(ask).status().code(), Code::stale_epoch);
  EXPECT_TRUE(cluster.store(2).list(ask).has_value());
}

TEST_F(Slots, lists_sessions_in_order_of_id_and_page_by_page) {
  ClusterOfSlots cluster(1);
  for (int i = 0; i < 30; ++i) {
    ASSERT_EQ(cluster.run(create("s" + std::to_string(100 + i), i)).outcome(), v1::OUTCOME_OK);
  }
  v1::ListSlotRequest ask;
  ask.set_tenant("acme");
  ask.set_prefix("s1");
  ask.set_limit(20);
  const auto first = cluster.store(1).list(ask);
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->sessions_size(), 20);
  EXPECT_EQ(first->next(), "s119");
  ask.set_after(first->next());
  const auto rest = cluster.store(1).list(ask);
  ASSERT_TRUE(rest.has_value());
  EXPECT_EQ(rest->sessions_size(), 10);
  EXPECT_EQ(rest->next(), "");
}

TEST_F(Slots, racing_appends_give_one_history) {
  ClusterOfSlots cluster(2);
  ASSERT_EQ(cluster.run(create("s", 1)).outcome(), v1::OUTCOME_OK);
  std::atomic<int> won{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        const auto seen = cluster.run(resolve("s"));
        const auto result = cluster.run(append("s", seen.version(), 1000 * (t + 1) + i));
        if (result.outcome() == v1::OUTCOME_OK) ++won;
      }
    });
  }
  for (auto& thread : threads)
    thread.join();
  EXPECT_EQ(block_count(cluster.run(resolve("s")).manifest()), static_cast<uint64_t>(won.load()));
  EXPECT_GT(won.load(), 0);
}

}  // namespace
}  // namespace tarn::session
