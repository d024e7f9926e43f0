// Size classes and the slots of their slabs: what each byte of a slab is for.
#include <gtest/gtest.h>

#include <random>

#include "common/base/units.h"
#include "common/memory/size_class.h"
#include "common/memory/slab_layout.h"

namespace tarn::memory {
namespace {

// For every class and the sizes at its edges: the smallest slot that holds the block.
TEST(SizeClassModel, TheSmallestSlotThatHoldsIsTaken) {
  for (SizeClass c = 0; c < size_class_count(); ++c) {
    const uint64_t slot = slot_bytes_of(c);
    const uint64_t below = c == 0 ? 0 : slot_bytes_of(c - 1);
    for (const uint64_t bytes : {below + 1, below + 2, (below + slot) / 2, slot - 1, slot}) {
      if (bytes <= below || bytes > slot) continue;
      ASSERT_EQ(size_class_of(bytes), c) << bytes;
    }
    if (slot < kBlockBytesMax) {
      ASSERT_EQ(size_class_of(slot + 1), c + 1);
    }
  }
}

TEST(SizeClassModel, AtMostAFifthOfASlotIsUnusedAbove16KiB) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20'000; ++i) {
    const uint64_t bytes = 16 * kKiB + 1 + random() % (kBlockBytesMax - 16 * kKiB);
    const uint64_t slot = slot_bytes_of(size_class_of(bytes));
    ASSERT_GE(slot, bytes);
    ASSERT_LE((slot - bytes) * 5, slot) << bytes;
  }
}

TEST(SizeClassModelDeathTest, NoBlockIsEmptyOrOverTheLimit) {
  EXPECT_DEATH((void)size_class_of(0), "check failed");
  EXPECT_DEATH((void)size_class_of(kBlockBytesMax + 1), "check failed");
}

void check_layout(const SlabLayout& layout, uint64_t slab_bytes) {
  const uint64_t headers_end = uint64_t{layout.slot_count()} * sizeof(SlotHeader);
  uint64_t end = headers_end;
  for (uint32_t slot = 0; slot < layout.slot_count(); ++slot) {
    const uint64_t payload = layout.payload_offset(slot);
    ASSERT_EQ(payload % kPayloadAlignBytes, 0u);
    ASSERT_GE(payload, end) << "slot " << slot << " lies on what is before it";
    end = payload + layout.slot_bytes();
  }
  ASSERT_LE(end, slab_bytes);
  // One slot more would not fit, header, alignment and all.
  const uint64_t more = uint64_t{layout.slot_count()} + 1;
  const uint64_t needed =
      round_up(more * sizeof(SlotHeader), kPayloadAlignBytes) + more * layout.slot_bytes();
  ASSERT_GT(needed, slab_bytes);
}

TEST(SlabLayoutModel, SlotsOfEachClassNeverOverlapAndFillTheSlab) {
  for (SizeClass c = 0; c < size_class_count(); ++c) {
    SCOPED_TRACE(slot_bytes_of(c));
    const uint64_t slab_bytes = slab_bytes_of(c);
    ASSERT_GE(slab_bytes, kSlabBytesMin);
    ASSERT_NO_FATAL_FAILURE(check_layout(SlabLayout(slab_bytes, slot_bytes_of(c)), slab_bytes));
  }
}

TEST(SlabLayoutModel, SlotsOfAnySizeInAnySlab) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 500; ++i) {
    const uint64_t slab_bytes = kSlabBytesMin + 2 * kMiB * (random() % 32);
    const uint64_t pages = (slab_bytes - kPayloadAlignBytes) / kPayloadAlignBytes;
    const uint64_t slot_bytes = (1 + random() % pages) * kPayloadAlignBytes;
    SCOPED_TRACE(std::to_string(slot_bytes) + " in " + std::to_string(slab_bytes));
    ASSERT_NO_FATAL_FAILURE(check_layout(SlabLayout(slab_bytes, slot_bytes), slab_bytes));
  }
}

TEST(SlabLayoutModelDeathTest, ASlabHoldsOneSlotAtLeastAndWholePages) {
  EXPECT_DEATH(SlabLayout(kSlabBytesMin, kSlabBytesMin), "check failed") << "no room for a header";
  EXPECT_DEATH(SlabLayout(kSlabBytesMin, 5000), "check failed");
  EXPECT_DEATH(SlabLayout(kSlabBytesMin, 0), "check failed");
}

}  // namespace
}  // namespace tarn::memory
