#include "common/memory/size_class.h"

#include <gtest/gtest.h>

#include "common/memory/slab_layout.h"

namespace tarn::memory {
namespace {

TEST(SizeClass, SmallestSlotThatHolds) {
  EXPECT_EQ(slot_bytes_of(size_class_of(1)), 4 * kKiB);
  EXPECT_EQ(slot_bytes_of(size_class_of(4096)), 4 * kKiB);
  EXPECT_EQ(slot_bytes_of(size_class_of(4097)), 8 * kKiB);
  EXPECT_EQ(slot_bytes_of(size_class_of(16 * kKiB)), 16 * kKiB);
  EXPECT_EQ(slot_bytes_of(size_class_of(16 * kKiB + 1)), 20 * kKiB);
  EXPECT_EQ(slot_bytes_of(size_class_of(33 * kKiB)), 40 * kKiB);
  EXPECT_EQ(slot_bytes_of(size_class_of(2 * kMiB)), 2 * kMiB);
  EXPECT_EQ(slot_bytes_of(size_class_of(kBlockBytesMax)), kBlockBytesMax);
}

TEST(SizeClass, ClassesRiseAndWasteLittle) {
  uint64_t before = 0;
  for (SizeClass c = 0; c < size_class_count(); ++c) {
    const uint64_t bytes = slot_bytes_of(c);
    ASSERT_GT(bytes, before);
    ASSERT_EQ(size_class_of(bytes), c);
    ASSERT_EQ(size_class_of(before + 1), c);
    if (before >= 4 * kPayloadAlignBytes) {
      ASSERT_LE((bytes - before) * 4, before);
    }
    before = bytes;
  }
  EXPECT_EQ(before, kBlockBytesMax);
}

TEST(SizeClass, EachSlabHoldsItsSlots) {
  for (SizeClass c = 0; c < size_class_count(); ++c) {
    const uint64_t slab_bytes = slab_bytes_of(c);
    ASSERT_EQ(slab_bytes % (2 * kMiB), 0u);
    ASSERT_LE(slab_bytes, kSlabBytesMax);
    const SlabLayout layout(slab_bytes, slot_bytes_of(c));
    ASSERT_GE(layout.slot_count(), 1u);
    const uint32_t last = layout.slot_count() - 1;
    ASSERT_LE(layout.payload_offset(last) + layout.slot_bytes(), slab_bytes);
    ASSERT_GE(layout.payload_offset(0), layout.slot_count() * sizeof(SlotHeader));
    ASSERT_EQ(layout.payload_offset(last) % kPayloadAlignBytes, 0u);
  }
  EXPECT_EQ(slab_bytes_of(size_class_of(kBlockBytesMax)), kSlabBytesMax);
}

}  // namespace
}  // namespace tarn::memory
