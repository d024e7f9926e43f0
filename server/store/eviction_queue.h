#pragma once

#include <cstdint>
#include <deque>
#include <list>

#include <absl/container/flat_hash_set.h>

#include "server/store/chain.h"

namespace tarn::store {

// S3-FIFO over extents: new ones pass through a small queue that holds about a tenth of the bytes;
// those that were asked for again there, or come back soon after they left, live in the main
// queue, which gives a second chance to what was hit. It says whose turn it is; what of that extent
// goes first is the chain's matter. One-thread. Source: Yang et al., "FIFO queues are all you need
// for cache eviction", SOSP 2023. Limit: remembers at most as many extents that left as it holds,
// but kGhostsMin.
class EvictionQueue {
 public:
  static constexpr size_t kGhostsMin = 256;

  EvictionQueue() = default;
  EvictionQueue(const EvictionQueue&) = delete;
  EvictionQueue& operator=(const EvictionQueue&) = delete;

  // Preconditions: the extent is in no queue; it stays until remove.
  void add(Extent& extent);

  // It is in this queue. With `evicted` it is remembered for a while.
  void remove(Extent& extent, bool evicted);

  // Bytes were added to, or taken from, an extent of this queue.
  void grow(Extent& extent, uint64_t bytes);
  void shrink(Extent& extent, uint64_t bytes);

  // Whose deepest block should go next; stays the same until that extent is removed or hit, or
  // passed over. Null when the queue is empty, or all of it was passed over.
  Extent* victim();

  // The victim cannot give anything now: it is none until end_round, and then waits for another
  // turn.
  void pass_over(Extent& extent);
  void end_round();
  // It is its turn again. Precondition: a round has ended since it was passed over.
  void bring_back(Extent& extent);

  static void hit(Extent& extent);

  size_t size() const { return x_small.size() + x_main.size() + x_passed.size(); }
  uint64_t bytes() const { return x_small_bytes + x_main_bytes; }

 private:
  uint64_t& bytes_of(const Extent& extent) {
    return extent.queue == QueueKind::small ? x_small_bytes : x_main_bytes;
  }
  std::list<Extent*>& list_of(const Extent& extent) {
    if (extent.is_passed_over) return x_passed;
    return extent.queue == QueueKind::small ? x_small : x_main;
  }
  void promote(Extent& extent);
  void remember(const Extent& extent);

  // Newest first.
  std::list<Extent*> x_small;
  std::list<Extent*> x_main;
  std::list<Extent*> x_passed;  // of either, in this round
  uint64_t x_small_bytes = 0;
  uint64_t x_main_bytes = 0;
  std::deque<uint64_t> x_ghosts;  // fingerprints, oldest first
  absl::flat_hash_set<uint64_t> x_ghost_set;
};

}  // namespace tarn::store
