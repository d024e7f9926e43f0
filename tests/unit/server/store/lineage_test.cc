#include "server/store/lineage.h"

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace tarn::store {
namespace {

// Extents named by a word; their blocks are word0, word1... and the first is the anchor.
class LineageTest : public testing::Test {
 protected:
  static block::BlockHash hash_of(const std::string& word) { return *block::BlockHash::from(word); }

  Extent& extent(const std::string& word, uint32_t blocks, const std::string& parent = "") {
    auto made = std::make_unique<Extent>();
    made->key.anchor = hash_of(word + "0");
    for (uint32_t i = 0; i < blocks; ++i)
      add(*made, word + std::to_string(i), i);
    if (!parent.empty()) x_lineage.join(*made, hash_of(parent));
    x_extents.push_back(std::move(made));
    return *x_extents.back();
  }

  void add(Extent& extent, const std::string& word, uint32_t index, uint32_t shard = 0) {
    auto block = std::make_unique<StoredBlock>();
    block->header.key.hash = hash_of(word);
    block->header.key.shard = {shard};
    block->header.index = index;
    block->state = StoredBlock::State::visible;
    add_block(extent, *block);
    x_blocks.push_back(std::move(block));
  }

  std::string next(Extent& from) {
    const Lineage::Turn turn = x_lineage.next_to_go(from);
    const std::string word(turn.block->header.key.hash.view());
    return turn.held_by == 0 ? word : word + " is held";
  }

  // Takes the block that is next, and its extent when that was the last.
  void take(Extent& from) {
    StoredBlock& block = *x_lineage.next_to_go(from).block;
    Extent& home = *block.extent;
    take_block(home, block);
    if (home.is_empty()) x_lineage.leave(home);
  }

  Descent x_descent;
  Lineage x_lineage{x_descent, 0};
  std::vector<std::unique_ptr<StoredBlock>> x_blocks;
  std::vector<std::unique_ptr<Extent>> x_extents;
};

TEST_F(LineageTest, TheDeepestOfTheDeepestGoesFirst) {
  Extent& root = extent("r", 2);
  extent("c", 2, "r1");
  extent("g", 1, "c1");
  std::vector<std::string> order;
  while (!root.is_empty()) {
    order.push_back(next(root));
    take(root);
  }
  EXPECT_EQ(order, (std::vector<std::string>{"g0", "c1", "c0", "r1", "r0"}));
}

TEST_F(LineageTest, ABranchHoldsOnlyTheBlockThatItContinues) {
  Extent& root = extent("r", 3);
  extent("b", 1, "r0");
  EXPECT_EQ(next(root), "r2") << "nothing continues it";
  take(root);
  take(root);
  EXPECT_EQ(next(root), "b0") << "before r0";
}

TEST_F(LineageTest, AllBranchesGoBeforeTheirParent) {
  Extent& root = extent("r", 1);
  for (const char* word : {"a", "b", "c"})
    extent(word, 1, "r0");
  for (int branch = 0; branch < 3; ++branch) {
    EXPECT_NE(next(root), "r0");
    take(root);
  }
  EXPECT_EQ(next(root), "r0");
}

TEST_F(LineageTest, AParentMayComeAfterItsChild) {
  Extent& child = extent("c", 1, "r1");
  Extent& root = extent("r", 2);
  EXPECT_EQ(next(root), "c0");
  EXPECT_EQ(next(child), "c0");
}

TEST_F(LineageTest, AChildOfAnyShardHoldsAllShardsOfItsParent) {
  Extent& root = extent("r", 1);
  add(root, "r0", 0, 1);
  Lineage other(x_descent, 1);
  Extent child;
  child.key.anchor = hash_of("c0");
  other.join(child, hash_of("r0"));
  EXPECT_EQ(next(root), "r0 is held");
  other.leave(child);
  EXPECT_EQ(next(root), "r0");
}

TEST_F(LineageTest, AnotherLanesChildHoldsABlockUntilItLeaves) {
  Extent& root = extent("r", 1);
  Lineage other(x_descent, 5);
  Extent child;
  child.key.anchor = hash_of("c0");
  other.join(child, hash_of("r0"));
  const Lineage::Turn turn = x_lineage.next_to_go(root);
  EXPECT_EQ(turn.held_by, lane_bit(5));
  EXPECT_FALSE(turn.is_free());
  other.leave(child);
  EXPECT_TRUE(x_lineage.next_to_go(root).is_free());
}

TEST_F(LineageTest, TheFirstNamedParentStays) {
  Extent& child = extent("c", 1, "p");
  x_lineage.join(child, hash_of("q"));
  EXPECT_EQ(x_lineage.child_of(print_of({}, {}, hash_of("p"))), &child);
  EXPECT_EQ(x_lineage.child_of(print_of({}, {}, hash_of("q"))), nullptr);
  x_lineage.leave(child);
  x_lineage.leave(child);
  EXPECT_EQ(x_descent.size(), 0u) << "leaving twice takes nothing from others";
}

TEST_F(LineageTest, NobodyIsItsOwnParent) {
  Extent& root = extent("r", 1, "r0");
  EXPECT_EQ(next(root), "r0");
  EXPECT_EQ(x_descent.size(), 0u);
}

class LineageCircle : public LineageTest, public testing::WithParamInterface<uint32_t> {
 protected:
  void make_circle() {
    const auto word = [](uint32_t n) { return "x" + std::to_string(n % GetParam()) + "."; };
    for (uint32_t i = 0; i < GetParam(); ++i)
      extent(word(i), 1, word(i + GetParam() - 1) + "0");
  }
};

TEST_P(LineageCircle, OfBlocksInUseIsSearchedToAnEnd) {
  make_circle();
  for (const auto& block : x_blocks)
    block->pins = 1;
  for (uint64_t search = 1; search <= 2; ++search) {
    for (const auto& each : x_extents)
      EXPECT_FALSE(x_lineage.next_to_go(*each, search).is_free());
  }
}

TEST_P(LineageCircle, OfMadeUpHashesIsCut) {
  make_circle();
  Extent& last = *x_extents.back();
  uint32_t taken = 0;
  while (!last.is_empty()) {
    ASSERT_TRUE(x_lineage.next_to_go(last).is_free());
    take(last);
    ASSERT_LE(++taken, GetParam());
  }
}

INSTANTIATE_TEST_SUITE_P(Lengths, LineageCircle, testing::Values(2u, 3u, 50u));

// A long chain whose end is being put must not be followed from each of its extents.
TEST_F(LineageTest, ASearchMeetsWhatIsStuckOnce) {
  Extent& root = extent("r", 1);
  Extent& branch = extent("b", 1, "r0");
  Extent& leaf = extent("c", 1, "b0");
  Extent& other = extent("o", 1);
  leaf.deepest()->pins = 1;
  EXPECT_EQ(x_lineage.next_to_go(root, 1).block, leaf.deepest());
  for (Extent* met : {&root, &branch, &leaf})
    EXPECT_EQ(x_lineage.next_to_go(*met, 1).block, nullptr);
  EXPECT_TRUE(x_lineage.next_to_go(other, 1).is_free());
  EXPECT_EQ(x_lineage.next_to_go(branch, 2).block, leaf.deepest()) << "a search of its own";
  EXPECT_EQ(x_lineage.next_to_go(root, 2).block, nullptr) << "it leads to what was met";
  leaf.deepest()->pins = 0;
  EXPECT_TRUE(x_lineage.next_to_go(root).is_free());
  EXPECT_TRUE(x_lineage.next_to_go(root, 3).is_free());
  EXPECT_TRUE(x_lineage.next_to_go(root, 3).is_free()) << "what is free stays so";
}

TEST_F(LineageTest, WhatIsReadOrOnItsWayIsNotFree) {
  Extent& root = extent("r", 1);
  StoredBlock& block = *root.deepest();
  EXPECT_TRUE(x_lineage.next_to_go(root).is_free());
  block.pins = 1;
  EXPECT_FALSE(x_lineage.next_to_go(root).is_free());
  block.pins = 0;
  block.state = StoredBlock::State::reserved;
  EXPECT_FALSE(x_lineage.next_to_go(root).is_free());
}

}  // namespace
}  // namespace tarn::store
