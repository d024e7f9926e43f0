#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "common/base/find_rows.h"
#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/block/space.h"
#include "common/ring/extent.h"

namespace tarn::sdk {

// Blocks whose places one space remembers, about 200 bytes each; past it the older half is
// forgotten, which costs a Locate when they come up again.
inline constexpr size_t kChainCacheBlocksMax = 1 << 18;

// A block that is to be placed, and the one before it in its chain.
struct ChainLink {
  block::BlockHash hash;
  block::BlockHash parent;  // empty: the chain's first
};

// Where the blocks of one space lie, as far as this client has put, resolved or located them: hash
// to {anchor, index, last of its extent}. Applies the writer's rule (ring::plan_extents) to what is
// new. Thread-safe. In a flat space every block is its own anchor and nothing is kept.
class ChainCache {
 public:
  explicit ChainCache(const block::SpaceSpec& spec)
      : x_extent_blocks(block::extent_blocks_of(spec)),
        x_is_flat(spec.kind == block::SpaceKind::flat) {}

  std::optional<ring::KnownPlace> find(const block::BlockHash& hash) const;

  // The same for many, in their order, and quicker than one by one.
  std::vector<std::optional<ring::KnownPlace>> find(std::span<const block::BlockHash> hashes) const;

  // What a router or a manifest says of a block: it goes before what this client had planned.
  void learn(const block::BlockHash& hash, const ring::KnownPlace& place);
  // The blocks of one extent in order, index by index.
  struct Run {
    block::BlockHash anchor;
    uint32_t first_index = 0;
    std::span<const block::BlockHash> hashes;
    bool ends_chain = false;  // nothing is known behind it
  };
  // Quick where the run is known already: a Match of a long chain names thousands of blocks.
  void learn(const Run& run);

  // The blocks among these, and parents of them, whose place must be located before plan(): the
  // parent is neither known nor in the batch.
  std::vector<block::BlockHash> unknown_for(std::span<const ChainLink> batch) const;

  // Places every block of the batch, in order, and remembers the places: a later batch may go on
  // from them before this one is acknowledged. An unknown parent begins an extent.
  std::vector<ring::BlockPlace> plan(std::span<const ChainLink> batch);

  // The owner said otherwise (extent_full), or a put was acknowledged at this place.
  void correct(const block::BlockHash& hash, const ring::BlockPlace& place, bool is_last);

  // It is not at its place any more.
  void forget(const block::BlockHash& hash);

  size_t size() const;

 private:
  // Pointers into it hold until the next insertion.
  using Map = absl::flat_hash_map<block::BlockHash, ring::KnownPlace, RowHash<block::BlockHash>,
                                  RowEqual<block::BlockHash>>;

  ring::KnownPlace* find_locked(const block::BlockHash& hash) const TARN_REQUIRES(x_mutex);
  bool is_known_locked(const Run& run) const TARN_REQUIRES(x_mutex);
  void put_locked(const block::BlockHash& hash, const ring::KnownPlace& place)
      TARN_REQUIRES(x_mutex);
  void learn_locked(const block::BlockHash& hash, const ring::KnownPlace& place)
      TARN_REQUIRES(x_mutex);
  ring::BlockPlace plan_one(const ChainLink& link) TARN_REQUIRES(x_mutex);

  const uint32_t x_extent_blocks;
  const bool x_is_flat;
  mutable Mutex x_mutex;
  mutable Map x_young TARN_GUARDED_BY(x_mutex);
  mutable Map x_old TARN_GUARDED_BY(x_mutex);
};

}  // namespace tarn::sdk
