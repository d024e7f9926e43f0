#include <algorithm>

#include <gtest/gtest.h>

#include "tests/unit/server/session/cluster_of_slots.h"

namespace tarn::session {
namespace {

// A slot whose primary is alone and has told its only learner that it is complete.
class TaughtSlot : public testing::Test {
 protected:
  TaughtSlot() : cluster(2) {
    EXPECT_EQ(cluster.run(create("s", 1)).outcome(), v1::OUTCOME_OK);
    slot = cluster.slot_of("s").value;
    primary = cluster.entry_of("s").primary.value;
    learner = primary == 1 ? 2 : 1;
    cluster.kill(learner);
    ring::ClusterConfig alone = cluster.config();
    ring::find_member(alone, {learner})->state = ring::MemberState::down;
    alone.slots = ring::remove_member(alone, {learner});
    cluster.set_config(alone);
    cluster.start(learner);
    ring::ClusterConfig back = cluster.config();
    ring::find_member(back, {learner})->state = ring::MemberState::up;
    back.slots[slot].learners = {{learner}};
    cluster.set_config(back);
    teach();
    EXPECT_TRUE(claims_to_be_complete());
  }

  void teach() { cluster.store(primary).teach_learners(); }
  bool claims_to_be_complete() {
    const auto slots = cluster.store(learner).caught_up_slots();
    return std::find(slots.begin(), slots.end(), slot) != slots.end();
  }

  ClusterOfSlots cluster;
  uint32_t slot = 0;
  uint32_t primary = 0;
  uint32_t learner = 0;
};

// A learner was dropped and taken back in epochs that it did not see; meanwhile the primary had
// acknowledged an append without it. It went on to call itself complete, was promoted, and the
// append was lost.
TEST_F(TaughtSlot, a_learner_that_missed_an_epoch_does_not_call_itself_complete) {
  const ring::ClusterConfig with_learner = cluster.config();
  ring::ClusterConfig without_learner = with_learner;
  for (auto& entry : without_learner.slots)
    entry.learners.clear();
  cluster.set_config(without_learner, {learner});
  ASSERT_EQ(cluster.run(append("s", 1, 2)).outcome(), v1::OUTCOME_OK);
  cluster.set_config(with_learner);
  EXPECT_FALSE(claims_to_be_complete());
  // Told again, it has everything.
  teach();
  ASSERT_TRUE(claims_to_be_complete());
  ring::ClusterConfig promoted = cluster.config();
  promoted.slots = ring::promote_learner(promoted, {slot}, {learner}).value();
  ring::find_member(promoted, {primary})->state = ring::MemberState::down;
  promoted.slots = ring::remove_member(promoted, {primary});
  cluster.kill(primary);
  cluster.set_config(promoted);
  EXPECT_EQ(cluster.run(resolve("s")).version(), 2u);
}

// While nothing of the slot changes, and no epoch is missed, the word holds.
TEST_F(TaughtSlot, a_learner_stays_complete_over_an_epoch_that_changes_nothing) {
  cluster.set_config(cluster.config());
  EXPECT_TRUE(claims_to_be_complete());
}

// The learner was promoted and then left alone, and acknowledged an append. A primary that had
// slept since before its promotion asked only the synced members it knew of, which were none, and
// answered what had long been changed.
TEST_F(TaughtSlot, a_primary_that_wakes_up_asks_the_learners_it_has_told) {
  const uint64_t asleep_since = cluster.config().epoch.value;
  ring::ClusterConfig next = cluster.config();
  next.slots = ring::promote_learner(next, {slot}, {learner}).value();
  cluster.set_config(next, {primary});
  next = cluster.config();
  ring::find_member(next, {primary})->state = ring::MemberState::down;
  next.slots = ring::remove_member(next, {primary});
  cluster.set_config(next, {primary});
  ASSERT_EQ(cluster.entry_of("s").primary.value, learner);
  ASSERT_EQ(cluster.run(append("s", 1, 2)).version(), 2u);
  v1::SessionCommand read = resolve("s");
  read.set_tenant("acme");
  read.set_epoch(asleep_since);
  const auto stale = cluster.store(primary).execute(read);
  EXPECT_EQ(stale.outcome(), v1::OUTCOME_STALE_EPOCH) << stale.ShortDebugString();
}

v1::ReplicateRequest empty_log(uint32_t slot, uint64_t epoch) {
  v1::ReplicateRequest request;
  request.set_slot(slot);
  request.set_epoch(epoch);
  request.mutable_snapshot();
  return request;
}

// The log of a primary in the middle of its takeover was replaced by a newer primary's. It made
// its table from the new log, under its own epoch, and said that the session does not exist.
TEST(Takeover, a_log_that_a_newer_primary_replaced_gives_no_table) {
  ClusterOfSlots cluster(2);
  ASSERT_EQ(cluster.run(create("s", 1)).outcome(), v1::OUTCOME_OK);
  cluster.set_config(cluster.config());
  const uint32_t primary = cluster.entry_of("s").primary.value;
  const auto newer = empty_log(cluster.slot_of("s").value, cluster.config().epoch.value + 1);
  int messages = 0;
  cluster.allow = [&](uint32_t from, uint32_t) {
    // Asked before and after each message: confirm, read the log, and then spread its end.
    if (from == primary && ++messages == 5) {
      EXPECT_EQ(cluster.store(primary).replicate(newer).outcome(), v1::OUTCOME_OK);
    }
    return true;
  };
  const auto answer = cluster.run(resolve("s"));
  EXPECT_GE(messages, 5);
  EXPECT_EQ(answer.outcome(), v1::OUTCOME_STALE_EPOCH) << answer.ShortDebugString();
}

}  // namespace
}  // namespace tarn::session
