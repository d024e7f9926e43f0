// A slot whose members die at every point of a change, against one history.
#include <gtest/gtest.h>

#include <random>
#include <set>
#include <string>
#include <vector>

#include "common/base/fault_point.h"
#include "tests/unit/server/session/cluster_of_slots.h"

namespace tarn::session {
namespace {

ring::ClusterConfig without(const ring::ClusterConfig& config, uint32_t dead) {
  ring::ClusterConfig next = config;
  ring::find_member(next, {dead})->state = ring::MemberState::down;
  next.slots = ring::remove_member(next, {dead});
  return next;
}

ring::ClusterConfig with_back(const ring::ClusterConfig& config, uint32_t back) {
  ring::ClusterConfig next = config;
  ring::find_member(next, {back})->state = ring::MemberState::up;
  next.slots = ring::add_learners(next);
  return next;
}

std::vector<std::string> blocks_of(const v1::Manifest& manifest) {
  std::vector<std::string> blocks;
  for (const auto& run : manifest.runs())
    blocks.insert(blocks.end(), run.hashes().begin(), run.hashes().end());
  return blocks;
}

class Crash : public testing::Test {
 protected:
  void TearDown() override { fault::disarm_all(); }

  static uint32_t backup_of(const ClusterOfSlots& cluster, const std::string& session) {
    const auto& entry = cluster.entry_of(session);
    for (const ServerId id : entry.synced) {
      if (id != entry.primary) return id.value;
    }
    return 0;
  }
};

struct Point {
  const char* fault;
  bool dies;      // the primary, for good: another takes over; else it restarts
  bool is_first;  // the fault strikes the first entry of an epoch
};

class CrashPoint : public Crash, public testing::WithParamInterface<Point> {};

// The client repeats its request until it is acknowledged: it must be there exactly once, and
// whatever was acknowledged before it too.
TEST_P(CrashPoint, ARepeatedAppendIsThereOnce) {
  ClusterOfSlots cluster(3);
  ASSERT_EQ(cluster.run(create("s", 1)).outcome(), v1::OUTCOME_OK);
  ASSERT_EQ(cluster.run(append("s", 1, 2)).outcome(), v1::OUTCOME_OK);
  if (GetParam().is_first) cluster.set_config(cluster.config());
  fault::arm(GetParam().fault, {});
  ASSERT_NE(cluster.run(append("s", 2, 3)).outcome(), v1::OUTCOME_OK);
  fault::disarm_all();
  const uint32_t primary = cluster.entry_of("s").primary.value;
  cluster.kill(primary);
  if (GetParam().dies) {
    cluster.set_config(without(cluster.config(), primary));
  } else {
    cluster.start(primary);
  }
  const auto again = cluster.run(append("s", 2, 3));
  ASSERT_EQ(again.outcome(), v1::OUTCOME_OK) << again.message();
  EXPECT_EQ(again.version(), 3u);
  EXPECT_EQ(blocks_of(cluster.run(resolve("s")).manifest()),
            (std::vector<std::string>{"h2", "h3"}));
}

INSTANTIATE_TEST_SUITE_P(Points, CrashPoint,
                         testing::Values(Point{"session.log_fsync", false, false},
                                         Point{"session.log_fsync", true, false},
                                         Point{"session.log_fsync", false, true},
                                         Point{"session.log_fsync", true, true},
                                         Point{"session.after_local_fsync", false, false},
                                         Point{"session.after_local_fsync", true, false},
                                         Point{"session.after_local_fsync", false, true},
                                         Point{"session.after_local_fsync", true, true},
                                         Point{"session.before_answer", false, false},
                                         Point{"session.before_answer", true, false},
                                         Point{"session.before_answer", false, true},
                                         Point{"session.before_answer", true, true}));

// The backup's disk fails instead: the append is not acknowledged until the config lets it go.
TEST_F(Crash, AMembersFailedDiskStopsAcknowledgementsUntilItIsLetGo) {
  ClusterOfSlots cluster(3);
  ASSERT_EQ(cluster.run(create("s", 1)).outcome(), v1::OUTCOME_OK);
  const uint32_t backup = backup_of(cluster, "s");
  // The primary's own fsync passes, the backup's is the second.
  fault::arm("session.log_fsync", {.skip = 1});
  EXPECT_NE(cluster.run(append("s", 1, 2)).outcome(), v1::OUTCOME_OK);
  EXPECT_NE(cluster.run(append("s", 1, 2)).outcome(), v1::OUTCOME_OK) << "its log is suspect";
  cluster.kill(backup);
  cluster.set_config(without(cluster.config(), backup));
  EXPECT_EQ(cluster.run(append("s", 1, 2)).version(), 2u);
  EXPECT_EQ(blocks_of(cluster.run(resolve("s")).manifest()), std::vector<std::string>{"h2"});
}

TEST_F(Crash, AnEntryThatOnlyADeadPrimaryHadNeverComesBack) {
  ClusterOfSlots cluster(3);
  ASSERT_EQ(cluster.run(create("s", 1)).outcome(), v1::OUTCOME_OK);
  const uint32_t dead = cluster.entry_of("s").primary.value;
  for (int ghost = 0; ghost < 3; ++ghost) {
    fault::arm("session.after_local_fsync", {});
    EXPECT_NE(cluster.run(append("s", 1, 100 + ghost)).outcome(), v1::OUTCOME_OK);
    fault::disarm_all();
    // A restart settles the entry: here it survives or not, but never twice.
    if (ghost < 2) continue;
    cluster.kill(dead);
    cluster.set_config(without(cluster.config(), dead));
  }
  const auto before = blocks_of(cluster.run(resolve("s")).manifest());
  const auto version = cluster.run(resolve("s")).version();
  ASSERT_EQ(cluster.run(append("s", version, 7)).outcome(), v1::OUTCOME_OK);
  // It comes back as a learner, is taught, and becomes the only one that is left.
  cluster.start(dead);
  cluster.set_config(with_back(cluster.config(), dead));
  const uint32_t primary = cluster.entry_of("s").primary.value;
  cluster.store(primary).teach_learners();
  auto expected = before;
  expected.push_back("h7");
  EXPECT_EQ(blocks_of(cluster.run(resolve("s")).manifest()), expected);
  v1::ReadLogRequest ask;
  ask.set_slot(cluster.slot_of("s").value);
  ask.set_epoch(cluster.config().epoch.value);
  ASSERT_FALSE(cluster.entry_of("s").learners.empty());
  for (const ServerId learner : cluster.entry_of("s").learners) {
    EXPECT_EQ(cluster.store(learner.value).read_log(ask).last_index(),
              cluster.store(primary).read_log(ask).last_index());
  }
}

// One random life of a cluster: cuts, lost answers, deaths, restarts, failing disks, removals from
// the config and returns as a learner that is promoted. The model is the list of acknowledged
// blocks; each of these must be there, in order, once.
class OneHistory : public Crash, public testing::WithParamInterface<uint32_t> {
 protected:
  uint64_t pick(uint64_t below) { return x_random() % below; }

  void disturb() {
    switch (pick(9)) {
      case 0:
        x_cluster.set_config(x_cluster.config());
        break;
      case 1: {
        const auto id = static_cast<uint32_t>(1 + pick(3));
        if (x_down != id) restart(id);
        break;
      }
      case 2:
        let_go();
        break;
      case 3:
        take_back();
        break;
      case 4:
        fault::arm("session.log_fsync", {.skip = static_cast<uint32_t>(pick(3))});
        break;
      case 5:
        fault::arm(pick(2) == 0 ? "session.after_local_fsync" : "session.before_answer", {});
        break;
      default:
        break;
    }
  }

  // A log that fails its first write does not open: a server starts on a sound disk.
  void restart(uint32_t id) {
    fault::disarm_all();
    x_cluster.kill(id);
    x_cluster.start(id);
  }

  // One server dies and the config lets it go, unless one is away already.
  void let_go() {
    if (x_down != 0) return;
    x_down = static_cast<uint32_t>(1 + pick(3));
    x_cluster.kill(x_down);
    x_cluster.set_config(without(x_cluster.config(), x_down));
  }

  void take_back() {
    if (x_down == 0) return;
    fault::disarm_all();
    x_cluster.start(x_down);
    x_cluster.set_config(with_back(x_cluster.config(), x_down));
    x_down = 0;
  }

  // What the controller does: a learner that says it has the whole log becomes synced.
  void promote() {
    const auto& entry = x_cluster.entry_of("s");
    if (entry.learners.empty()) return;
    x_cluster.store(entry.primary.value).teach_learners();
    const uint32_t slot = x_cluster.slot_of("s").value;
    for (const ServerId learner : entry.learners) {
      if (learner.value == x_down) continue;
      const auto told = x_cluster.store(learner.value).caught_up_slots();
      if (std::find(told.begin(), told.end(), slot) == told.end()) continue;
      auto next = x_cluster.config();
      if (auto slots = ring::promote_learner(next, {slot}, learner)) {
        next.slots = *slots;
        x_cluster.set_config(next);
      }
      return;
    }
  }

  // Disks that failed are replaced: what a restart does.
  void mend() {
    fault::disarm_all();
    for (uint32_t id = 1; id <= 3; ++id) {
      if (id != x_down) restart(id);
    }
  }

  std::mt19937_64 x_random{GetParam()};
  ClusterOfSlots x_cluster{3};
  uint32_t x_down = 0;
};

TEST_P(OneHistory, WhateverWasAcknowledgedIsThereOnce) {
  SCOPED_TRACE("seed " + std::to_string(GetParam()));
  ASSERT_EQ(x_cluster.run(create("s", 1)).outcome(), v1::OUTCOME_OK);
  std::mt19937_64 cuts(GetParam() + 1000);
  x_cluster.allow = [&](uint32_t, uint32_t) { return cuts() % 10 != 0; };
  x_cluster.lost_answers = GetParam() % 2 == 0;
  std::vector<std::string> acknowledged;
  uint64_t version = 1;
  int request = 2;
  int refusals = 0;
  for (int step = 0; step < 150; ++step) {
    if (pick(6) == 0) disturb();
    if (pick(5) == 0) promote();
    const auto result = x_cluster.run(append("s", version, request));
    if (result.outcome() == v1::OUTCOME_OK) {
      acknowledged.push_back("h" + std::to_string(request++));
      version = result.version();
      refusals = 0;
      continue;
    }
    ASSERT_NE(result.outcome(), v1::OUTCOME_NOT_FOUND) << result.message();
    ASSERT_NE(result.outcome(), v1::OUTCOME_CONFLICT) << result.message();
    if (++refusals > 4) mend();
  }
  mend();
  x_cluster.allow = [](uint32_t, uint32_t) { return true; };
  auto stored = blocks_of(x_cluster.run(resolve("s")).manifest());
  // The last request may be there without having been acknowledged.
  if (stored.size() == acknowledged.size() + 1) stored.pop_back();
  EXPECT_EQ(stored, acknowledged);
  EXPECT_GT(acknowledged.size(), 30u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, OneHistory, testing::Range(1u, 7u));

}  // namespace
}  // namespace tarn::session
