#pragma once

#include <array>
#include <cstdint>

#include <absl/container/flat_hash_map.h>

#include "common/base/ids.h"
#include "common/base/mutex.h"
#include "common/block/key.h"

namespace tarn::store {

// A block within a server, all its shards together. Blocks that share one keep each other's parents
// a little longer, which costs nothing else.
struct BlockPrint {
  uint64_t value = 0;  // 0: none

  friend bool operator==(const BlockPrint&, const BlockPrint&) = default;
};

BlockPrint print_of(const TenantId& tenant, const SpaceId& space, const block::BlockHash& hash);

// Lanes of a server: lane i is bit i % 64.
using LaneSet = uint64_t;

inline constexpr LaneSet lane_bit(uint32_t lane) {
  return LaneSet{1} << (lane % 64);
}

// Which blocks of a server are continued by an extent that lies here, in whichever lane: what keeps
// a parent where it is while it has children. Extents of one chain lie in many lanes, so this is
// the one thing about blocks that lanes share: asked once for each block that is to be evicted,
// written once for each extent that begins or ends. Thread-safe. Limit: one entry for each extent.
class Descent {
 public:
  // An extent of the lane continues the block, from now until remove.
  void add(BlockPrint parent, uint32_t lane);
  void remove(BlockPrint parent);

  // Lanes that may have such extents; none (0) exactly when there is none.
  LaneSet lanes_behind(BlockPrint parent) const;

  // Blocks that are continued.
  size_t size() const;

 private:
  static constexpr size_t kParts = 64;  // so that lanes seldom meet
  struct Children {
    uint32_t extents = 0;
    LaneSet lanes = 0;  // of all that were added since there was none
  };
  struct Part {
    mutable Mutex mutex;
    absl::flat_hash_map<uint64_t, Children> children TARN_GUARDED_BY(mutex);
  };

  Part& part_of(BlockPrint print) { return x_parts[print.value % kParts]; }
  const Part& part_of(BlockPrint print) const { return x_parts[print.value % kParts]; }

  std::array<Part, kParts> x_parts;
};

}  // namespace tarn::store
