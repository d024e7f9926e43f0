#pragma once

#include <cstdint>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "server/store/chain.h"
#include "server/store/descent.h"

namespace tarn::store {

// The extents of one lane by the block that they continue, and which block of a chain goes first.
// A parent is known by name alone: it may come after its children, lie in another lane or on
// another server. One-thread (the lane's); what it tells the Descent, all lanes see.
class Lineage {
 public:
  // More extents below each other than any session has: they run in a circle, which only a writer
  // that makes up hashes can put. One of them then counts as having no parent.
  static constexpr uint32_t kDepthMax = 65'536;

  // The descent outlives this.
  Lineage(Descent& descent, uint32_t lane) : x_descent(descent), x_lane(lane) {}
  Lineage(const Lineage&) = delete;
  Lineage& operator=(const Lineage&) = delete;

  // The extent continues this block. No effect on one that has a parent, or would be its own.
  void join(Extent& extent, const block::BlockHash& parent);

  // It continues nothing from now on.
  void leave(Extent& extent);

  // An extent of this lane that continues the block; null for none.
  Extent* child_of(BlockPrint parent) const;

  struct Turn {
    StoredBlock* block = nullptr;
    LaneSet held_by = 0;  // other lanes have extents that continue it: those go before it
    bool is_free() const { return block != nullptr && held_by == 0 && may_go(*block); }
  };
  // Which block goes first if the extent is to lose its deepest one: itself, or the deepest of an
  // extent that continues it, and so on. Precondition: the extent is not empty.
  // With a search, a number used for no other: what it once found not to be free is no block when
  // it is met again, so that the extents of a long chain are not all followed to its end. During a
  // search blocks may go but none comes and no pin ends.
  Turn next_to_go(Extent& extent, uint64_t search = 0);

 private:
  void mark_stuck(Extent& from, const Extent& leaf, uint64_t search) const;

  Descent& x_descent;
  const uint32_t x_lane;
  absl::flat_hash_map<uint64_t, std::vector<Extent*>> x_children;  // by the parent's print
};

BlockPrint print_of(const StoredBlock& block);

}  // namespace tarn::store
