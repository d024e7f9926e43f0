#include "server/store/chain.h"

#include <algorithm>
#include <tuple>

#include "common/base/check.h"

namespace tarn::store {
namespace {

bool stands_before(const StoredBlock* a, const StoredBlock* b) {
  return std::tie(a->header.index, a->header.key.shard) <
         std::tie(b->header.index, b->header.key.shard);
}

}  // namespace

void add_block(Extent& extent, StoredBlock& block) {
  const auto place =
      std::upper_bound(extent.blocks.begin(), extent.blocks.end(), &block, stands_before);
  extent.blocks.insert(place, &block);
  block.extent = &extent;
}

void take_block(Extent& extent, StoredBlock& block) {
  const auto place = std::find(extent.blocks.begin(), extent.blocks.end(), &block);
  TARN_CHECK(place != extent.blocks.end());
  extent.blocks.erase(place);
  block.extent = nullptr;
}

block::BlockHash parent_of(const StoredBlock& block) {
  if (block.header.index == 0) return block.extent->continued;
  for (const StoredBlock* each : block.extent->blocks)
    if (each->header.index + 1 == block.header.index) return each->header.key.hash;
  return {};
}

bool may_go(const StoredBlock& block) {
  return block.state == StoredBlock::State::visible && block.pins == 0;
}

}  // namespace tarn::store
