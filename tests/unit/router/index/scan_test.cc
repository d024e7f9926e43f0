#include <gtest/gtest.h>

#include "tests/unit/router/index/blocks.h"

#include "common/ring/position.h"

namespace tarn::index {
namespace {

uint32_t range_of_block(const StoredBlock& block) {
  return range_of(ring::position_of(block.tenant, block.space, block.anchor));
}

class Scanned : public testing::Test {
 protected:
  Index index{42};
  Handle one = index.attach({1});
  StoredBlock first = block_of("c", 0);
  StoredBlock second = block_of("c", 1);
  uint32_t range = range_of_block(first);

  uint32_t matched() const { return Probe("c", 2).match(index).matched; }
  void scanned(const StoredBlock& block) { index.add_scanned(one, {&block, 1}); }
};

TEST_F(Scanned, what_the_inventory_does_not_show_is_forgotten) {
  add(index, one, first);
  add(index, one, second);
  add(index, one, block_of("elsewhere", 0));
  index.begin_scan(one, {range});
  scanned(first);
  EXPECT_EQ(matched(), 2u);  // nothing goes before the scan has ended
  index.end_scan(one, true);
  EXPECT_EQ(matched(), 1u);
  const bool same_range = range_of_block(block_of("elsewhere", 0)) == range;
  EXPECT_EQ(index.stats().blocks, same_range ? 1u : 2u);
}

TEST_F(Scanned, an_abandoned_scan_forgets_nothing) {
  add(index, one, first);
  add(index, one, second);
  index.begin_scan(one, {range});
  scanned(first);
  index.end_scan(one, false);
  EXPECT_EQ(matched(), 2u);
}

TEST_F(Scanned, a_removal_during_the_scan_stays) {
  add(index, one, first);
  index.begin_scan(one, {range});
  remove(index, one, first);
  scanned(first);  // read before it was removed, told after
  EXPECT_EQ(matched(), 0u);
  index.end_scan(one, true);
  EXPECT_EQ(matched(), 0u);
}

TEST_F(Scanned, an_addition_after_the_removal_ends_the_tombstone) {
  add(index, one, first);
  index.begin_scan(one, {range});
  remove(index, one, first);
  add(index, one, first);
  index.end_scan(one, true);
  EXPECT_EQ(matched(), 1u);
}

TEST_F(Scanned, another_servers_blocks_are_none_of_its_business) {
  const Handle two = index.attach({2});
  add(index, two, first);
  index.begin_scan(one, {range});
  index.end_scan(one, true);
  EXPECT_EQ(matched(), 1u);
}

TEST_F(Scanned, an_inventory_of_another_range_is_refused) {
  index.begin_scan(one, {(range + 1) % kRanges});
  scanned(first);
  EXPECT_EQ(matched(), 0u);
  EXPECT_EQ(index.stats().refused, 1u);
}

TEST_F(Scanned, a_retired_server_has_no_scan) {
  index.begin_scan(one, {range});
  index.retire(one);
  scanned(first);
  index.end_scan(one, true);
  EXPECT_EQ(matched(), 0u);
}

}  // namespace
}  // namespace tarn::index
