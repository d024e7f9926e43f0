#include "benchmarks/index/chains.h"

#include <algorithm>

#include "benchmarks/micro/samples.h"
#include "common/base/check.h"

namespace tarn::index_bench {
namespace {

constexpr SpaceId kSpace{{7}};
constexpr uint32_t kGroupChains = 64;
constexpr uint32_t kStepBlocks = 8;

const TenantId& tenant() {
  static const TenantId id = block::tenant_id(kTenantName);
  return id;
}

}  // namespace

Chains::Chains(uint32_t blocks, uint32_t extent_blocks)
    : x_blocks(blocks), x_extent_blocks(extent_blocks) {
  TARN_CHECK(blocks > 0 && extent_blocks > 0 && extent_blocks <= kExtentBlocksMax);
}

index::BlockEvent Chains::event(uint32_t block, bool removed) const {
  TARN_DCHECK(block < x_blocks);
  const uint32_t index = block % kChainBlocks % x_extent_blocks;
  index::BlockEvent event;
  event.block.tenant = tenant();
  event.block.space = kSpace;
  event.block.hash = micro::hash_of(block);
  event.block.anchor = index == 0 ? event.block.hash : micro::hash_of(block - index);
  event.block.index = index;
  event.block.bytes = 1 << 20;
  event.removed = removed;
  return event;
}

std::vector<block::BlockHash> Chains::hashes(uint32_t first, uint32_t count) const {
  return micro::hashes_of(first, std::min(count, x_blocks - first));
}

std::vector<uint64_t> Chains::digests(uint32_t first, uint32_t count) const {
  std::vector<uint64_t> digests;
  for (const block::BlockHash& hash : hashes(first, count))
    digests.push_back(block::hash_value(hash));
  return digests;
}

index::ChainQuery Chains::query() {
  return {tenant(), kSpace, {}, {}};
}

// To the next block of the order, be it there or not. False at the end of all.
bool Writing::advance() {
  if (++x_offset < kStepBlocks) return true;
  x_offset = 0;
  if (++x_chain < kGroupChains) return true;
  x_chain = 0;
  if (++x_step < kChainBlocks / kStepBlocks) return true;
  x_step = 0;
  ++x_group;
  return uint64_t{x_group} * kGroupChains * kChainBlocks < x_chains.blocks();
}

std::vector<index::BlockEvent> Writing::next(uint32_t count) {
  std::vector<index::BlockEvent> events;
  if (uint64_t{x_group} * kGroupChains * kChainBlocks >= x_chains.blocks()) return events;
  do {
    const uint64_t chain = uint64_t{x_group} * kGroupChains + x_chain;
    const uint64_t block = chain * kChainBlocks + uint64_t{x_step} * kStepBlocks + x_offset;
    if (block >= x_chains.blocks()) continue;
    events.push_back(x_chains.event(static_cast<uint32_t>(block), false));
  } while (advance() && events.size() < count);
  return events;
}

}  // namespace tarn::index_bench
