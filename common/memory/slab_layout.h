#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "common/memory/slab.h"

namespace tarn::memory {

// What a slab says about one of its slots, to the server's own threads and to processes that map
// the slab. The generation rises before the first byte of header or payload is overwritten; a
// reader loads it before and after.
struct SlotHeader {
  std::atomic<uint64_t> generation;
  std::array<std::byte, 184> block_header;  // the encoded header of the block, zeros past its end
};
static_assert(sizeof(SlotHeader) == 192 && std::atomic<uint64_t>::is_always_lock_free);

// Where the slots of a slab lie: a table of SlotHeaders, then payloads at multiples of 4 KiB.
// Immutable value type.
class SlabLayout {
 public:
  // As many slots of `slot_bytes` as fit. Precondition: slot_bytes is a multiple of
  // kPayloadAlignBytes and one slot with its header fits.
  SlabLayout(uint64_t slab_bytes, uint64_t slot_bytes);

  uint32_t slot_count() const { return x_slot_count; }
  uint64_t slot_bytes() const { return x_slot_bytes; }
  uint64_t payload_offset(uint32_t slot) const {
    return x_first_payload + uint64_t{slot} * x_slot_bytes;
  }

 private:
  uint64_t x_slot_bytes;
  uint32_t x_slot_count;
  uint64_t x_first_payload;
};

// The header of slot `slot`. Precondition: it is below the layout's slot count.
SlotHeader& slot_header(const Slab& slab, uint32_t slot);

}  // namespace tarn::memory
