// A put made room before its block stood in its chain. In a full dram the block before it was then
// the deepest of the chain that had waited longest, of a worker that only writes: each put evicted
// its own parent and was kept behind a hole, where no look-up ever reached it. Where the parent was
// its extent's only block, the extent went as well and came back without what it continues: from
// then on blocks before it went first, too.
#include <vector>

#include <gtest/gtest.h>

#include "common/base/units.h"
#include "tests/unit/server/store/tier_rig.h"

namespace tarn::store {
namespace {

constexpr uint64_t kBytes = 128 * kKiB;
constexpr uint64_t kCap = memory::kMixedSlabBytes + kMiB;  // of which the mixed slab fits
constexpr uint32_t kG = 4;                                 // blocks of an extent

class PutEvictsParent : public testing::Test {
 protected:
  // The chain's block at this depth; its extents are short.
  static PutSpec chain_block(uint64_t depth) {
    return {.hash = 1 + depth,
            .anchor = 1 + depth / kG * kG,
            .index = static_cast<uint32_t>(depth % kG),
            .parent = depth,
            .bytes = kBytes};
  }

  Status extend() {
    const Status status = x_rig->put(chain_block(x_length));
    if (status.is_ok()) ++x_length;
    return status;
  }

  // A chain of one block.
  Status put_other() { return x_rig->put({.hash = ++x_other, .bytes = kBytes}); }

  // Others fill the rest; the next block needs room.
  void fill() {
    const uint64_t before = evictions();
    while (x_rig->tier->usage().blocks < kRoom)
      ASSERT_TRUE(put_other().is_ok());
    ASSERT_EQ(evictions(), before);
  }

  // How many blocks are there from the chain's start; none may be behind the first that is not.
  uint64_t prefix() const {
    uint64_t present = 0;
    uint64_t first_gap = x_length;
    for (uint64_t depth = 0; depth < x_length; ++depth) {
      const bool is_there = x_rig->has(chain_block(depth));
      present += is_there;
      if (!is_there && first_gap == x_length) first_gap = depth;
    }
    EXPECT_EQ(present, first_gap) << "blocks behind a hole";
    return first_gap;
  }

  uint64_t evictions() const { return x_rig->tier->usage().evicted_blocks; }

  // Blocks that fit: measured, as it is the allocator's matter.
  static uint64_t measure_room() {
    auto rig = TierRig::open(kCap);
    for (uint64_t hash = 1; rig->tier->usage().evicted_blocks == 0; ++hash)
      EXPECT_TRUE(rig->put({.hash = hash, .bytes = kBytes}).is_ok());
    return rig->tier->usage().blocks;
  }

  inline static const uint64_t kRoom = measure_room();
  std::unique_ptr<TierRig> x_rig = TierRig::open(kCap);
  uint64_t x_length = 0;
  uint64_t x_other = 1'000'000;
};

TEST_F(PutEvictsParent, AChainThatIsOnlyWrittenGrowsWhileOthersGo) {
  while (x_length < kRoom / 4)
    ASSERT_TRUE(extend().is_ok());
  fill();
  while (x_length < kRoom * 3 / 4) {
    ASSERT_TRUE(extend().is_ok());
    ASSERT_EQ(prefix(), x_length);
  }
  EXPECT_GT(evictions(), 0u);
}

TEST_F(PutEvictsParent, AnExtentOfOneBlockStaysBehindTheOneItContinues) {
  constexpr uint64_t kShort = 2;  // blocks of the first extent
  const auto in_two = [](uint64_t depth) {
    PutSpec spec{.hash = 1 + depth, .parent = depth, .bytes = kBytes};
    spec.anchor = depth < kShort ? 1 : 1 + kShort;
    spec.index = static_cast<uint32_t>(depth < kShort ? depth : depth - kShort);
    return spec;
  };
  for (uint64_t depth = 0; depth <= kShort; ++depth)
    ASSERT_TRUE(x_rig->put(in_two(depth)).is_ok());
  fill();
  ASSERT_TRUE(x_rig->put(in_two(kShort + 1)).is_ok());
  for (uint64_t depth = 0; depth <= kShort + 1; ++depth)
    ASSERT_TRUE(x_rig->has(in_two(depth))) << depth;
  // The chain goes from its end.
  for (uint64_t i = 0; i < 3 * kRoom; ++i) {
    ASSERT_TRUE(put_other().is_ok());
    for (uint64_t depth = 1; depth <= kShort + 1; ++depth)
      ASSERT_TRUE(x_rig->has(in_two(depth - 1)) || !x_rig->has(in_two(depth))) << depth;
  }
  EXPECT_FALSE(x_rig->has(in_two(0)));
}

TEST_F(PutEvictsParent, AChainLargerThanDramKeepsItsBeginning) {
  Status status;
  while (status.is_ok() && x_length < 2 * kRoom)
    status = extend();
  EXPECT_EQ(x_length, kRoom);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(status.code(), Code::overloaded) << status.to_string();
    EXPECT_NE(status.message().find("before this one in its chain"), std::string::npos);
    status = extend();
  }
  EXPECT_EQ(prefix(), kRoom);
  EXPECT_EQ(evictions(), 0u) << "a refused put changes nothing";
  // The refusal is the chain's own: others take its end, and then it may take theirs.
  ASSERT_TRUE(put_other().is_ok());
  EXPECT_EQ(prefix(), kRoom - 1);
  x_length = kRoom - 1;
  EXPECT_TRUE(extend().is_ok());
  EXPECT_EQ(prefix(), kRoom);
}

TEST_F(PutEvictsParent, ABatchOfOneChainRefusesItsEndAndLosesNothing) {
  std::vector<Slot> slots;
  for (uint64_t depth = 0; depth < kRoom + 5; ++depth) {
    auto slot = x_rig->reserve(make_put(chain_block(depth)));
    ASSERT_EQ(slot.has_value(), depth < kRoom) << depth;
    if (slot) slots.push_back(std::move(*slot));
  }
  for (Slot& slot : slots)
    x_rig->tier->publish(std::move(slot));
  x_length = kRoom + 5;
  EXPECT_EQ(prefix(), kRoom);
}

TEST_F(PutEvictsParent, APutThatEndsWithoutItsBlockHoldsNothing) {
  ASSERT_TRUE(extend().is_ok());
  fill();
  { auto abandoned = x_rig->reserve(make_put(chain_block(1))); }
  for (uint64_t i = 0; i < 3 * kRoom; ++i)
    ASSERT_TRUE(put_other().is_ok());
  EXPECT_EQ(prefix(), 0u);
}

}  // namespace
}  // namespace tarn::store
