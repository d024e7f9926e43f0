#pragma once

#include <cstdint>
#include <list>
#include <vector>

#include "common/base/clock.h"
#include "common/block/header.h"
#include "common/ring/extent.h"
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
};

enum class QueueKind : uint8_t { none, small, main };

// The blocks of one extent, as eviction sees them: they come and go at the deep end. Owned by the
// Chains; one-thread.
struct Extent {
  ring::ExtentKey key;
  std::vector<StoredBlock*> blocks;  // by index, then shard
  Extent* parent = nullptr;          // the extent that this one continues, while it is here
  uint32_t parent_index = 0;         // of the block that it continues
  std::vector<Extent*> children;

  // Of the EvictionQueue that holds it.
  QueueKind queue = QueueKind::none;
  std::list<Extent*>::iterator place;
  uint64_t bytes = 0;
  uint8_t hits = 0;

  bool is_empty() const { return blocks.empty(); }
  // Precondition: not empty.
  StoredBlock* deepest() const { return blocks.back(); }
};

// Adds and removes a block at its place in the extent.
void add_block(Extent& extent, StoredBlock& block);
void take_block(Extent& extent, StoredBlock& block);

// Records that `child` continues `parent` behind its block `parent_index`; refuses (false) what
// would make a chain run in a circle.
bool link(Extent& child, Extent& parent, uint32_t parent_index);
// Ends all relations of the extent: nobody is its child or parent any more.
void unlink(Extent& extent);

// The block that has to go first if the extent is to lose its deepest one: itself, or the deepest
// of an extent that continues it there, and so on. Precondition: the extent is not empty.
StoredBlock* next_to_go(const Extent& extent);

// True when nothing keeps the block where it is: it is visible and nobody reads it.
bool may_go(const StoredBlock& block);

}  // namespace tarn::store
