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

TEST(Chain, AChildGoesBeforeTheBlockThatItContinues) {
  Extent parent, child, grandchild;
  StoredBlock p0 = block_at(0), p1 = block_at(1), c0 = block_at(0), g0 = block_at(0);
  add_block(parent, p0);
  add_block(parent, p1);
  add_block(child, c0);
  add_block(grandchild, g0);
  ASSERT_TRUE(link(child, parent, 0));
  ASSERT_TRUE(link(grandchild, child, 0));
  EXPECT_EQ(next_to_go(parent), &p1) << "nothing continues it";
  take_block(parent, p1);
  EXPECT_EQ(next_to_go(parent), &g0);
  take_block(grandchild, g0);
  EXPECT_EQ(next_to_go(parent), &c0);
  take_block(child, c0);
  EXPECT_EQ(next_to_go(parent), &p0);
}

TEST(Chain, NoCircles) {
  Extent a, b;
  ASSERT_TRUE(link(b, a, 0));
  EXPECT_FALSE(link(a, b, 0));
  EXPECT_FALSE(link(a, a, 0));
}

TEST(Chain, UnlinkEndsAllRelations) {
  Extent a, b, c;
  ASSERT_TRUE(link(b, a, 0));
  ASSERT_TRUE(link(c, b, 3));
  unlink(b);
  EXPECT_TRUE(a.children.empty());
  EXPECT_EQ(b.parent, nullptr);
  EXPECT_EQ(c.parent, nullptr);
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
