#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "router/index/index.h"

namespace tarn::index {

inline block::BlockHash hash_of(const std::string& text) {
  return *block::BlockHash::from(text);
}

inline constexpr TenantId kAcme{{1}};
inline constexpr TenantId kOther{{2}};
inline constexpr SpaceId kSpace{{7}};

// Block number `i` of the chain called `chain`, cut into extents of `g`.
inline StoredBlock block_of(const std::string& chain, uint32_t i, uint32_t g = 32) {
  StoredBlock block;
  block.tenant = kAcme;
  block.space = kSpace;
  block.hash = hash_of(chain + "." + std::to_string(i));
  block.anchor = hash_of(chain + "." + std::to_string(i / g * g));
  block.index = i % g;
  block.bytes = 1 << 20;
  return block;
}

inline std::vector<block::BlockHash> hashes_of(const std::string& chain, uint32_t count) {
  std::vector<block::BlockHash> hashes;
  for (uint32_t i = 0; i < count; ++i)
    hashes.push_back(block_of(chain, i).hash);
  return hashes;
}

inline void add(Index& index, Handle handle, const StoredBlock& block) {
  const BlockEvent event{block, false};
  index.apply(handle, {&event, 1});
}

inline void remove(Index& index, Handle handle, const StoredBlock& block) {
  const BlockEvent event{block, true};
  index.apply(handle, {&event, 1});
}

// What match and locate see of blocks [0, count) of a chain.
struct Probe {
  explicit Probe(const std::string& chain, uint32_t count) : hashes(hashes_of(chain, count)) {}

  MatchAnswer match(const Index& index, std::vector<uint32_t> shards = {}) const {
    return index.match({kAcme, kSpace, hashes, shards});
  }
  MatchAnswer match_digests(const Index& index, std::vector<uint32_t> shards = {}) const {
    std::vector<uint64_t> digests;
    for (const block::BlockHash& hash : hashes)
      digests.push_back(block::hash_value(hash));
    return index.match({kAcme, kSpace, {}, shards, digests});
  }
  std::vector<Located> locate(const Index& index) const {
    return index.locate({kAcme, kSpace, hashes, {}});
  }

  std::vector<block::BlockHash> hashes;
};

}  // namespace tarn::index
