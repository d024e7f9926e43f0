#pragma once

#include <cstdint>

#include "router/index/domains.h"
#include "router/index/row_table.h"
#include "router/index/stored_block.h"

// What the parts of the Index share.
namespace tarn::index {

constexpr uint64_t bit_of(uint32_t index) {
  return uint64_t{1} << index;
}

// Where a block stands, worked out once, before the lock is taken.
struct Place {
  const StoredBlock* block = nullptr;
  Domain domain;
  Position position;
  Fingerprint print = 0;
  Fingerprint anchor_print = 0;

  Holder holder(Handle handle) const {
    Holder as;
    as.server = handle;
    as.shard = static_cast<uint16_t>(block->shard.value);
    as.tier = block->tier;
    return as;
  }
};

// Names a holder's bits within a scan.
inline uint64_t seen_key(RowRef row, uint16_t shard, Tier tier) {
  return uint64_t{row.row()} << 32 | uint64_t{shard} << 8 | static_cast<uint64_t>(tier);
}

// Names one copy within a scan. Two that share it cost a miss until the server's next event.
inline uint64_t tombstone_key(Fingerprint print, const StoredBlock& block) {
  constexpr uint64_t kOdd = 0x9e3779b97f4a7c15;
  return print + (uint64_t{block.shard.value} << 8 | static_cast<uint64_t>(block.tier)) * kOdd;
}

}  // namespace tarn::index
