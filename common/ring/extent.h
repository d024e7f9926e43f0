#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "common/base/ids.h"
#include "common/base/result.h"
#include "common/base/units.h"
#include "common/block/key.h"

namespace tarn::ring {

// Where a block stands: its extent, and its index in it. Value type.
struct BlockPlace {
  block::BlockHash anchor;
  uint32_t index = 0;

  friend bool operator==(const BlockPlace&, const BlockPlace&) = default;
};

// What a manifest or a Match answer says of a block that is already there.
struct KnownPlace {
  BlockPlace place;
  bool is_last = false;  // of its extent

  friend bool operator==(const KnownPlace&, const KnownPlace&) = default;
};

// One block of a batch that is to be placed.
struct ChainBlock {
  block::BlockHash hash;
  std::optional<KnownPlace> known;  // set when the block is already there
};

// A batch of one chain, as its writer sees it.
struct ExtentPlan {
  uint32_t extent_blocks = kExtentBlocksDefault;  // G of the space; 1 in a flat one
  std::optional<KnownPlace> parent;    // of the first block; none at a chain's head or if unknown
  std::span<const ChainBlock> blocks;  // in chain order
};

// The writer's rule: a known block stays where it is; a new one joins its parent's extent if the
// parent is that extent's last block and the extent has fewer than G; else it begins an extent and
// its own hash is the anchor. The batch takes effect as a whole: within it a block that was just
// placed is the last of its extent.
// Returns: one place per block, invalid_argument for G out of range or an empty hash.
Result<std::vector<BlockPlace>> plan_extents(const ExtentPlan& plan);

// Names an extent within a server.
struct ExtentKey {
  TenantId tenant;
  SpaceId space;
  block::BlockHash anchor;

  friend bool operator==(const ExtentKey&, const ExtentKey&) = default;
};

struct ExtentKeyHash {
  size_t operator()(const ExtentKey& key) const;
};

// A place in an extent that a block asks for.
struct ExtentSeat {
  uint32_t index = 0;
  block::BlockHash hash;
  uint32_t extent_blocks = kExtentBlocksDefault;  // G of the space
};

// The rule of the anchor's owner: which block stands at which index of its extents, so that none
// grows past G or branches. Keeps 64-bit fingerprints of hashes: two hashes that share one are
// admitted to one index, which costs locality and nothing else, as bytes are found by block key.
// One-thread (the lane of the position). Limit: extents_max; an extent whose last block is
// forgotten goes away.
class ExtentTable {
 public:
  explicit ExtentTable(size_t extents_max) : x_extents_max(extents_max) {}

  // Takes the place for the hash; each shard of the block admits (and forgets) for itself.
  // Returns: ok; extent_full if index >= G or another block stands there (begin a new extent);
  // invalid_argument if index 0 is not the anchor itself, or G is out of range; overloaded when
  // the table is full.
  Status admit(const ExtentKey& extent, const ExtentSeat& seat);

  // One shard of the block is gone. No effect on a block that was not admitted.
  void forget(const ExtentKey& extent, const ExtentSeat& seat);

  // True when nothing stands behind `index` in the extent, and something stands there.
  bool is_last(const ExtentKey& extent, uint32_t index) const;

  size_t extent_count() const { return x_rows.size(); }

 private:
  struct Cell {
    uint64_t fingerprint = 0;
    uint32_t copies = 0;  // shards that hold it; 0 means the cell is free
  };
  using Row = std::vector<Cell>;

  size_t x_extents_max;
  absl::flat_hash_map<ExtentKey, Row, ExtentKeyHash> x_rows;
};

}  // namespace tarn::ring
