#pragma once

#include <cstdint>
#include <optional>

#include "server/store/dram_tier.h"

namespace tarn::store {

// How blocks pass between dram and the tiers below it. One-thread (the lane's). Value type.
class DramExchange {
 public:
  // The tier outlives this.
  explicit DramExchange(DramTier& dram) : x_dram(dram) {}

  // A visible block, with what its copy below has to know. Counts as no read.
  std::optional<Leaving> hold(const block::BlockKey& key);

  // Memory for a block that comes from below, where alone its place in its chain is known: the slot
  // is in no chain, and found by nobody, until settle() or lend(). Returns: as DramTier::reserve().
  Result<Slot> reserve(const block::BlockKey& key, uint64_t payload_bytes);

  // So that the next block like this finds room: where there is none left, one goes now.
  void make_room_ahead(const BlockPut& put);

  // Gives it its place, as if it had been put: publish() follows. Returns: ok, or as
  // DramTier::reserve(), and the slot is as it was. Precondition: of reserve(), with this key and
  // size.
  Status settle(Slot& loose, const BlockPut& put);

  // For one that has no place: it can be read through the pin and nowhere else.
  Pin lend(Slot loose, const block::BlockHeader& header);

 private:
  static StoredBlock& block_of(void* token) { return *static_cast<StoredBlock*>(token); }

  DramTier& x_dram;
};

}  // namespace tarn::store
