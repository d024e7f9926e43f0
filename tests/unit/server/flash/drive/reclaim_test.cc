// Reclaim of regions that restarts have closed: hardly anything lies there, so it is quick.
#include "tests/unit/server/flash/drive/drive_rig.h"

namespace tarn::flash {
namespace {

using io::Fault;
using io::IoKind;

constexpr uint64_t kBytes = 64 * kKiB;

class ReclaimTest : public testing::Test {
 protected:
  // Blocks 1 and 2 in the oldest region, 3 in the next one, 10 to 49 in an open one, and a region
  // that is free; then 2 can be moved, and nothing else.
  void prepare() {
    ASSERT_TRUE(x_rig.open().is_ok());
    ASSERT_EQ(x_rig.put(1, kBytes), Code::ok);
    ASSERT_EQ(x_rig.put(2, kBytes), Code::ok);
    ASSERT_TRUE(x_rig.open().is_ok());
    ASSERT_EQ(x_rig.put(3, kBytes), Code::ok);
    ASSERT_TRUE(x_rig.open().is_ok());
    for (uint64_t number = 10; number < 50; ++number)
      ASSERT_EQ(x_rig.put(number, kBytes), Code::ok);
    ASSERT_EQ(x_rig.device->started(IoKind::discard), 0u);
  }
  // All pieces of its trim.
  bool waits_for_free_region() {
    return until([&] { return x_rig.device->started(IoKind::discard) >= 4; });
  }

  DriveRig x_rig{4};
};

TEST_F(ReclaimTest, what_was_asked_for_moves_and_the_rest_is_told_to_be_dropped) {
  prepare();
  const FlashPlace before = *x_rig.index->find(key_of(2));
  ASSERT_EQ(x_rig.get(2), Code::ok);
  ASSERT_EQ(x_rig.put(50, kBytes, Lifetime::lasting), Code::ok);
  ASSERT_TRUE(waits_for_free_region());
  EXPECT_NE(x_rig.index->find(key_of(2)), before);
  EXPECT_EQ(x_rig.get(2), Code::ok);
  EXPECT_EQ(x_rig.get(1), Code::not_found);
  EXPECT_TRUE(x_rig.was_dropped(1));
  EXPECT_FALSE(x_rig.was_dropped(2));
  EXPECT_TRUE(x_rig.stats_say([](const DriveStats& stats) {
    return stats.blocks_moved == 1 && stats.blocks_dropped == 1;
  }));
  // Who still has the old place gets no byte of what lies there by now.
  EXPECT_EQ(x_rig.start_get(2, before)->code(), Code::not_found);
  ASSERT_EQ(x_rig.get(2), Code::ok);
  for (uint64_t number = 10; number <= 50; ++number)
    EXPECT_EQ(x_rig.get(number), Code::ok) << number;
  ASSERT_TRUE(x_rig.open().is_ok());
  EXPECT_EQ(x_rig.get(2), Code::ok);
}

TEST_F(ReclaimTest, what_was_removed_is_neither_moved_nor_told) {
  prepare();
  ASSERT_EQ(x_rig.get(2), Code::ok);
  ASSERT_TRUE(x_rig.index->erase(key_of(1)));
  ASSERT_TRUE(x_rig.index->erase(key_of(2)));
  ASSERT_EQ(x_rig.put(50, kBytes, Lifetime::lasting), Code::ok);
  ASSERT_TRUE(waits_for_free_region());
  EXPECT_FALSE(x_rig.index->find(key_of(2)));
  EXPECT_FALSE(x_rig.was_dropped(1) || x_rig.was_dropped(2));
}

TEST_F(ReclaimTest, more_than_the_budget_goes_to_the_tier_below_if_it_was_asked_for) {
  Mutex mutex;
  std::vector<block::BlockKey> given;
  x_rig.below.takes_blocks = [] { return true; };
  x_rig.below.give = [&](const Entry& entry, std::span<const std::byte> payload) {
    const MutexLock lock(mutex);
    EXPECT_EQ(block::crc32c(0, payload.data(), payload.size()), entry.header.payload_crc);
    given.push_back(entry.header.key);
  };
  prepare();
  ASSERT_EQ(x_rig.get(1), Code::ok);
  ASSERT_EQ(x_rig.get(2), Code::ok);
  ASSERT_EQ(x_rig.put(50, kBytes, Lifetime::lasting), Code::ok);
  ASSERT_TRUE(waits_for_free_region());
  const bool first_stays = x_rig.index->find(key_of(1)).has_value();
  EXPECT_NE(first_stays, x_rig.index->find(key_of(2)).has_value());
  const MutexLock lock(mutex);
  EXPECT_EQ(given, std::vector{key_of(first_stays ? 2 : 1)});
}

TEST_F(ReclaimTest, what_nobody_asked_for_or_nobody_takes_is_dropped) {
  x_rig.below.takes_blocks = [] { return false; };
  x_rig.below.give = [](const Entry&, std::span<const std::byte>) { ADD_FAILURE(); };
  prepare();
  ASSERT_EQ(x_rig.get(1), Code::ok);
  ASSERT_EQ(x_rig.get(2), Code::ok);
  ASSERT_EQ(x_rig.put(50, kBytes, Lifetime::lasting), Code::ok);
  ASSERT_TRUE(waits_for_free_region());
  EXPECT_TRUE(x_rig.was_dropped(1) || x_rig.was_dropped(2));
}

TEST_F(ReclaimTest, more_than_the_budget_is_not_moved) {
  prepare();
  ASSERT_EQ(x_rig.get(1), Code::ok);
  ASSERT_EQ(x_rig.get(2), Code::ok);
  ASSERT_EQ(x_rig.put(50, kBytes, Lifetime::lasting), Code::ok);
  ASSERT_TRUE(waits_for_free_region());
  EXPECT_TRUE(x_rig.stats_say([](const DriveStats& stats) {
    return stats.blocks_moved == 1 && stats.blocks_dropped == 1;
  }));
  EXPECT_NE(x_rig.index->find(key_of(1)).has_value(), x_rig.index->find(key_of(2)).has_value());
}

// Its group's page is the read that a footer's page comes before.
TEST_F(ReclaimTest, a_region_that_cannot_be_listed_goes_with_all_its_rows) {
  prepare();
  x_rig.device->fail(IoKind::read, Fault::error, 1);
  ASSERT_EQ(x_rig.put(50, kBytes, Lifetime::lasting), Code::ok);
  ASSERT_TRUE(waits_for_free_region());
  EXPECT_FALSE(x_rig.index->find(key_of(1)));
  EXPECT_FALSE(x_rig.index->find(key_of(2)));
  EXPECT_EQ(x_rig.index->use_of(0, 0).live_bytes, 0u);
  EXPECT_EQ(x_rig.get(3), Code::ok);
}

TEST_F(ReclaimTest, a_moved_block_that_is_damaged_is_dropped_and_others_stay) {
  prepare();
  ASSERT_EQ(x_rig.get(2), Code::ok);
  // After the footer's page, the pages of both groups and what follows them: the block.
  x_rig.device->fail(IoKind::read, Fault::bit_flip, 4);
  ASSERT_EQ(x_rig.put(50, kBytes, Lifetime::lasting), Code::ok);
  ASSERT_TRUE(waits_for_free_region());
  EXPECT_EQ(x_rig.get(2), Code::not_found);
  EXPECT_TRUE(x_rig.was_dropped(2));
  EXPECT_EQ(x_rig.get(3), Code::ok);
}

TEST_F(ReclaimTest, a_drive_that_hangs_loses_no_region) {
  x_rig.deadline = Millis(300);
  prepare();
  ASSERT_EQ(x_rig.get(2), Code::ok);
  x_rig.device->freeze();
  const CallPtr put = x_rig.start_put(50, kBytes, Lifetime::lasting);
  EXPECT_EQ(put->code(), Code::deadline_exceeded);
  EXPECT_EQ(x_rig.put(51, kBytes), Code::deadline_exceeded);
  EXPECT_TRUE(x_rig.index->find(key_of(1)));
  EXPECT_FALSE(x_rig.was_dropped(1));
  x_rig.device->thaw();
  ASSERT_TRUE(waits_for_free_region());
  EXPECT_EQ(x_rig.put_in_time(52, kBytes), Code::ok);
  EXPECT_EQ(x_rig.get(52), Code::ok);
}

// The old copy of a block that was moved lies in a region that is free, but for its header.
TEST_F(ReclaimTest, what_was_moved_and_then_removed_stays_away_after_a_restart) {
  prepare();
  ASSERT_EQ(x_rig.get(2), Code::ok);
  ASSERT_EQ(x_rig.put(50, kBytes, Lifetime::lasting), Code::ok);
  ASSERT_TRUE(x_rig.stats_say([](const DriveStats& stats) { return stats.regions_free == 1; }));
  ASSERT_EQ(x_rig.remove(2)->code(), Code::ok);
  ASSERT_TRUE(x_rig.open().is_ok());
  EXPECT_EQ(x_rig.get(2), Code::not_found);
  EXPECT_EQ(x_rig.get(1), Code::not_found) << "it was dropped";
  EXPECT_EQ(x_rig.drive->stats().regions_free, 1u);
  EXPECT_EQ(x_rig.get(50), Code::ok);
}

TEST_F(ReclaimTest, a_wipe_that_fails_costs_the_region_alone) {
  prepare();
  x_rig.device->fail(IoKind::write, Fault::error, 3);  // the put's header, page and payload
  ASSERT_EQ(x_rig.put(50, kBytes, Lifetime::lasting), Code::ok);
  EXPECT_TRUE(x_rig.stats_say([](const DriveStats& stats) { return stats.errors == 1; }));
  EXPECT_EQ(x_rig.get(50), Code::ok);
  EXPECT_EQ(x_rig.get(10), Code::ok);
  EXPECT_EQ(x_rig.put(51, kBytes, Lifetime::lasting), Code::ok);
}

TEST_F(ReclaimTest, a_drive_that_takes_no_writes_keeps_what_it_has) {
  prepare();
  x_rig.device->fail(IoKind::flush, Fault::error);
  EXPECT_EQ(x_rig.put(50, kBytes, Lifetime::lasting), Code::unavailable);
  EXPECT_TRUE(x_rig.stats_say([](const DriveStats& stats) { return !stats.is_writable; }));
  for (const uint64_t number : {1u, 2u, 3u, 10u})
    EXPECT_EQ(x_rig.get(number), Code::ok) << number;
}

TEST_F(ReclaimTest, the_smallest_drive_goes_on_for_ever) {
  DriveRig rig(FlashDrive::kDriveRegionsMin);
  for (uint64_t round = 0; round < 10; ++round) {
    ASSERT_TRUE(rig.open().is_ok());
    EXPECT_EQ(rig.put_in_time(2 * round, kBytes, Lifetime::brief), Code::ok);
    EXPECT_EQ(rig.put_in_time(2 * round + 1, kBytes, Lifetime::lasting), Code::ok);
    EXPECT_EQ(rig.get(2 * round), Code::ok);
    EXPECT_EQ(rig.get(2 * round + 1), Code::ok);
  }
}

}  // namespace
}  // namespace tarn::flash
