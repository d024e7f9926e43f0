#include "server/flash/log/removal_notes.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/unit/server/io/fault_device.h"
#include "tests/unit/server/io/io_fixture.h"

namespace tarn::flash {
namespace {

class RemovalNotesTest : public testing::Test {
 protected:
  // What a drive and its notes are for one life of a server.
  struct Life {
    Life() = default;
    Life(Life&&) = default;
    std::unique_ptr<io::FaultDevice> device;
    std::unique_ptr<RemovalNotes> notes;

    void settle() {
      while (!notes->is_idle()) {
        (void)notes->turn();
        device->poll();
      }
    }
    ~Life() { device.reset(); }
  };

  Life begin(io::DriveId drive = {7}) {
    Life life;
    life.device = std::make_unique<io::FaultDevice>(x_image, system_clock());
    RemovalNotesOptions options;
    options.device = life.device.get();
    options.drive = drive;
    options.epoch_of = [this](uint32_t region) { return x_epochs[region]; };
    life.notes = std::make_unique<RemovalNotes>(std::move(options));
    EXPECT_TRUE(life.notes->recover().is_ok());
    return life;
  }

  std::shared_ptr<io::DiskImage> x_image = std::make_shared<io::DiskImage>(2 * kMiB);
  std::map<uint32_t, uint64_t> x_epochs;
};

TEST_F(RemovalNotesTest, what_was_noted_is_known_after_a_restart_of_the_same_drive) {
  std::mt19937_64 random(1);
  {
    Life life = begin();
    EXPECT_FALSE(life.notes->holds({1, 2, 3}));
    for (uint32_t i = 0; i < 1000; ++i) {
      EXPECT_TRUE(life.notes->add({1, 2, i}));
      if (i % 100 == 0) life.settle();
    }
    EXPECT_TRUE(life.notes->add({1, 2, 7}));  // again
    life.settle();
  }
  x_image->cut_power(random);
  const Life life = begin();
  for (uint32_t i = 0; i < 1000; ++i)
    EXPECT_TRUE(life.notes->holds({1, 2, i})) << i;
  EXPECT_FALSE(life.notes->holds({1, 2, 1000}));
  EXPECT_FALSE(life.notes->holds({2, 2, 3}));
  EXPECT_FALSE(begin({8}).notes->holds({1, 2, 3}));
}

TEST_F(RemovalNotesTest, a_later_life_of_a_region_makes_room) {
  Life life = begin();
  for (uint32_t i = 0; i < RemovalNotes::kNotesMax; ++i)
    ASSERT_TRUE(life.notes->add({1, i / 30'000, i % 30'000})) << i;
  EXPECT_FALSE(life.notes->add({1, 5, 1}));
  EXPECT_FALSE(life.notes->holds({1, 5, 1}));
  x_epochs[0] = 2;
  EXPECT_TRUE(life.notes->add({1, 5, 1}));
  EXPECT_TRUE(life.notes->holds({1, 1, 7}));
  life.settle();
}

TEST_F(RemovalNotesTest, labels_are_left_alone) {
  std::ranges::fill(x_image->seen(), std::byte{0x5a});
  {
    Life life = begin();
    for (uint32_t i = 0; i < RemovalNotes::kNotesMax; ++i)
      ASSERT_TRUE(life.notes->add({1, 1, i}));
    life.settle();
  }
  for (const uint64_t label : {uint64_t{0}, io::kLabelCopyOffset, io::kLabelAreaBytes})
    for (uint64_t i = 0; i < kPageBytes; ++i)
      ASSERT_EQ(x_image->seen()[label + i], std::byte{0x5a}) << label << ' ' << i;
}

TEST_F(RemovalNotesTest, a_damaged_page_has_no_notes_and_the_others_have) {
  {
    Life life = begin();
    for (uint32_t i = 0; i < 2 * RemovalNotes::kNotesOfPage; ++i)
      ASSERT_TRUE(life.notes->add({1, 1, i}));
    life.settle();
  }
  x_image->seen()[kPageBytes + 100] ^= std::byte{1};
  const Life life = begin();
  EXPECT_FALSE(life.notes->holds({1, 1, 0}));
  EXPECT_TRUE(life.notes->holds({1, 1, RemovalNotes::kNotesOfPage}));
}

TEST_F(RemovalNotesTest,
       a_failed_write_is_tried_again_with_the_next_and_a_failed_flush_is_the_end) {
  Life life = begin();
  life.device->fail(io::IoKind::write, io::Fault::error);
  EXPECT_TRUE(life.notes->add({1, 1, 1}));
  life.settle();
  EXPECT_FALSE(begin().notes->holds({1, 1, 1}));
  EXPECT_TRUE(life.notes->add({1, 1, 9}));
  life.settle();
  EXPECT_TRUE(begin().notes->holds({1, 1, 1}));
  EXPECT_TRUE(begin().notes->holds({1, 1, 9}));
  life.device->fail(io::IoKind::flush, io::Fault::error);
  EXPECT_TRUE(life.notes->add({1, 1, 2}));
  life.settle();
  EXPECT_FALSE(life.notes->add({1, 1, 3}));
}

}  // namespace
}  // namespace tarn::flash
