#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "common/base/fault_point.h"
#include "common/base/mutex.h"
#include "tests/unit/server/session/cluster_of_slots.h"
#include "tests/unit/until.h"

namespace tarn::session {
namespace {

// Where messages between servers wait, as they do before a process that was stopped.
class Gate {
 public:
  void shut() {
    const MutexLock lock(x_mutex);
    x_shut = true;
  }
  void open() {
    const MutexLock lock(x_mutex);
    x_shut = false;
    x_changed.notify_all();
  }
  void pass() {
    const MutexLock lock(x_mutex);
    ++x_arrived;
    x_changed.notify_all();
    while (x_shut)
      x_changed.wait(x_mutex);
  }
  void wait_for_arrival() {
    const MutexLock lock(x_mutex);
    while (x_arrived == 0)
      x_changed.wait(x_mutex);
  }

 private:
  Mutex x_mutex;
  CondVar x_changed;
  bool x_shut TARN_GUARDED_BY(x_mutex) = false;
  int x_arrived TARN_GUARDED_BY(x_mutex) = 0;
};

// A slot of two members, the second of which was stopped while it got an append.
class StoppedMember : public testing::Test {
 protected:
  StoppedMember() : cluster(2) {
    EXPECT_EQ(cluster.run(create("s", 1)).outcome(), v1::OUTCOME_OK);
    primary = cluster.entry_of("s").primary.value;
    cluster.allow = [this](uint32_t, uint32_t) {
      gate.pass();
      return true;
    };
    gate.shut();
    first = std::thread([this] { first_outcome = run(append("s", 1, 2)).outcome(); });
    gate.wait_for_arrival();
  }
  ~StoppedMember() override {
    gate.open();
    if (first.joinable()) first.join();
  }

  v1::SessionResult run(v1::SessionCommand command, Instant deadline = kNever) {
    command.set_tenant("acme");
    command.set_epoch(1);
    return cluster.store(primary).execute(command, deadline);
  }

  ClusterOfSlots cluster;
  uint32_t primary = 0;
  Gate gate;
  std::thread first;
  std::atomic<v1::Outcome> first_outcome = v1::OUTCOME_INTERNAL;
};

// Each queued command ran a takeover of its own under the epoch that it had been read under, and
// each waited two seconds for the stopped member.
TEST_F(StoppedMember, queued_commands_go_when_the_config_moves_on) {
  std::vector<std::thread> queued;
  std::atomic<uint32_t> stale = 0;
  for (uint32_t i = 0; i < kSlotQueueMax; ++i) {
    queued.emplace_back([this, i, &stale] {
      const auto outcome = run(append("s", 1, 10 + static_cast<int>(i))).outcome();
      if (outcome == v1::OUTCOME_STALE_EPOCH) ++stale;
    });
  }
  // One that has no time left is refused for the queue only once that is full.
  while (run(append("s", 1, 9), Instant{}).outcome() != v1::OUTCOME_OVERLOADED)
    std::this_thread::yield();
  cluster.set_config(cluster.config());
  for (auto& thread : queued)
    thread.join();  // while the first append still waits
  EXPECT_EQ(stale, kSlotQueueMax);
}

TEST_F(StoppedMember, a_queued_command_ends_by_its_deadline) {
  cluster.clock().advance(std::chrono::seconds(1));
  const auto late = run(append("s", 1, 10), cluster.clock().now());
  EXPECT_EQ(late.outcome(), v1::OUTCOME_DEADLINE_EXCEEDED) << late.message();
}

TEST_F(StoppedMember, so_many_commands_may_wait_and_no_more) {
  std::vector<std::thread> queued;
  std::atomic<uint32_t> refused = 0;
  std::atomic<uint32_t> stale = 0;
  for (uint32_t i = 0; i < kSlotQueueMax + 3; ++i) {
    queued.emplace_back([this, i, &refused, &stale] {
      const auto outcome = run(append("s", 1, 10 + static_cast<int>(i))).outcome();
      if (outcome == v1::OUTCOME_OVERLOADED) ++refused;
      if (outcome == v1::OUTCOME_STALE_EPOCH) ++stale;
    });
  }
  EXPECT_TRUE(until([&] { return refused == 3; })) << refused;
  EXPECT_EQ(stale, 0u);
  cluster.set_config(cluster.config());
  for (auto& thread : queued)
    thread.join();
  EXPECT_EQ(refused, 3u);
  EXPECT_EQ(stale, kSlotQueueMax);
  EXPECT_EQ(cluster.registry.counter("tarn_session_overloaded_total", "Any.").value(), 3u);
}

TEST_F(StoppedMember, what_was_queued_goes_on_when_it_wakes_up) {
  std::thread second([this] { EXPECT_EQ(run(append("s", 2, 3)).version(), 3u); });
  gate.open();
  first.join();
  EXPECT_EQ(first_outcome, v1::OUTCOME_OK);
  second.join();
}

// A list after any change of the config collected the logs of every slot anew.
TEST(SlotList, takes_over_only_slots_that_the_config_changed) {
  ClusterOfSlots cluster(2);
  ASSERT_EQ(cluster.run(create("s", 1)).outcome(), v1::OUTCOME_OK);
  const uint32_t primary = cluster.entry_of("s").primary.value;
  v1::ListSlotRequest ask;
  ask.set_tenant("acme");
  ASSERT_EQ(cluster.store(primary).list(ask)->sessions_size(), 1);
  cluster.set_config(cluster.config());
  int messages = 0;
  cluster.allow = [&](uint32_t, uint32_t) { return ++messages > 0; };
  const auto listed = cluster.store(primary).list(ask);
  ASSERT_TRUE(listed.has_value()) << listed.error().to_string();
  EXPECT_EQ(listed->sessions_size(), 1);
  EXPECT_EQ(messages, 0);
}

// The same server is primary again, under an entry that looks the same: its old table is no answer.
TEST(SlotList, shows_what_another_primary_did_in_between) {
  ClusterOfSlots cluster(2);
  ASSERT_EQ(cluster.run(create("s", 1)).outcome(), v1::OUTCOME_OK);
  const ring::ClusterConfig before = cluster.config();
  const uint32_t first = cluster.entry_of("s").primary.value;
  v1::ListSlotRequest ask;
  ask.set_tenant("acme");
  ASSERT_EQ(cluster.store(first).list(ask)->sessions_size(), 1);
  ring::ClusterConfig swapped = before;
  swapped.slots[cluster.slot_of("s").value].primary = {first == 1 ? 2u : 1u};
  cluster.set_config(swapped, {first});
  ASSERT_EQ(cluster.run(append("s", 1, 2)).version(), 2u);
  cluster.set_config(before);
  const auto listed = cluster.store(first).list(ask);
  ASSERT_TRUE(listed.has_value()) << listed.error().to_string();
  ASSERT_EQ(listed->sessions_size(), 1);
  EXPECT_EQ(listed->sessions(0).version(), 2u);
}

// A failed fsync left the server where it was, and every change in its slots was refused for good
// although another server had a sound copy.
TEST(Disk, a_member_that_cannot_write_is_let_go_and_nothing_is_lost) {
  ClusterOfSlots cluster(3);
  ASSERT_EQ(cluster.run(create("s", 1)).outcome(), v1::OUTCOME_OK);
  ASSERT_EQ(cluster.run(append("s", 1, 2)).version(), 2u);
  const uint32_t primary = cluster.entry_of("s").primary.value;
  fault::arm("session.log_fsync", {});  // the primary's own
  EXPECT_EQ(cluster.run(append("s", 2, 3)).outcome(), v1::OUTCOME_UNAVAILABLE);
  fault::disarm_all();
  EXPECT_EQ(cluster.run(append("s", 2, 3)).outcome(), v1::OUTCOME_UNAVAILABLE);
  EXPECT_EQ(cluster.registry.gauge("tarn_session_log_suspect", "Any.").value(), 1);
  ring::ClusterConfig next = cluster.config();
  ring::find_member(next, {primary})->state = ring::MemberState::down;
  next.slots = ring::remove_member(next, {primary});
  cluster.set_config(next);
  EXPECT_EQ(cluster.run(append("s", 2, 3)).version(), 3u);
  EXPECT_EQ(block_count(cluster.run(resolve("s")).manifest()), 2u);
}

TEST(Disk, a_store_that_takes_no_write_does_not_open) {
  const auto folder = std::filesystem::path(testing::TempDir()) / "no_write";
  std::filesystem::remove_all(folder);
  ASSERT_TRUE(SlotLog::open(folder.string()).has_value());
  fault::arm("session.log_fsync", {});
  const auto again = SlotLog::open(folder.string());
  fault::disarm_all();
  ASSERT_FALSE(again.has_value());
  EXPECT_NE(again.error().message().find("fsync"), std::string::npos);
}

}  // namespace
}  // namespace tarn::session
