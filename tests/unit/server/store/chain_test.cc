#include "server/store/chain.h"

#include <gtest/gtest.h>

namespace tarn::store {
namespace {

StoredBlock block_at(uint32_t index, uint32_t shard = 0) {
  StoredBlock block;
  block.header.index = index;
  block.header.key.shard = {shard};
  block.state = StoredBlock::State::visible;
  return block;
}

TEST(Chain, BlocksStandByIndexThenShard) {
  Extent extent;
  StoredBlock a = block_at(2, 0), b = block_at(0, 1), c = block_at(2, 1), d = block_at(0, 0);
  for (StoredBlock* block : {&a, &b, &c, &d})
    add_block(extent, *block);
  EXPECT_EQ(extent.blocks, (std::vector<StoredBlock*>{&d, &b, &a, &c}));
  EXPECT_EQ(extent.deepest(), &c);
  take_block(extent, c);
  EXPECT_EQ(extent.deepest(), &a);
  EXPECT_EQ(c.extent, nullptr);
}

TEST(Chain, WhatIsReadOrOnItsWayStays) {
  StoredBlock block = block_at(0);
  EXPECT_TRUE(may_go(block));
  block.pins = 1;
  EXPECT_FALSE(may_go(block));
  block.pins = 0;
  block.state = StoredBlock::State::reserved;
  EXPECT_FALSE(may_go(block));
}

}  // namespace
}  // namespace tarn::store
