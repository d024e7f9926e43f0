#include "common/ring/extent.h"

#include <gtest/gtest.h>

namespace tarn::ring {
namespace {

block::BlockHash hash(const std::string& name) {
  return block::BlockHash::from(name).value();
}

KnownPlace known(const std::string& anchor, uint32_t index, bool is_last) {
  return {{hash(anchor), index}, is_last};
}

// "b" is a new block, {"b", place} one that is already there.
ChainBlock fresh(const std::string& name) {
  return {hash(name), std::nullopt};
}
ChainBlock there(const std::string& name, KnownPlace place) {
  return {hash(name), place};
}

// Places as "anchor/index anchor/index".
std::string plan(std::vector<ChainBlock> blocks, std::optional<KnownPlace> parent = std::nullopt,
                 uint32_t extent_blocks = 4) {
  std::string text;
  const auto places = plan_extents({extent_blocks, parent, blocks});
  if (!places.has_value()) return places.error().message();
  for (const BlockPlace& place : *places) {
    if (!text.empty()) text += ' ';
    text += std::string(place.anchor.view()) + "/" + std::to_string(place.index);
  }
  return text;
}

TEST(PlanExtents, a_chain_is_cut_into_extents_of_g_blocks) {
  EXPECT_EQ(plan({fresh("a"), fresh("b"), fresh("c"), fresh("d"), fresh("e"), fresh("f")}),
            "a/0 a/1 a/2 a/3 e/0 e/1");
  EXPECT_EQ(plan({}), "");
}

TEST(PlanExtents, a_new_block_joins_its_parents_extent_only_at_its_end) {
  EXPECT_EQ(plan({fresh("x"), fresh("y")}, known("a", 1, true)), "a/2 a/3");
  EXPECT_EQ(plan({fresh("x"), fresh("y")}, known("a", 1, false)), "x/0 x/1");
  EXPECT_EQ(plan({fresh("x"), fresh("y")}, known("a", 3, true)), "x/0 x/1");
  EXPECT_EQ(plan({fresh("x")}, known("a", 9, true)), "x/0");
}

TEST(PlanExtents, known_blocks_stay_and_the_chain_goes_on_behind_them) {
  EXPECT_EQ(plan({there("a", known("a", 0, false)), there("b", known("a", 1, true)), fresh("c")}),
            "a/0 a/1 a/2");
  EXPECT_EQ(plan({there("a", known("a", 0, false)), fresh("fork"), fresh("on")}),
            "a/0 fork/0 fork/1");
}

TEST(PlanExtents, a_block_known_behind_a_hole_keeps_its_own_extent) {
  EXPECT_EQ(plan({fresh("a"), there("b", known("old", 2, true)), fresh("c"), fresh("d")}),
            "a/0 old/2 old/3 d/0");
}

TEST(PlanExtents, in_a_flat_space_each_block_is_its_own_anchor) {
  EXPECT_EQ(plan({fresh("a"), fresh("b"), fresh("c")}, std::nullopt, 1), "a/0 b/0 c/0");
}

TEST(PlanExtents, refuses_nonsense) {
  EXPECT_EQ(plan({fresh("a")}, std::nullopt, 0), "extent_blocks: is 0, must be 1 to 64");
  EXPECT_EQ(plan({fresh("a")}, std::nullopt, 65), "extent_blocks: is 65, must be 1 to 64");
  EXPECT_EQ(plan({fresh("a"), ChainBlock{}}), "blocks[1].hash: empty");
}

class ExtentTableTest : public testing::Test {
 protected:
  ExtentKey key(const std::string& anchor) const {
    ExtentKey extent;
    extent.anchor = hash(anchor);
    return extent;
  }
  Code admit(const std::string& anchor, uint32_t index, const std::string& name) {
    return x_table.admit(key(anchor), {index, hash(name), 4}).code();
  }
  void forget(const std::string& anchor, uint32_t index, const std::string& name) {
    x_table.forget(key(anchor), {index, hash(name), 4});
  }

  ExtentTable x_table{3};
};

TEST_F(ExtentTableTest, an_index_belongs_to_the_first_hash) {
  EXPECT_EQ(admit("a", 0, "a"), Code::ok);
  EXPECT_EQ(admit("a", 1, "b"), Code::ok);
  EXPECT_EQ(admit("a", 1, "b"), Code::ok) << "another shard, or a second put";
  EXPECT_EQ(admit("a", 1, "c"), Code::extent_full) << "a branch";
  EXPECT_EQ(admit("a", 3, "d"), Code::ok) << "holes are allowed: puts arrive in any order";
  EXPECT_EQ(admit("a", 4, "e"), Code::extent_full) << "past G";
  EXPECT_TRUE(x_table.is_last(key("a"), 3));
  EXPECT_FALSE(x_table.is_last(key("a"), 1));
  EXPECT_FALSE(x_table.is_last(key("b"), 0));
}

TEST_F(ExtentTableTest, index_zero_is_the_anchor_itself) {
  EXPECT_EQ(admit("a", 0, "b"), Code::invalid_argument);
  EXPECT_EQ(admit("a", 1, "a"), Code::invalid_argument);
  EXPECT_EQ(x_table.admit(key("a"), {0, {}, 4}).code(), Code::invalid_argument);
  EXPECT_EQ(x_table.admit(ExtentKey{}, {0, hash("a"), 4}).code(), Code::invalid_argument);
  EXPECT_EQ(x_table.admit(key("a"), {0, hash("a"), 0}).code(), Code::invalid_argument);
  EXPECT_EQ(x_table.extent_count(), 0u);
}

TEST_F(ExtentTableTest, the_last_shard_to_go_frees_the_index) {
  admit("a", 0, "a");
  admit("a", 1, "b");
  admit("a", 1, "b");
  forget("a", 1, "b");
  EXPECT_EQ(admit("a", 1, "c"), Code::extent_full);
  forget("a", 1, "b");
  EXPECT_TRUE(x_table.is_last(key("a"), 0)) << "the extent may be grown again";
  EXPECT_EQ(admit("a", 1, "c"), Code::ok);
}

TEST_F(ExtentTableTest, forgets_only_what_it_admitted) {
  admit("a", 0, "a");
  forget("a", 0, "z");
  forget("a", 7, "a");
  forget("b", 0, "b");
  EXPECT_EQ(x_table.extent_count(), 1u);
  forget("a", 0, "a");
  EXPECT_EQ(x_table.extent_count(), 0u);
}

TEST_F(ExtentTableTest, a_hole_left_by_eviction_is_not_the_end) {
  admit("a", 0, "a");
  admit("a", 1, "b");
  admit("a", 2, "c");
  forget("a", 1, "b");
  EXPECT_TRUE(x_table.is_last(key("a"), 2));
  EXPECT_EQ(admit("a", 1, "b"), Code::ok);
}

TEST_F(ExtentTableTest, is_bounded) {
  EXPECT_EQ(admit("a", 0, "a"), Code::ok);
  EXPECT_EQ(admit("b", 0, "b"), Code::ok);
  EXPECT_EQ(admit("c", 0, "c"), Code::ok);
  EXPECT_EQ(admit("d", 0, "d"), Code::overloaded);
  EXPECT_EQ(admit("a", 1, "x"), Code::ok);
  forget("b", 0, "b");
  EXPECT_EQ(admit("d", 0, "d"), Code::ok);
}

TEST_F(ExtentTableTest, tells_tenants_and_spaces_apart) {
  ExtentKey mine = key("a"), theirs = key("a"), elsewhere = key("a");
  theirs.tenant.bytes[0] = 1;
  elsewhere.space.bytes[0] = 1;
  EXPECT_TRUE(x_table.admit(mine, {1, hash("x"), 4}).is_ok());
  EXPECT_TRUE(x_table.admit(theirs, {1, hash("y"), 4}).is_ok());
  EXPECT_TRUE(x_table.admit(elsewhere, {1, hash("z"), 4}).is_ok());
  EXPECT_EQ(x_table.extent_count(), 3u);
}

}  // namespace
}  // namespace tarn::ring
