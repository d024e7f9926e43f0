#include "common/memory/size_class.h"

#include <bit>

#include "common/base/check.h"
#include "common/memory/huge_pages.h"

namespace tarn::memory {
namespace {

// Room of slot headers in a slab of one slot.
constexpr uint64_t kHeaderRoomBytes = 4 * kKiB;
constexpr uint32_t kStepsPerDoubling = 4;

// Pages of the slots of each class: 1 2 3 4, then 5 6 7 8, 10 12 14 16, 20 24 28 32, ...
uint64_t pages_of(SizeClass size_class) {
  if (size_class < kStepsPerDoubling) return size_class + 1;
  const uint32_t doubling = size_class / kStepsPerDoubling - 1;
  const uint64_t step = size_class % kStepsPerDoubling + 1;
  return (uint64_t{kStepsPerDoubling} + step) << doubling;
}

}  // namespace

SizeClass size_class_of(uint64_t bytes) {
  TARN_CHECK(bytes >= 1 && bytes <= kBlockBytesMax);
  const uint64_t pages = (bytes + kPayloadAlignBytes - 1) / kPayloadAlignBytes;
  if (pages <= kStepsPerDoubling) return static_cast<SizeClass>(pages - 1);
  // pages - 1 lies in [4 << doubling, 8 << doubling).
  const uint32_t doubling = static_cast<uint32_t>(std::bit_width(pages - 1)) - 3;
  const uint64_t step = ((pages - 1) >> doubling) - kStepsPerDoubling;
  return (doubling + 1) * kStepsPerDoubling + static_cast<SizeClass>(step);
}

uint64_t slot_bytes_of(SizeClass size_class) {
  return pages_of(size_class) * kPayloadAlignBytes;
}

uint32_t size_class_count() {
  return size_class_of(kBlockBytesMax) + 1;
}

uint64_t slab_bytes_of(SizeClass size_class) {
  const uint64_t slot_bytes = slot_bytes_of(size_class);
  if (slot_bytes <= 16 * kMiB) return kClassSlabBytes;
  const uint64_t bytes = round_up(slot_bytes + kHeaderRoomBytes, kHugePageBytes);
  TARN_CHECK(bytes <= kSlabBytesMax);
  return bytes;
}

}  // namespace tarn::memory
