// What becomes of "that server has no such block" where the index says that it has.
#include <gtest/gtest.h>

#include "common/ring/position.h"
#include "tests/unit/router/index/blocks.h"

namespace tarn::index {
namespace {

constexpr ServerId kOne{1};
constexpr ServerId kTwo{2};

class Doubted : public testing::Test {
 protected:
  Doubted() {
    for (uint32_t i = 0; i < 40; ++i)
      add(index, one, block_of("c", i));
  }

  std::vector<Doubt> doubts(const std::vector<block::BlockHash>& hashes, ServerId server,
                            const TenantId& tenant = kAcme, const SpaceId& space = kSpace) {
    const std::vector<ServerId> servers(hashes.size(), server);
    return index.doubts({tenant, space, hashes, {}}, servers);
  }
  // The doubt about the extent of block `i`.
  Doubt doubt_of(uint32_t i, ServerId server = kOne) {
    const auto all = doubts({block_of("c", i).hash}, server);
    EXPECT_EQ(all.size(), 1u) << i;
    return all.empty() ? Doubt{} : all[0];
  }
  // The server tells, for the extent of block 0, that it holds these of the chain.
  void check(Handle handle, const std::vector<uint32_t>& holds, bool complete = true) {
    index.begin_scan(handle, doubt_of(0).area);
    for (const uint32_t i : holds) {
      const StoredBlock block = block_of("c", i);
      index.add_scanned(handle, {&block, 1});
    }
    index.end_scan(handle, complete);
  }
  uint32_t matched() { return Probe("c", 40).match(index).matched; }
  uint32_t holders(uint32_t i) { return Probe("c", 40).locate(index)[i].holders.count; }

  static std::vector<uint32_t> numbers(uint32_t begin, uint32_t end) {
    std::vector<uint32_t> all;
    for (uint32_t i = begin; i < end; ++i)
      all.push_back(i);
    return all;
  }

  Index index{42};
  Handle one = index.attach(kOne);
  Handle two = index.attach(kTwo);
};

TEST_F(Doubted, blocks_of_one_extent_are_one_doubt) {
  const auto all = doubts(hashes_of("c", 40), kOne);
  ASSERT_EQ(all.size(), 2u);  // extents of 32
  EXPECT_NE(all[0].area, all[1].area);
  EXPECT_EQ(all[0].server, kOne);
  EXPECT_EQ(all[0].tenant, kAcme);
  const StoredBlock first = block_of("c", 0);
  const Position at = ring::position_of(kAcme, kSpace, first.anchor);
  EXPECT_EQ(all[0].area.position, at);
  EXPECT_EQ(all[0].area.range, range_of(at));
}

TEST_F(Doubted, what_the_index_does_not_say_cannot_be_doubted) {
  EXPECT_TRUE(doubts({hash_of("nobody's")}, kOne).empty());
  EXPECT_TRUE(doubts(hashes_of("c", 40), kTwo).empty()) << "the index has nothing there";
  EXPECT_TRUE(doubts(hashes_of("c", 40), ServerId{77}).empty()) << "no such server";
  EXPECT_TRUE(doubts({}, kOne).empty());
  remove(index, one, block_of("c", 39));
  EXPECT_TRUE(doubts({block_of("c", 39).hash}, kOne).empty()) << "it went meanwhile";
  index.retire(one);
  EXPECT_TRUE(doubts(hashes_of("c", 40), kOne).empty()) << "the server has left";
}

TEST_F(Doubted, nobody_doubts_what_is_not_his) {
  EXPECT_TRUE(doubts(hashes_of("c", 40), kOne, kOther).empty());
  EXPECT_TRUE(doubts(hashes_of("c", 40), kOne, kAcme, SpaceId{{8}}).empty());
  // The same hashes are another tenant's blocks.
  StoredBlock theirs = block_of("c", 0);
  theirs.tenant = kOther;
  add(index, two, theirs);
  const auto all = doubts({theirs.hash}, kTwo, kOther);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_NE(all[0].area.anchor_print, doubt_of(0).area.anchor_print);
}

TEST_F(Doubted, an_answer_without_the_block_forgets_it) {
  check(one, numbers(0, 7));
  EXPECT_EQ(matched(), 7u);
  EXPECT_EQ(holders(7), 0u);
  EXPECT_EQ(holders(35), 1u) << "another extent";
  EXPECT_EQ(index.stats().blocks, 15u);
}

TEST_F(Doubted, an_answer_with_the_block_changes_nothing) {
  const uint64_t changes = index.range_changes(doubt_of(0).area.range);
  check(one, numbers(0, 32));
  EXPECT_EQ(matched(), 40u);
  EXPECT_EQ(index.stats().blocks, 40u);
  EXPECT_GE(index.range_changes(doubt_of(0).area.range), changes);
}

TEST_F(Doubted, an_answer_without_anything_forgets_the_extent) {
  check(one, {});
  EXPECT_EQ(matched(), 0u);
  EXPECT_EQ(index.stats().extents, 1u);
  EXPECT_TRUE(doubts({block_of("c", 0).hash}, kOne).empty());
}

TEST_F(Doubted, no_answer_forgets_nothing) {
  check(one, numbers(0, 3), false);
  EXPECT_EQ(matched(), 40u);
}

TEST_F(Doubted, another_servers_copies_stay) {
  for (uint32_t i = 0; i < 40; ++i)
    add(index, two, block_of("c", i));
  check(one, {});
  EXPECT_EQ(matched(), 40u);
  EXPECT_EQ(holders(3), 1u);
  EXPECT_EQ(holders(33), 2u);
}

TEST_F(Doubted, every_shard_and_tier_is_compared) {
  StoredBlock shard = block_of("c", 0);
  shard.shard = {1};
  add(index, one, shard);
  StoredBlock slow = block_of("c", 0);
  slow.tier = Tier::flash;
  add(index, one, slow);
  index.begin_scan(one, doubt_of(0).area);
  index.add_scanned(one, {&slow, 1});
  index.end_scan(one, true);
  const Probe probe("c", 1);
  EXPECT_EQ(probe.match(index, {1}).matched, 0u);
  ASSERT_EQ(probe.match(index, {0}).matched, 1u);
  EXPECT_EQ(probe.match(index, {0}).runs[0].tier, Tier::flash);
}

TEST_F(Doubted, an_answer_may_bring_what_the_index_lacks) {
  remove(index, one, block_of("c", 5));
  EXPECT_EQ(matched(), 5u);
  check(one, numbers(0, 32));
  EXPECT_EQ(matched(), 40u);
}

TEST_F(Doubted, events_during_the_question_are_newer_than_the_answer) {
  index.begin_scan(one, doubt_of(0).area);
  remove(index, one, block_of("c", 31));  // read before it went
  StoredBlock late = block_of("d", 0);    // put after it was read, elsewhere on the ring
  add(index, one, late);
  StoredBlock inside = block_of("c", 0);  // moved to flash after it was read
  inside.tier = Tier::flash;
  add(index, one, inside);
  for (uint32_t i = 0; i < 32; ++i) {
    const StoredBlock block = block_of("c", i);
    index.add_scanned(one, {&block, 1});
  }
  index.end_scan(one, true);
  EXPECT_EQ(matched(), 31u);
  EXPECT_EQ(Probe("d", 1).match(index).matched, 1u);
  StoredBlock fast = block_of("c", 0);
  remove(index, one, fast);
  EXPECT_EQ(Probe("c", 1).match(index).runs.at(0).tier, Tier::flash);
}

TEST_F(Doubted, an_answer_about_another_place_is_refused) {
  const uint64_t before = index.stats().refused;
  index.begin_scan(one, doubt_of(0).area);
  const StoredBlock other = block_of("elsewhere", 0);
  index.add_scanned(one, {&other, 1});
  index.end_scan(one, false);
  EXPECT_EQ(index.stats().refused, before + 1);
  EXPECT_EQ(Probe("elsewhere", 1).match(index).matched, 0u);
}

TEST_F(Doubted, an_extent_that_has_gone_meanwhile_is_no_matter) {
  const ScanArea area = doubt_of(0).area;
  index.begin_scan(one, area);
  for (uint32_t i = 0; i < 32; ++i)
    remove(index, one, block_of("c", i));
  index.end_scan(one, true);
  EXPECT_EQ(index.stats().extents, 1u);
  index.begin_scan(one, area);  // asked for again, late
  index.end_scan(one, true);
  EXPECT_EQ(holders(35), 1u);
}

TEST_F(Doubted, a_server_that_leaves_during_the_question_takes_the_scan_with_it) {
  index.begin_scan(one, doubt_of(0).area);
  index.retire(one);
  index.end_scan(one, true);
  const Handle again = index.attach(kOne);
  add(index, again, block_of("c", 0));
  EXPECT_EQ(matched(), 1u);
}

}  // namespace
}  // namespace tarn::index
