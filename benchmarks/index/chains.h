#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "router/index/stored_block.h"

namespace tarn::index_bench {

// Whose blocks they are.
inline constexpr char kTenantName[] = "bench";

// Of one chain; the last of a set is shorter.
inline constexpr uint32_t kChainBlocks = 8192;

// So many blocks of one space in chains, cut into extents of one length: what a cluster holds, in
// numbers. Immutable.
class Chains {
 public:
  Chains(uint32_t blocks, uint32_t extent_blocks);

  uint32_t blocks() const { return x_blocks; }
  index::BlockEvent event(uint32_t block, bool removed) const;
  // Of all blocks from `first` on that a Match of so many may name.
  std::vector<block::BlockHash> hashes(uint32_t first, uint32_t count) const;
  std::vector<uint64_t> digests(uint32_t first, uint32_t count) const;
  static index::ChainQuery query();

 private:
  const uint32_t x_blocks;
  const uint32_t x_extent_blocks;
};

// The order in which they are written: 64 conversations at the same time, each in turn puts 8
// blocks. One-thread.
class Writing {
 public:
  explicit Writing(const Chains& chains) : x_chains(chains) {}

  // The next events, fewer than `count` at the end only.
  std::vector<index::BlockEvent> next(uint32_t count);

 private:
  bool advance();

  const Chains& x_chains;
  uint32_t x_group = 0;  // of 64 chains
  uint32_t x_step = 0;   // of 8 blocks in each of them
  uint32_t x_chain = 0;  // in the group
  uint32_t x_offset = 0;
};

}  // namespace tarn::index_bench
