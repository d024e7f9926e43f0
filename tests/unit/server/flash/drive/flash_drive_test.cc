// One drive with its thread, over a disk in memory that fails, lies and hangs.
#include "server/flash/drive/flash_drive.h"

#include "tests/unit/server/flash/drive/drive_rig.h"

namespace tarn::flash {
namespace {

using io::Fault;
using io::IoKind;

constexpr uint32_t kRegions = 8;
constexpr uint64_t kBytes = 64 * kKiB;
// Long enough for a busy machine, short enough to wait for.
constexpr Millis kSoon{300};

class FlashDriveTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(x_rig.open().is_ok()); }
  DriveRig x_rig{kRegions};
};

TEST_F(FlashDriveTest, what_was_written_is_read_back_also_after_a_restart) {
  const std::map<uint64_t, uint64_t> sizes = {{1, 1},    {2, 4095},         {3, 4096},
                                              {4, 4097}, {5, 2 * kMiB + 5}, {6, 20 * kMiB}};
  for (const auto& [number, bytes] : sizes) {
    EXPECT_EQ(x_rig.put(number, bytes, number % 2 == 0 ? Lifetime::brief : Lifetime::lasting),
              Code::ok);
    EXPECT_EQ(x_rig.index->find(key_of(number))->bytes, bytes);
  }
  for (int start = 0; start < 2; ++start) {
    for (const auto& [number, bytes] : sizes)
      EXPECT_EQ(x_rig.get(number), Code::ok) << number;
    EXPECT_EQ(x_rig.get(7), Code::not_found);
    std::set<block::BlockKey> listed;
    EXPECT_TRUE(x_rig.drive
                    ->list([&](const block::BlockHeader& header) {
                      EXPECT_TRUE(listed.insert(header.key).second);
                      return true;
                    })
                    .is_ok());
    EXPECT_EQ(listed.size(), sizes.size());
    ASSERT_TRUE(x_rig.open().is_ok());
  }
  EXPECT_EQ(x_rig.index->blocks(), sizes.size());
}

TEST_F(FlashDriveTest, many_at_once_are_all_kept) {
  std::vector<CallPtr> puts;
  for (uint64_t i = 0; i < 300; ++i)
    puts.push_back(
        x_rig.start_put(i, 1 + i * 300, i % 5 == 0 ? Lifetime::lasting : Lifetime::brief));
  for (const CallPtr& put : puts) {
    EXPECT_EQ(put->code(), Code::ok);
    EXPECT_TRUE(put->is_free());
  }
  for (uint64_t i = 0; i < 300; ++i)
    EXPECT_EQ(x_rig.get(i), Code::ok) << i;
}

TEST_F(FlashDriveTest, the_entry_alone_can_be_read) {
  ASSERT_EQ(x_rig.put(1, kBytes), Code::ok);
  DriveRead read;
  read.key = key_of(1);
  read.place = *x_rig.index->find(key_of(1));
  const auto call = std::make_shared<Call>(1, kBytes);
  read.done = [call](Result<Entry> entry, bool is_free) { call->tell(std::move(entry), is_free); };
  read.freed = [] { ADD_FAILURE() << "there was no memory"; };
  ASSERT_TRUE(x_rig.drive->read(std::move(read)).is_ok());
  ASSERT_EQ(call->code(), Code::ok);
  EXPECT_TRUE(call->is_free());
  EXPECT_EQ(call->entry().put_in, Epoch{3});
}

TEST_F(FlashDriveTest, a_read_that_fails_is_tried_again) {
  ASSERT_EQ(x_rig.put(1, kBytes), Code::ok);
  for (const uint64_t nth : {0u, 1u}) {  // its group's page, its payload
    x_rig.device->fail(IoKind::read, Fault::error, nth);
    EXPECT_EQ(x_rig.get(1), Code::ok);
  }
  EXPECT_TRUE(x_rig.stats_say([](const DriveStats& stats) { return stats.errors == 2; }));
  EXPECT_EQ(x_rig.drive->stats().corrupt_blocks, 0u);
}

TEST_F(FlashDriveTest, a_block_that_the_drive_cannot_read_is_forgotten_and_told) {
  ASSERT_EQ(x_rig.put(1, kBytes), Code::ok);
  const FlashPlace place = *x_rig.index->find(key_of(1));
  x_rig.device->fail_reads_of(io::kLabelAreaBytes + place.region * kRegionBytes + place.offset);
  EXPECT_EQ(x_rig.get(1), Code::unavailable);
  EXPECT_EQ(x_rig.get(1), Code::not_found);
  EXPECT_TRUE(x_rig.was_dropped(1));
  EXPECT_EQ(x_rig.put(1, kBytes), Code::ok);
  EXPECT_EQ(x_rig.get(1), Code::ok);
}

TEST_F(FlashDriveTest, reads_leave_room_for_writes) {
  ASSERT_EQ(x_rig.put(1, kBytes), Code::ok);
  const FlashPlace place = *x_rig.index->find(key_of(1));
  x_rig.device->freeze();
  std::vector<CallPtr> calls;
  for (size_t i = 0; i < FlashDrive::kReadsMax; ++i)
    calls.push_back(x_rig.start_get(1, place));
  EXPECT_EQ(x_rig.start_get(1, place)->code(), Code::overloaded);
  calls.push_back(x_rig.start_put(2, kBytes));
  x_rig.device->thaw();
  for (const CallPtr& call : calls)
    ASSERT_EQ(call->code(), Code::ok);
  EXPECT_EQ(x_rig.start_get(1, place)->code(), Code::ok);
}

TEST_F(FlashDriveTest, a_failed_write_is_told_and_the_next_one_goes_elsewhere) {
  ASSERT_EQ(x_rig.put(1, kBytes), Code::ok);
  uint64_t number = 2;
  for (const auto& [fault, code] :
       {std::pair{Fault::error, Code::unavailable}, {Fault::no_space, Code::overloaded}})
    for (const uint64_t nth : {0u, 1u}) {
      x_rig.device->fail(IoKind::write, fault, nth);
      EXPECT_EQ(x_rig.put(number, kBytes), code);
      EXPECT_EQ(x_rig.get(number++), Code::not_found);
      EXPECT_EQ(x_rig.put(number, kBytes), Code::ok);
      EXPECT_EQ(x_rig.get(number++), Code::ok);
    }
  EXPECT_EQ(x_rig.get(1), Code::ok);
  ASSERT_TRUE(x_rig.open().is_ok());
  EXPECT_EQ(x_rig.index->blocks(), 5u);
}

TEST_F(FlashDriveTest, after_a_failed_flush_nothing_is_written_and_reads_go_on) {
  ASSERT_EQ(x_rig.put(1, kBytes), Code::ok);
  EXPECT_TRUE(x_rig.stats_say([](const DriveStats& stats) { return stats.is_writable; }));
  x_rig.device->fail(IoKind::flush, Fault::error);
  EXPECT_EQ(x_rig.put(2, kBytes), Code::unavailable);
  EXPECT_EQ(x_rig.put(3, kBytes), Code::unavailable);
  EXPECT_EQ(x_rig.get(1), Code::ok);
  EXPECT_EQ(x_rig.get(2), Code::not_found);
  EXPECT_TRUE(x_rig.stats_say([](const DriveStats& stats) { return !stats.is_writable; }));
}

// --- what the drive says is not so

class LyingDriveTest : public FlashDriveTest {
 protected:
  // The drive says that block 1 is there.
  void expect_found_out(uint64_t corrupt_blocks = 1) {
    EXPECT_EQ(x_rig.get(1), Code::corrupt);
    EXPECT_EQ(x_rig.get(1), Code::not_found) << "the index has not forgotten it";
    EXPECT_TRUE(x_rig.stats_say(
        [&](const DriveStats& stats) { return stats.corrupt_blocks == corrupt_blocks; }));
    EXPECT_EQ(x_rig.put(2, kBytes), Code::ok);
    EXPECT_EQ(x_rig.get(2), Code::ok);
  }
};

class LyingWriteTest : public LyingDriveTest,
                       public testing::WithParamInterface<std::pair<Fault, uint64_t>> {};

TEST_P(LyingWriteTest, is_found_out_when_the_block_is_read) {
  ASSERT_EQ(x_rig.put(0, kBytes), Code::ok);
  const auto [fault, nth] = GetParam();
  x_rig.device->fail(IoKind::write, fault, nth);
  ASSERT_EQ(x_rig.put(1, kBytes), Code::ok);
  expect_found_out();
  EXPECT_EQ(x_rig.get(0), Code::ok);
  // A restart may find it again where its page is there; its bytes are never taken for it.
  ASSERT_TRUE(x_rig.open().is_ok());
  EXPECT_EQ(x_rig.get(0), Code::ok);
  EXPECT_NE(x_rig.get(1), Code::ok);
}

// Of a put: first the group's page, then the payload.
INSTANTIATE_TEST_SUITE_P(
    Faults, LyingWriteTest,
    testing::Values(std::pair{Fault::lie, 0}, std::pair{Fault::lie, 1}, std::pair{Fault::torn, 1},
                    std::pair{Fault::misdirected, 0}, std::pair{Fault::misdirected, 1},
                    std::pair{Fault::bit_flip, 0}, std::pair{Fault::bit_flip, 1}));

class LyingReadTest : public LyingDriveTest,
                      public testing::WithParamInterface<std::pair<Fault, uint64_t>> {};

TEST_P(LyingReadTest, is_found_out) {
  ASSERT_EQ(x_rig.put(1, kBytes), Code::ok);
  const auto [fault, nth] = GetParam();
  x_rig.device->fail(IoKind::read, fault, nth);
  expect_found_out();
}

INSTANTIATE_TEST_SUITE_P(Faults, LyingReadTest,
                         testing::Values(std::pair{Fault::lie, 0}, std::pair{Fault::lie, 1},
                                         std::pair{Fault::misdirected, 0},
                                         std::pair{Fault::misdirected, 1},
                                         std::pair{Fault::bit_flip, 0},
                                         std::pair{Fault::bit_flip, 1}));

TEST_F(LyingDriveTest, bits_that_flip_on_the_medium_are_found_out) {
  ASSERT_EQ(x_rig.put(1, kBytes), Code::ok);
  const FlashPlace place = *x_rig.index->find(key_of(1));
  const uint64_t region = io::kLabelAreaBytes + place.region * kRegionBytes;
  x_rig.close();
  for (const uint64_t offset : {place.group + 100, place.offset + kBytes - 1}) {
    DriveRig other(std::make_shared<io::DiskImage>(*x_rig.image));
    other.image->seen()[region + offset] ^= std::byte{4};
    ASSERT_TRUE(other.open().is_ok());
    EXPECT_EQ(other.get(1), Code::not_found) << "a restart looks at what was written last";
  }
}

TEST_F(FlashDriveTest, a_block_that_was_removed_while_it_is_read_is_no_corrupt_one) {
  ASSERT_EQ(x_rig.put(1, kBytes), Code::ok);
  const FlashPlace place = *x_rig.index->find(key_of(1));
  x_rig.index->erase(key_of(1));
  x_rig.device->fail(IoKind::read, Fault::bit_flip);
  EXPECT_EQ(x_rig.start_get(1, place)->code(), Code::not_found);
  EXPECT_EQ(x_rig.get(1), Code::not_found);
}

TEST_F(FlashDriveTest, what_was_removed_stays_so_after_a_restart) {
  ASSERT_EQ(x_rig.put(1, kBytes), Code::ok);
  ASSERT_EQ(x_rig.put(2, kBytes), Code::ok);
  const CallPtr call = x_rig.remove(1);
  EXPECT_EQ(call->code(), Code::ok);
  EXPECT_EQ(call->entry().header.key, key_of(1));
  ASSERT_TRUE(x_rig.open().is_ok());
  EXPECT_EQ(x_rig.get(1), Code::not_found);
  EXPECT_EQ(x_rig.get(2), Code::ok);
}

// --- a drive that hangs

class FrozenDriveTest : public FlashDriveTest {
 protected:
  void SetUp() override {
    x_rig.deadline = kSoon;
    FlashDriveTest::SetUp();
    ASSERT_EQ(x_rig.put(1, kBytes), Code::ok);
  }
};

TEST_F(FrozenDriveTest, tells_at_the_deadline_and_has_the_memory_until_it_thaws) {
  x_rig.device->freeze();
  const Instant begun = system_clock().now();
  const CallPtr get = x_rig.start_get(1, *x_rig.index->find(key_of(1)));
  const CallPtr put = x_rig.start_put(2, kBytes);
  EXPECT_EQ(get->code(), Code::deadline_exceeded);
  EXPECT_EQ(put->code(), Code::deadline_exceeded);
  EXPECT_GE(system_clock().now() - begun, kSoon);
  EXPECT_LT(system_clock().now() - begun, 10 * kSoon);
  EXPECT_FALSE(get->is_free());
  EXPECT_FALSE(put->is_free());
  EXPECT_TRUE(x_rig.stats_say([](const DriveStats& stats) { return stats.late > 0; }));
  x_rig.device->thaw();
  EXPECT_TRUE(until([&] { return get->is_free() && put->is_free(); }));
  EXPECT_TRUE(x_rig.stats_say([](const DriveStats& stats) { return stats.late == 0; }));
  // What was told to have failed is not found; all goes on.
  EXPECT_EQ(x_rig.get(2), Code::not_found);
  EXPECT_EQ(x_rig.get(1), Code::ok);
  EXPECT_EQ(x_rig.put_in_time(3, kBytes), Code::ok);
  EXPECT_EQ(x_rig.get(3), Code::ok);
}

// The drive has its late writes still: they must not land in a region's next life.
TEST_F(FrozenDriveTest, uses_no_region_again_before_its_writes_have_ended) {
  DriveRig rig(FlashDrive::kDriveRegionsMin);
  rig.deadline = kSoon;
  ASSERT_TRUE(rig.open().is_ok());
  ASSERT_EQ(rig.put(1, kBytes), Code::ok);
  rig.device->freeze_writes();
  for (uint64_t number = 100; number < 106; ++number)
    EXPECT_NE(rig.put(number, kBytes), Code::ok);
  EXPECT_EQ(rig.get(1), Code::ok);
  EXPECT_EQ(rig.device->started(IoKind::discard), 0u);
  rig.device->thaw();
  EXPECT_EQ(rig.put_in_time(200, kBytes), Code::ok);
  EXPECT_EQ(rig.get(200), Code::ok);
  EXPECT_GT(rig.device->started(IoKind::discard), 0u);
}

TEST_F(FrozenDriveTest, is_closed_within_seconds_and_all_are_told) {
  x_rig.deadline = std::chrono::seconds(60);
  ASSERT_TRUE(x_rig.open().is_ok());
  std::vector<CallPtr> calls = {x_rig.start_get(1, *x_rig.index->find(key_of(1)))};
  x_rig.device->freeze_for_ever();
  calls.push_back(x_rig.start_get(1, *x_rig.index->find(key_of(1))));
  // More than fly at once: some of them wait in the log.
  for (uint64_t i = 10; i < 10 + 10 * kGroupEntriesMax; ++i)
    calls.push_back(x_rig.start_put(i, kBytes));
  const Instant begun = system_clock().now();
  x_rig.close();
  EXPECT_LT(system_clock().now() - begun, std::chrono::seconds(8));
  for (const CallPtr& call : calls)
    EXPECT_TRUE(call->is_told()) << call->number;
}

TEST_F(FrozenDriveTest, that_hangs_from_the_start_is_left_out_and_nothing_of_it_is_lost) {
  x_rig.on_device = [](io::FaultDevice& device) { device.freeze(); };
  EXPECT_EQ(x_rig.open().code(), Code::unavailable);
  x_rig.on_device = [](io::FaultDevice& device) { device.end_at_most(1); };
  ASSERT_TRUE(x_rig.open().is_ok());
  EXPECT_EQ(x_rig.get(1), Code::ok);
}

// --- the ends of its life

TEST_F(FlashDriveTest, a_closed_drive_refuses) {
  ASSERT_EQ(x_rig.put(1, kBytes), Code::ok);
  const FlashPlace place = *x_rig.index->find(key_of(1));
  x_rig.drive->close();
  x_rig.drive->close();
  EXPECT_EQ(x_rig.put(2, kBytes), Code::unavailable);
  EXPECT_EQ(x_rig.start_get(1, place)->code(), Code::unavailable);
  EXPECT_EQ(x_rig.drive->list([](const block::BlockHeader&) { return true; }).code(),
            Code::unavailable);
}

TEST(FlashDriveOpenTest, a_drive_of_too_few_regions_is_refused_in_words) {
  DriveRig rig(FlashDrive::kDriveRegionsMin - 1);
  const Status opened = rig.open();
  EXPECT_EQ(opened.code(), Code::invalid_argument);
  EXPECT_NE(opened.message().find("smaller than 3 regions"), std::string::npos);
}

TEST_F(FlashDriveTest, a_region_whose_header_cannot_be_read_is_left_alone) {
  ASSERT_EQ(x_rig.put(1, kBytes), Code::ok);
  const FlashPlace place = *x_rig.index->find(key_of(1));
  x_rig.on_device = [&](io::FaultDevice& device) {
    // After both halves of the label's area.
    device.fail(IoKind::read, Fault::error, 2 + place.region);
  };
  ASSERT_TRUE(x_rig.open().is_ok());
  EXPECT_EQ(x_rig.get(1), Code::not_found);
  EXPECT_EQ(x_rig.put(2, kBytes), Code::ok);
  x_rig.on_device = nullptr;
  ASSERT_TRUE(x_rig.open().is_ok());
  EXPECT_EQ(x_rig.get(1), Code::ok);
  EXPECT_EQ(x_rig.get(2), Code::ok);
}

}  // namespace
}  // namespace tarn::flash
