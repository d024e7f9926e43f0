#include "router/index/index.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/unit/router/index/blocks.h"

namespace tarn::index {
namespace {

constexpr ServerId kOne{1};
constexpr ServerId kTwo{2};

class Indexed : public testing::Test {
 protected:
  Index index{42};
  Handle one = index.attach(kOne);
  Handle two = index.attach(kTwo);

  void add_chain(Handle handle, uint32_t begin, uint32_t end, uint32_t shard = 0) {
    for (uint32_t i = begin; i < end; ++i) {
      StoredBlock block = block_of("c", i);
      block.shard = {shard};
      add(index, handle, block);
    }
  }
};

TEST_F(Indexed, a_prefix_is_cut_into_runs_of_one_extent) {
  add_chain(one, 0, 70);
  const auto answer = Probe("c", 80).match(index);
  EXPECT_EQ(answer.matched, 70u);
  ASSERT_EQ(answer.runs.size(), 3u);
  EXPECT_EQ(answer.runs[1].first, 32u);
  EXPECT_EQ(answer.runs[1].count, 32u);
  EXPECT_EQ(answer.runs[1].first_index, 0u);
  EXPECT_EQ(answer.runs[1].anchor, block_of("c", 32).hash);
  EXPECT_EQ(answer.runs[1].block_bytes, 1u << 20);
  EXPECT_EQ(answer.runs[2].count, 6u);
  ASSERT_EQ(answer.runs[2].holders.count, 1u);
  EXPECT_EQ(answer.runs[2].holders.ids[0], kOne);
}

// More extents than the look-up asks ahead for, of lengths that it guesses wrongly.
TEST_F(Indexed, extents_of_every_length_are_found_one_after_another) {
  std::vector<block::BlockHash> hashes;
  std::vector<uint32_t> lengths;
  for (uint32_t extent = 0; extent < 200; ++extent) {
    lengths.push_back(1 + extent * 7 % kExtentBlocksMax);
    for (uint32_t i = 0; i < lengths.back(); ++i) {
      StoredBlock block = block_of("e" + std::to_string(extent), i, kExtentBlocksMax);
      hashes.push_back(block.hash);
      add(index, one, block);
    }
  }
  const auto answer = index.match({kAcme, kSpace, hashes, {}});
  EXPECT_EQ(answer.matched, hashes.size());
  ASSERT_EQ(answer.runs.size(), lengths.size());
  for (size_t i = 0; i < lengths.size(); ++i)
    EXPECT_EQ(answer.runs[i].count, lengths[i]) << i;
}

TEST_F(Indexed, a_hole_ends_the_prefix) {
  add_chain(one, 0, 20);
  remove(index, one, block_of("c", 7));
  EXPECT_EQ(Probe("c", 20).match(index).matched, 7u);
  add(index, one, block_of("c", 7));
  EXPECT_EQ(Probe("c", 20).match(index).matched, 20u);
  remove(index, one, block_of("c", 0));
  EXPECT_EQ(Probe("c", 20).match(index).matched, 0u);
  // What follows the hole is still there for who asks from it.
  EXPECT_EQ(Probe("c", 20).locate(index)[5].anchor, block_of("c", 0).hash);
}

TEST_F(Indexed, a_block_is_a_hit_when_all_shards_asked_for_are_there) {
  add_chain(one, 0, 10, 0);
  add_chain(one, 0, 6, 1);
  EXPECT_EQ(Probe("c", 10).match(index).matched, 10u);
  EXPECT_EQ(Probe("c", 10).match(index, {1}).matched, 6u);
  EXPECT_EQ(Probe("c", 10).match(index, {0, 1}).matched, 6u);
  EXPECT_EQ(Probe("c", 10).match(index, {0, 1, 2}).matched, 0u);
}

TEST_F(Indexed, shards_on_several_servers_make_a_hit_together) {
  add_chain(one, 0, 10, 0);
  add_chain(two, 0, 6, 1);
  const auto answer = Probe("c", 10).match(index, {0, 1});
  EXPECT_EQ(answer.matched, 6u);
  ASSERT_EQ(answer.runs.size(), 1u);
  EXPECT_EQ(answer.runs[0].holders.count, 2u);
}

TEST_F(Indexed, the_faster_tier_comes_first) {
  StoredBlock slow = block_of("c", 0);
  slow.tier = Tier::flash;
  add(index, one, slow);
  add(index, two, block_of("c", 0));
  const auto run = Probe("c", 1).match(index).runs.at(0);
  EXPECT_EQ(run.tier, Tier::dram);
  ASSERT_EQ(run.holders.count, 2u);
  EXPECT_EQ(run.holders.ids[0], kTwo);
  EXPECT_EQ(run.holders.ids[1], kOne);
}

TEST_F(Indexed, a_block_that_leaves_one_tier_is_found_in_the_other) {
  StoredBlock fast = block_of("c", 0);
  StoredBlock slow = fast;
  slow.tier = Tier::flash;
  add(index, one, fast);
  add(index, one, slow);
  EXPECT_EQ(Probe("c", 1).match(index).runs.at(0).tier, Tier::dram);
  remove(index, one, fast);
  EXPECT_EQ(Probe("c", 1).match(index).runs.at(0).tier, Tier::flash);
  remove(index, one, slow);
  EXPECT_EQ(Probe("c", 1).match(index).matched, 0u);
}

TEST_F(Indexed, a_run_ends_where_the_holders_change) {
  add_chain(one, 0, 10);
  add_chain(two, 4, 8);
  const auto answer = Probe("c", 10).match(index);
  EXPECT_EQ(answer.matched, 10u);
  ASSERT_EQ(answer.runs.size(), 3u);
  EXPECT_EQ(answer.runs[0].count, 4u);
  EXPECT_EQ(answer.runs[1].holders.count, 2u);
  EXPECT_EQ(answer.runs[2].first_index, 8u);
}

TEST_F(Indexed, a_retired_server_holds_nothing_at_once) {
  add_chain(one, 0, 40);
  add_chain(two, 0, 3);
  index.retire(one);
  EXPECT_EQ(Probe("c", 40).match(index).matched, 3u);
  EXPECT_TRUE(Probe("c", 40).locate(index)[2].last);
  add_chain(one, 0, 40);  // its last words come too late
  EXPECT_EQ(Probe("c", 40).match(index).matched, 3u);
  index.sweep_retired();
  EXPECT_EQ(index.stats().blocks, 3u);
  EXPECT_EQ(index.stats().extents, 1u);
  const Handle again = index.attach(kOne);
  EXPECT_NE(again, one);
  add_chain(again, 0, 40);
  EXPECT_EQ(Probe("c", 40).match(index).matched, 40u);
}

TEST_F(Indexed, tenants_and_spaces_do_not_see_each_other) {
  add_chain(one, 0, 4);
  const auto hashes = hashes_of("c", 4);
  EXPECT_EQ(index.match({kOther, kSpace, hashes, {}}).matched, 0u);
  EXPECT_EQ(index.match({kAcme, SpaceId{{8}}, hashes, {}}).matched, 0u);
  EXPECT_EQ(index.locate({kOther, kSpace, hashes, {}})[0].holders.count, 0u);
}

TEST_F(Indexed, a_flat_space_is_matched_block_by_block) {
  for (uint32_t i = 0; i < 5; ++i)
    add(index, one, block_of("f", i, 1));
  const auto answer = Probe("f", 8).match(index);
  EXPECT_EQ(answer.matched, 5u);
  ASSERT_EQ(answer.runs.size(), 5u);
  EXPECT_EQ(answer.runs[3].anchor, block_of("f", 3).hash);
}

TEST_F(Indexed, locate_tells_anchor_index_and_the_last_of_an_extent) {
  add_chain(one, 0, 34);
  const auto located = Probe("c", 35).locate(index);
  EXPECT_EQ(located[5].anchor, block_of("c", 0).hash);
  EXPECT_EQ(located[5].index, 5u);
  EXPECT_FALSE(located[5].last);
  EXPECT_TRUE(located[31].last);
  EXPECT_EQ(located[33].anchor, block_of("c", 32).hash);
  EXPECT_TRUE(located[33].last);
  EXPECT_EQ(located[34].holders.count, 0u);
  EXPECT_TRUE(located[34].anchor.is_empty());
}

TEST_F(Indexed, malformed_blocks_are_left_out) {
  StoredBlock block = block_of("c", 0);
  block.anchor = hash_of("somebody else");
  add(index, one, block);
  block = block_of("c", 1);
  block.index = 64;
  add(index, one, block);
  block = block_of("c", 1);
  block.tier = static_cast<Tier>(9);
  add(index, one, block);
  block = block_of("c", 1);
  block.hash = {};
  add(index, one, block);
  EXPECT_EQ(index.stats().refused, 4u);
  EXPECT_EQ(index.stats().blocks, 0u);
}

TEST_F(Indexed, a_row_names_four_servers) {
  for (uint32_t id = 1; id <= 5; ++id)
    add(index, index.attach({id}), block_of("c", 0));
  EXPECT_EQ(Probe("c", 1).match(index).runs.at(0).holders.count, kHoldersMax);
  EXPECT_EQ(index.stats().refused, 1u);
}

TEST_F(Indexed, another_block_at_a_taken_index_replaces_it_only_on_the_same_server) {
  add_chain(one, 0, 3);
  StoredBlock rival = block_of("c", 2);
  rival.hash = hash_of("rival");
  add(index, two, rival);
  EXPECT_EQ(Probe("c", 3).match(index).matched, 3u);
  add(index, one, rival);
  EXPECT_EQ(Probe("c", 3).match(index).matched, 2u);
  EXPECT_EQ(index.locate({kAcme, kSpace, {&rival.hash, 1}, {}})[0].index, 2u);
}

TEST_F(Indexed, a_block_that_begins_an_extent_later_is_found_there) {
  add_chain(one, 0, 3);
  StoredBlock own = block_of("c", 2);
  own.anchor = own.hash;
  own.index = 0;
  add(index, two, own);
  const auto located = Probe("c", 3).locate(index);
  EXPECT_EQ(located[2].anchor, own.hash);
  EXPECT_EQ(located[2].holders.ids[0], kTwo);
  EXPECT_TRUE(located[1].last);
}

TEST_F(Indexed, what_is_gone_leaves_no_memory_behind) {
  const uint64_t before = index.stats().memory_bytes;
  for (int round = 0; round < 3; ++round) {
    add_chain(one, 0, 3000);
    for (uint32_t i = 3000; i-- > 0;)
      remove(index, one, block_of("c", i));
    EXPECT_EQ(index.stats().blocks, 0u);
    EXPECT_EQ(index.stats().extents, 0u);
  }
  // Sets and rows keep their room for the next blocks.
  EXPECT_LT(index.stats().memory_bytes - before, 64 * 4096 * 48u + 1024 * 64u);
}

TEST_F(Indexed, readers_and_writers_run_together) {
  add_chain(one, 0, 512);
  std::atomic<bool> stop = false;
  std::thread reader([&] {
    const Probe probe("c", 512);
    while (!stop) {
      EXPECT_EQ(probe.match(index).matched, 512u);
      EXPECT_EQ(probe.locate(index).size(), 512u);
    }
  });
  for (int round = 0; round < 20; ++round) {
    add_chain(two, 0, 512);
    index.retire(two);
    index.sweep_retired();
    two = index.attach(kTwo);
  }
  stop = true;
  reader.join();
}

}  // namespace
}  // namespace tarn::index
