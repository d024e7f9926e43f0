#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "common/base/ids.h"
#include "common/block/key.h"

namespace tarn::index {

// Where a copy lies; the faster one has the lower number. The numbers are those of v1::Tier.
enum class Tier : uint8_t { dram = 2, flash = 3, object = 4 };

// A shard of a block that some server holds, as it told us. Value type.
struct StoredBlock {
  TenantId tenant;
  SpaceId space;
  Shard shard;
  block::BlockHash hash;
  block::BlockHash anchor;
  uint32_t index = 0;  // in the extent
  uint64_t bytes = 0;
  Tier tier = Tier::dram;
};

struct BlockEvent {
  StoredBlock block;
  bool removed = false;
};

// A question about a chain of one tenant and space.
struct ChainQuery {
  TenantId tenant;
  SpaceId space;
  std::span<const block::BlockHash> hashes;  // in chain order
  std::span<const uint32_t> shards;          // all of them must be there; empty means shard 0
  std::span<const uint64_t> digests = {};    // instead of hashes: block::hash_value of each

  size_t size() const { return digests.empty() ? hashes.size() : digests.size(); }
};

// Servers that one extent's row has room for.
inline constexpr uint32_t kHoldersMax = 4;

// Servers that hold a block, best first. Value type without allocation.
struct HolderList {
  std::array<ServerId, kHoldersMax> ids{};
  uint32_t count = 0;

  const ServerId* begin() const { return ids.data(); }
  const ServerId* end() const { return ids.data() + count; }
  friend bool operator==(const HolderList&, const HolderList&) = default;
};

// Consecutive blocks of the prefix with one extent, one tier and one set of holders.
struct MatchRun {
  uint32_t first = 0;  // index into the query's hashes
  uint32_t count = 0;
  // Empty in the answer to digests where it is the run's first block itself.
  block::BlockHash anchor;
  uint32_t first_index = 0;  // in the extent
  HolderList holders;
  Tier tier = Tier::dram;    // of the first holder
  uint32_t block_bytes = 0;  // of one shard
};

struct MatchAnswer {
  uint32_t matched = 0;  // length of the prefix in blocks
  std::vector<MatchRun> runs;
};

// What is known of one hash; without holders: nothing, and the rest says nothing.
struct Located {
  block::BlockHash anchor;
  uint32_t index = 0;
  bool last = false;  // nothing stands behind it in its extent
  HolderList holders;
};

struct IndexStats {
  uint64_t blocks = 0;  // distinct ones; copies and shards of one count once
  uint64_t extents = 0;
  uint64_t memory_bytes = 0;
  // Blocks that were not indexed: malformed, no room, or another copy stands where they would.
  uint64_t refused = 0;
};

}  // namespace tarn::index
