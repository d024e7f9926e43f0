// Replays the conversation trace through the writer's and the owner's extent rules and measures how
// evenly the extents, and the blocks in them, fall on the servers of a ring.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <unordered_map>

#include "common/block/sha256.h"
#include "common/ring/extent.h"
#include "common/ring/position.h"
#include "common/ring/ring.h"
#include "tests/unit/ring/cluster.h"
#include "tests/unit/ring/trace.h"

namespace tarn::ring {
namespace {

constexpr uint32_t kConversationRequests = 12'031;
constexpr uint32_t kConversationBlocks = 182'790;

block::BlockHash hash_of(uint32_t id) {
  const block::Digest256 digest = block::sha256(std::to_string(id));
  return block::BlockHash::from({reinterpret_cast<const char*>(digest.data()), digest.size()})
      .value();
}

// The extents of the trace: blocks in each, by anchor.
class Replay {
 public:
  Replay() {
    for (const auto& ids : read_conversation()) {
      put(ids);
      ++x_requests;
    }
  }

  const std::map<block::BlockHash, uint32_t>& extents() const { return x_blocks; }
  uint32_t requests() const { return x_requests; }
  size_t blocks() const { return x_places.size(); }
  uint32_t refusals() const { return x_refusals; }

 private:
  static ExtentKey key(const block::BlockHash& anchor) { return {{}, {}, anchor}; }

  void put(const std::vector<uint32_t>& ids) {
    std::vector<ChainBlock> chain;
    for (const uint32_t id : ids) {
      ChainBlock& next = chain.emplace_back(ChainBlock{hash_of(id), std::nullopt});
      const auto place = x_places.find(next.hash);
      if (place == x_places.end()) continue;
      const auto& [anchor, index] = place->second;
      next.known = KnownPlace{place->second, x_table.is_last(key(anchor), index)};
    }
    const auto places = plan_extents({kExtentBlocksDefault, std::nullopt, chain}).value();
    for (size_t i = 0; i < chain.size(); ++i) {
      if (chain[i].known.has_value()) continue;
      const auto& [anchor, index] = places[i];
      const ExtentSeat seat{index, chain[i].hash, kExtentBlocksDefault};
      x_refusals += x_table.admit(key(anchor), seat).is_ok() ? 0 : 1;
      x_places.emplace(chain[i].hash, places[i]);
      ++x_blocks[anchor];
    }
  }

  ExtentTable x_table{1'000'000};
  std::unordered_map<block::BlockHash, BlockPlace> x_places;
  std::map<block::BlockHash, uint32_t> x_blocks;
  uint32_t x_requests = 0;
  uint32_t x_refusals = 0;
};

const Replay& replay() {
  static const Replay once;
  return once;
}

double max_over_mean(const std::map<uint32_t, uint64_t>& loads, uint32_t servers) {
  uint64_t most = 0, total = 0;
  for (const auto& [id, load] : loads) {
    most = std::max(most, load);
    total += load;
  }
  return static_cast<double>(most) * servers / static_cast<double>(total);
}

struct Balance {
  double extents, blocks;
};

Balance balance(uint32_t servers, const std::string& tenant) {
  const Ring ring = Ring::build(make_cluster(servers)).value();
  std::map<uint32_t, uint64_t> extents, blocks;
  for (const auto& [anchor, count] : replay().extents()) {
    const Position position = position_of(block::tenant_id(tenant), SpaceId{}, anchor);
    const uint32_t owner = ring.owners(position, 1).front().value;
    ++extents[owner];
    blocks[owner] += count;
  }
  return {max_over_mean(extents, servers), max_over_mean(blocks, servers)};
}

TEST(ConversationTrace, is_whole_and_its_extents_are_as_documented) {
  EXPECT_EQ(replay().requests(), kConversationRequests);
  EXPECT_EQ(replay().blocks(), kConversationBlocks);
  EXPECT_EQ(replay().extents().size(), 14'515u);
  EXPECT_EQ(replay().refusals(), 0u) << "one writer never meets extent_full";
  for (const auto& [anchor, count] : replay().extents())
    ASSERT_LE(count, kExtentBlocksDefault);
}

// Several tenants stand for several throws of the dice.
TEST(ConversationTrace, extents_fall_evenly_on_servers) {
  for (const auto& [servers, limit] : {std::pair(8u, 1.2), {32u, 1.3}}) {
    for (const char* tenant : {"acme", "blue", "cyan", "dusk"}) {
      const auto [extents, blocks] = balance(servers, tenant);
      std::printf("trace, %2u servers, tenant %s: max/mean %.3f extents, %.3f blocks\n", servers,
                  tenant, extents, blocks);
      EXPECT_LE(extents, limit);
      EXPECT_LE(blocks, limit);
    }
  }
}

}  // namespace
}  // namespace tarn::ring
