// A server that is always too full, and a router's index that hears of it late: whatever the index
// says and the server has not, an event says so as well. Nothing is lost without a word.
#include <map>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "router/index/index.h"
#include "tests/unit/server/lane/rig.h"

namespace tarn::lane {
namespace {

using Block = ClientRig::Block;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kSteps = 90;
#else
constexpr int kSteps = 300;
#endif

index::StoredBlock stored(const block::BlockHeader& header) {
  return {header.key.tenant, header.key.space, header.key.shard,     header.key.hash,
          header.anchor,     header.index,     header.payload_bytes, index::Tier::dram};
}

class Matched : public testing::TestWithParam<uint32_t> {
 protected:
  static constexpr uint64_t kBytes = 20'000;
  static constexpr uint64_t kChainBlocks = 48;

  void SetUp() override {
    x_lane.set_config(make_config(1, 1));
    x_client = std::make_unique<ClientRig>(x_hub, x_lane, ClientRig::Options{});
    x_handle = x_index.attach({1});
  }

  uint64_t pick(uint64_t below) { return x_random() % below; }

  // The block of a chain: in extents of 32, each behind the one before.
  static Block block_of(uint64_t chain, uint64_t depth) {
    const uint64_t first = chain * 1000;
    Block block{.hash = first + depth, .bytes = kBytes};
    block.anchor = first + depth / 32 * 32;
    block.index = static_cast<uint16_t>(depth % 32);
    block.parent = depth == 0 ? 0 : first + depth - 1;
    return block;
  }

  void put_some() {
    const uint64_t chain = 1 + pick(12);
    for (uint64_t i = 1 + pick(6); i > 0; --i) {
      uint64_t& length = x_lengths[chain];
      if (length == kChainBlocks) length = pick(kChainBlocks);
      const Code code = x_client->put(block_of(chain, length++));
      ASSERT_TRUE(code == Code::ok || code == Code::exists) << code_name(code);
    }
  }

  // What the router's stream does; false after a gap.
  bool hear(size_t most) {
    const auto batch = x_lane.events.after(x_heard, most, Nanos(0));
    if (batch.gap) return false;
    std::vector<index::BlockEvent> events;
    for (const auto& change : batch.changes)
      events.push_back({stored(change.header), change.removed});
    x_index.apply(x_handle, events);
    x_heard += batch.changes.size();
    return true;
  }
  void hear_all() {
    while (x_heard < x_lane.events.last_sequence())
      ASSERT_TRUE(hear(100));
  }

  index::MatchAnswer match(const std::vector<block::BlockHash>& hashes) const {
    index::ChainQuery query;
    query.tenant = block::tenant_id("acme");
    query.space = x_client->request_of({}).head.space;
    query.hashes = hashes;
    return x_index.match(query);
  }

  static std::vector<block::BlockHash> hashes_of(uint64_t chain) {
    std::vector<block::BlockHash> hashes;
    for (uint64_t depth = 0; depth < kChainBlocks; ++depth)
      hashes.push_back(test_hash(chain * 1000 + depth));
    return hashes;
  }

  // Gets what the index calls a prefix; returns the misses. After each the events that explain it
  // are heard: the index must have been told.
  int match_and_get(uint64_t chain) {
    const auto hashes = hashes_of(chain);
    const uint32_t matched = match(hashes).matched;
    int misses = 0;
    for (uint32_t depth = 0; depth < matched; ++depth) {
      const Code code = x_client->get(block_of(chain, depth));
      x_gets += code == Code::ok;
      if (code == Code::ok) continue;
      EXPECT_EQ(code, Code::not_found);
      ++misses;
      hear_all();
      EXPECT_LE(match(hashes).matched, depth)
          << "chain " << chain << ", block " << depth << ": missing without an event";
    }
    return misses;
  }

  std::mt19937_64 x_random{GetParam()};
  fabric::LoopHub x_hub;
  ManualClock x_clock;
  LaneRig x_lane{x_hub, x_clock, "s1", {}, {.cap_bytes = 8 * kMiB, .events_max = 512}};
  std::unique_ptr<ClientRig> x_client;
  index::Index x_index{7};
  index::Handle x_handle = 0;
  uint64_t x_heard = 0;
  std::map<uint64_t, uint64_t> x_lengths;
  int x_gets = 0;
};

TEST_P(Matched, EveryMissIsExplainedByAnEvent) {
  SCOPED_TRACE("seed " + std::to_string(GetParam()));
  int misses = 0;
  // Longer where the seed shows too little.
  const auto has_seen = [&] { return misses > 3 && x_gets > 50; };
  for (int step = 0; step < kSteps || (!has_seen() && step < 10 * kSteps); ++step) {
    put_some();
    // The stream is late by a random number of events, but never by the whole log.
    if (pick(4) == 0 || x_lane.events.last_sequence() - x_heard > 300) {
      ASSERT_TRUE(hear(1 + pick(400)));
    }
    if (pick(3) == 0) misses += match_and_get(1 + pick(12));
    if (HasFailure()) FAIL() << "step " << step;
  }
  EXPECT_GT(x_lane.tier->usage().evicted_blocks, 50u);
  EXPECT_GT(misses, 3) << "the test has to see some";
  EXPECT_GT(x_gets, 50);
}

TEST_P(Matched, AnIndexThatHasHeardAllIsNeverWrong) {
  for (int step = 0; step < kSteps / 3; ++step) {
    put_some();
    hear_all();
    for (uint64_t chain = 1; chain <= 12 && step % 20 == 0; ++chain) {
      ASSERT_EQ(match_and_get(chain), 0) << "seed " << GetParam() << ", step " << step;
      // And it knows all that is there: what follows the match is not.
      const uint32_t matched = match(hashes_of(chain)).matched;
      if (matched < kChainBlocks) {
        EXPECT_EQ(x_client->exists(block_of(chain, matched)), Code::not_found);
      }
    }
  }
}

// After a gap the router compares range by range with inventories that are old when they arrive.
TEST_P(Matched, AResyncWhileBlocksComeAndGoEndsWithTheTruth) {
  while (x_lane.events.last_sequence() <= 600)
    put_some();
  EXPECT_FALSE(hear(1)) << "the log holds fewer events than there were";
  x_heard = x_lane.events.last_sequence();
  for (uint32_t range = 0; range < index::kRanges; ++range) {
    x_index.begin_scan(x_handle, {.range = range});
    const uint64_t width = uint64_t{1} << (64 - index::kRangeBits);
    std::vector<index::StoredBlock> inventory;
    store::PositionRange part{{range * width}, {range * width + (width - 1)}};
    while (true) {
      const auto next = x_lane.tier->scan(
          part, 8, [&](const block::BlockHeader& header) { inventory.push_back(stored(header)); });
      if (pick(2) == 0) put_some();
      if (pick(3) == 0) {
        ASSERT_TRUE(hear(50));
      }
      if (!next) break;
      part.first = *next;
    }
    put_some();
    if (pick(2) == 0) hear_all();
    x_index.add_scanned(x_handle, inventory);
    x_index.end_scan(x_handle, true);
  }
  hear_all();
  for (uint64_t chain = 1; chain <= 12; ++chain) {
    ASSERT_EQ(match_and_get(chain), 0) << "seed " << GetParam();
    const uint32_t matched = match(hashes_of(chain)).matched;
    if (matched < kChainBlocks) {
      EXPECT_EQ(x_client->exists(block_of(chain, matched)), Code::not_found) << chain;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, Matched, testing::Range(1u, 4u));

}  // namespace
}  // namespace tarn::lane
