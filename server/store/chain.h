#pragma once

#include <cstdint>
#include <list>
#include <vector>

#include "common/base/clock.h"
#include "common/block/header.h"
#include "common/ring/extent.h"
#include "server/store/descent.h"
#include "server/store/slot_allocator.h"

namespace tarn::store {

struct Extent;

// One block of the dram tier. Owned by the tier; one-thread.
struct StoredBlock {
  enum class State : uint8_t {
    reserved,  // its bytes are on their way
    visible,   // whole, can be found
    removed,   // no longer found; its slot is free when the last pin has gone
  };

  block::BlockHeader header;
  SlotRef slot;
  Extent* extent = nullptr;
  uint32_t pins = 0;
  State state = State::reserved;
  bool was_read = false;  // since it came
};

enum class QueueKind : uint8_t { none, small, main };

// The blocks of one extent, as eviction sees them: they come and go at the deep end. Owned by the
// tier; one-thread.
struct Extent {
  ring::ExtentKey key;
  std::vector<StoredBlock*> blocks;  // by index, then shard
  // Of the Lineage.
  BlockPrint parent;           // the block that this extent continues
  block::BlockHash continued;  // its hash, as the put of this extent's first block named it
  uint64_t stuck_in = 0;       // the last search that found that nothing can go from here

  // Of the EvictionQueue that holds it.
  QueueKind queue = QueueKind::none;
  std::list<Extent*>::iterator place;
  uint64_t bytes = 0;
  uint64_t touched = 0;  // the tier's count of bytes put when it was last added to or read
  uint8_t hits = 0;
  bool is_passed_over = false;

  bool is_empty() const { return blocks.empty(); }
  // Precondition: not empty.
  StoredBlock* deepest() const { return blocks.back(); }
};

// Adds and removes a block at its place in the extent.
void add_block(Extent& extent, StoredBlock& block);
void take_block(Extent& extent, StoredBlock& block);

// The block before it in its chain, as far as that is known here; empty where it is not.
block::BlockHash parent_of(const StoredBlock& block);

// True when nothing keeps the block where it is: it is visible and nobody reads it.
bool may_go(const StoredBlock& block);

}  // namespace tarn::store
