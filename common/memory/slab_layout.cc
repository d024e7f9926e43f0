#include "common/memory/slab_layout.h"

#include "common/base/check.h"
#include "common/base/units.h"

namespace tarn::memory {

SlabLayout::SlabLayout(uint64_t slab_bytes, uint64_t slot_bytes)
    : x_slot_bytes(slot_bytes),
      x_slot_count(static_cast<uint32_t>(slab_bytes / (slot_bytes + sizeof(SlotHeader)))),
      x_first_payload(0) {
  TARN_CHECK(slot_bytes > 0 && slot_bytes % kPayloadAlignBytes == 0);
  while (x_slot_count > 0) {
    x_first_payload = round_up(x_slot_count * sizeof(SlotHeader), kPayloadAlignBytes);
    if (x_first_payload + x_slot_count * slot_bytes <= slab_bytes) break;
    --x_slot_count;
  }
  TARN_CHECK(x_slot_count > 0);
}

SlotHeader& slot_header(const Slab& slab, uint32_t slot) {
  const auto memory = slab.memory();
  TARN_DCHECK((uint64_t{slot} + 1) * sizeof(SlotHeader) <= memory.size());
  return reinterpret_cast<SlotHeader*>(memory.data())[slot];
}

}  // namespace tarn::memory
