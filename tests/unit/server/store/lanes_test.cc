// Several lanes of one server that share a Descent: what each evicts, seen together.
#include <algorithm>
#include <deque>
#include <map>
#include <random>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "common/ring/position.h"
#include "tests/unit/server/store/tier_rig.h"

namespace tarn::store {
namespace {

constexpr uint64_t kBytes = 128 * kKiB;
constexpr uint32_t kExtentBlocks = 8;

// One server without threads: requests between lanes wait in a queue until deliver().
class ServerOfLanes {
 public:
  explicit ServerOfLanes(uint32_t lanes, uint64_t cap_bytes = 8 * kMiB) {
    for (uint32_t lane = 0; lane < lanes; ++lane) {
      DramTierOptions options;
      options.memory.cap_bytes = cap_bytes;
      options.lane = lane;
      options.descent = &x_descent;
      options.on_blocked = [this](const MakeWay& wanted) { x_wanted.push_back(wanted); };
      x_lanes.push_back(std::make_unique<TierRig>(std::move(options)));
      x_lanes.back()->also_on_change = [this](const BlockChange& change) { note(change); };
    }
  }

  uint32_t lane_of(const PutSpec& spec) const {
    const block::BlockHeader header = make_put(spec).header;
    const Position position = ring::position_of(header.key.tenant, header.key.space, header.anchor);
    return ring::lane_of(position, static_cast<uint32_t>(x_lanes.size()));
  }
  TierRig& lane(uint32_t number) { return *x_lanes[number]; }
  TierRig& home_of(const PutSpec& spec) { return *x_lanes[lane_of(spec)]; }

  // Puts; where other lanes have to make way first, lets them and tries again.
  Status put(const PutSpec& spec, uint64_t chain_parent) {
    parents[spec.hash] = chain_parent;
    Status status = put_once(spec);
    for (int turn = 0; turn < 300 && status.code() == Code::overloaded; ++turn) {
      deliver();
      status = put_once(spec);
    }
    return status;
  }

  // The block counts as there from its reservation: making room for it is judged as well.
  Status put_once(const PutSpec& spec) {
    const bool is_new = here.insert(spec.hash).second;
    const Status status = home_of(spec).put(spec);
    if (is_new && !status.is_ok()) here.erase(spec.hash);
    return status;
  }

  // What the lanes' inboxes do. Returns how many requests there were.
  size_t deliver() {
    size_t count = 0;
    for (; !x_wanted.empty(); ++count) {
      const MakeWay wanted = x_wanted.front();
      x_wanted.pop_front();
      for (uint32_t lane = 0; lane < x_lanes.size(); ++lane) {
        if ((wanted.lanes & lane_bit(lane)) != 0) (void)x_lanes[lane]->tier->make_way(wanted);
      }
    }
    return count;
  }
  void lose_requests() { x_wanted.clear(); }

  std::map<uint64_t, uint64_t> parents;  // of each block ever put; 0: none
  std::set<uint64_t> here;
  uint64_t evictions = 0;
  bool is_removing = false;  // an explicit removal is no eviction

 private:
  void note(const BlockChange& change) {
    const uint64_t hash = number_of(change.header.key.hash);
    if (!change.removed) {
      here.insert(hash);
      return;
    }
    here.erase(hash);
    if (is_removing) return;
    ++evictions;
    for (const uint64_t left : here)
      EXPECT_NE(parents[left], hash) << "block " << left << " outlived its parent " << hash;
  }

  Descent x_descent;
  std::deque<MakeWay> x_wanted;
  std::vector<std::unique_ptr<TierRig>> x_lanes;
};

// Random chains that grow, fork and come again, in a random order of arrival.
class Growth {
 public:
  Growth(ServerOfLanes& server, uint32_t seed) : x_server(server), x_random(seed) {}

  // A block behind a random one of the latest, or a new chain's first.
  PutSpec next() {
    PutSpec spec{.hash = ++x_last, .bytes = kBytes};
    if (x_specs.size() < 2 || pick(12) == 0) {
      x_parent[spec.hash] = 0;
      return x_specs[spec.hash] = spec;
    }
    const uint64_t parent = x_last - 1 - pick(std::min<uint64_t>(x_last - 1, 40));
    const PutSpec& up = x_specs.at(parent);
    x_parent[spec.hash] = parent;
    spec.parent = parent;
    if (x_continued.insert(parent).second && up.index + 1 < kExtentBlocks) {
      spec.anchor = up.anchor == 0 ? up.hash : up.anchor;
      spec.index = up.index + 1;
    }
    return x_specs[spec.hash] = spec;
  }

  PutSpec again() { return x_specs.at(1 + pick(x_last)); }
  uint64_t parent_of(const PutSpec& spec) const { return x_parent.at(spec.hash); }
  uint64_t pick(uint64_t below) { return x_random() % below; }
  void touch_some() {
    if (x_server.here.empty()) return;
    const auto it = std::next(x_server.here.begin(), static_cast<long>(pick(x_server.here.size())));
    const PutSpec& spec = x_specs.at(*it);
    EXPECT_TRUE(x_server.home_of(spec).read(key_of(spec)));
  }
  Result<Pin> pin_some() {
    const auto it = std::next(x_server.here.begin(), static_cast<long>(pick(x_server.here.size())));
    const PutSpec& spec = x_specs.at(*it);
    return x_server.home_of(spec).read(key_of(spec));
  }

 private:
  ServerOfLanes& x_server;
  std::mt19937_64 x_random;
  uint64_t x_last = 0;
  std::map<uint64_t, PutSpec> x_specs;
  std::map<uint64_t, uint64_t> x_parent;
  std::set<uint64_t> x_continued;
};

struct Seed {
  uint32_t lanes;
  uint32_t seed;
};

class ServerChains : public testing::TestWithParam<Seed> {};

TEST_P(ServerChains, NoParentGoesBeforeItsChildInWhicheverLaneThatLies) {
  ServerOfLanes server(GetParam().lanes);
  Growth growth(server, GetParam().seed);
  std::deque<Pin> pins;
  std::vector<PutSpec> late;
  for (int step = 0; step < 900; ++step) {
    PutSpec spec = growth.pick(8) == 0 && step > 20 ? growth.again() : growth.next();
    // Some are overtaken by what follows them, as messages on several connections are.
    if (growth.pick(6) == 0) {
      late.push_back(spec);
      continue;
    }
    const Status status = server.put(spec, growth.parent_of(spec));
    ASSERT_TRUE(status.is_ok() || status.code() == Code::exists ||
                status.code() == Code::extent_full)
        << status.to_string() << ", step " << step;
    if (growth.pick(3) == 0) growth.touch_some();
    if (growth.pick(10) == 0 && !server.here.empty()) {
      auto pin = growth.pin_some();
      if (pin) pins.push_back(std::move(*pin));
    }
    if (pins.size() > 3) pins.pop_front();
    if (late.size() > 4) {
      (void)server.put(late.front(), growth.parent_of(late.front()));
      late.erase(late.begin());
    }
    if (growth.pick(5) == 0) server.deliver();
  }
  EXPECT_GT(server.evictions, 200u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, ServerChains,
                         testing::Values(Seed{1, 1}, Seed{2, 2}, Seed{2, 3}, Seed{3, 4}, Seed{4, 5},
                                         Seed{4, 6}),
                         [](const auto& tested) {
                           return "lanes" + std::to_string(tested.param.lanes) + "seed" +
                                  std::to_string(tested.param.seed);
                         });

// The first number from `from` on whose extent the lane serves.
uint64_t anchor_in(const ServerOfLanes& server, uint32_t lane, uint64_t from) {
  while (server.lane_of({.hash = from}) != lane)
    ++from;
  return from;
}

TEST(ServerLanes, ALaneAsksTheOthersForWayAndTakesSomethingElseMeanwhile) {
  ServerOfLanes server(2);
  const uint64_t parent = anchor_in(server, 0, 1);
  const uint64_t child = anchor_in(server, 1, parent + 1);
  ASSERT_TRUE(server.put({.hash = parent, .bytes = kBytes}, 0).is_ok());
  ASSERT_TRUE(server.put({.hash = child, .parent = parent, .bytes = kBytes}, parent).is_ok());
  // Fills lane 0 without letting lane 1 hear: the held parent stays, others go.
  uint64_t hash = 1000;
  while (server.evictions == 0) {
    hash = anchor_in(server, 0, hash + 1);
    server.parents[hash] = 0;
    ASSERT_TRUE(server.lane(0).put({.hash = hash, .bytes = kBytes}).is_ok());
  }
  EXPECT_TRUE(server.here.contains(parent));
  EXPECT_TRUE(server.here.contains(child));
  EXPECT_EQ(server.deliver(), 1u);
  EXPECT_FALSE(server.here.contains(child)) << "lane 1 made way, though it had room";
  hash = anchor_in(server, 0, hash + 1);
  ASSERT_TRUE(server.put({.hash = hash, .bytes = kBytes}, 0).is_ok());
  EXPECT_FALSE(server.here.contains(parent)) << "it has kept its turn: the oldest goes";
}

TEST(ServerLanes, AChildThatIsReadHoldsItsParentInAnotherLane) {
  ServerOfLanes server(2);
  const uint64_t parent = anchor_in(server, 0, 1);
  const PutSpec child{.hash = anchor_in(server, 1, parent + 1), .parent = parent, .bytes = kBytes};
  ASSERT_TRUE(server.put({.hash = parent, .bytes = kBytes}, 0).is_ok());
  ASSERT_TRUE(server.put(child, parent).is_ok());
  const auto pin = server.lane(1).read(key_of(child));
  ASSERT_TRUE(pin);
  uint64_t hash = 1000;
  for (int i = 0; i < 150; ++i) {
    hash = anchor_in(server, 0, hash + 1);
    ASSERT_TRUE(server.put({.hash = hash, .bytes = kBytes}, 0).is_ok());
    server.deliver();
  }
  EXPECT_TRUE(server.here.contains(parent));
  EXPECT_TRUE(server.here.contains(child.hash));
}

TEST(ServerLanes, ARemovedChildHoldsNothing) {
  ServerOfLanes server(2);
  const uint64_t parent = anchor_in(server, 0, 1);
  const PutSpec child{.hash = anchor_in(server, 1, parent + 1), .parent = parent, .bytes = kBytes};
  ASSERT_TRUE(server.put({.hash = parent, .bytes = kBytes}, 0).is_ok());
  ASSERT_TRUE(server.put(child, parent).is_ok());
  server.is_removing = true;
  ASSERT_TRUE(server.lane(1).tier->remove(key_of(child)).is_ok());
  server.is_removing = false;
  uint64_t hash = 1000;
  for (int i = 0; i < 150; ++i) {
    hash = anchor_in(server, 0, hash + 1);
    ASSERT_TRUE(server.put({.hash = hash, .bytes = kBytes}, 0).is_ok());
  }
  EXPECT_FALSE(server.here.contains(parent));
  EXPECT_EQ(server.deliver(), 0u);
}

// A chain that zigzags between two lanes, an extent of a few blocks each.
class Zigzag {
 public:
  explicit Zigzag(ServerOfLanes& server, uint32_t extent_blocks = 1)
      : x_server(server), x_extent_blocks(extent_blocks) {}

  Status extend() {
    const uint64_t parent = x_blocks.empty() ? 0 : x_blocks.back();
    const auto depth = static_cast<uint32_t>(x_blocks.size());
    PutSpec spec{.hash = parent + 1, .index = depth % x_extent_blocks, .parent = parent};
    if (spec.index == 0) spec.hash = anchor_in(x_server, depth / x_extent_blocks % 2, spec.hash);
    spec.anchor = spec.index == 0 ? spec.hash : x_blocks[depth - spec.index];
    spec.bytes = kBytes;
    const Status status = x_server.put(spec, parent);
    if (status.is_ok()) x_blocks.push_back(spec.hash);
    return status;
  }

  bool is_whole() const {
    return std::all_of(x_blocks.begin(), x_blocks.end(),
                       [this](uint64_t block) { return x_server.here.contains(block); });
  }
  const std::vector<uint64_t>& blocks() const { return x_blocks; }

 private:
  ServerOfLanes& x_server;
  const uint32_t x_extent_blocks;
  std::vector<uint64_t> x_blocks;
};

class ServerZigzag : public testing::TestWithParam<uint32_t> {};
INSTANTIATE_TEST_SUITE_P(ExtentBlocks, ServerZigzag, testing::Values(1u, 3u));

// Its first block has waited longest, what follows it lies in the other lane: the request that a
// put sends there must not come back for the block itself, or for the one it continues.
TEST_P(ServerZigzag, APutThatAsksForWayDoesNotLoseItsOwnChain) {
  ServerOfLanes server(2);
  Zigzag chain(server, GetParam());
  for (int i = 0; i < 6; ++i)  // its end lies in lane 1, which is full later
    ASSERT_TRUE(chain.extend().is_ok());
  uint64_t hash = 100'000;
  for (int i = 0; server.evictions == 0; ++i) {
    hash = anchor_in(server, static_cast<uint32_t>(i % 2), hash + 1);
    ASSERT_TRUE(server.put({.hash = hash, .bytes = kBytes}, 0).is_ok());
  }
  server.lose_requests();  // of the others
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE(chain.extend().is_ok()) << i;
    server.deliver();
    ASSERT_TRUE(chain.is_whole()) << i;
  }
  EXPECT_GT(server.evictions, 20u) << "of others";
}

TEST_P(ServerZigzag, AChainLargerThanDramKeepsItsBeginningInAllLanes) {
  ServerOfLanes server(2);
  Zigzag chain(server, GetParam());
  Status status;
  while (status.is_ok() && chain.blocks().size() < 1000)
    status = chain.extend();
  EXPECT_EQ(status.code(), Code::overloaded) << status.to_string();
  EXPECT_EQ(chain.extend().code(), Code::overloaded);
  EXPECT_TRUE(chain.is_whole());
  EXPECT_EQ(server.evictions, 0u);
  // Others take its end.
  const uint64_t other = anchor_in(server, 0, 100'000);
  ASSERT_TRUE(server.put({.hash = other, .bytes = kBytes}, 0).is_ok());
  EXPECT_FALSE(chain.is_whole());
}

// All of the chain is in the way of its first block.
TEST(ServerLanes, ARequestGoesDownTheChainFromLaneToLane) {
  ServerOfLanes server(2);
  Zigzag chain(server);
  while (chain.blocks().size() < 40)
    ASSERT_TRUE(chain.extend().is_ok());
  uint64_t hash = 100'000;
  for (int i = 0; i < 120; ++i) {
    hash = anchor_in(server, 0, hash + 1);
    ASSERT_TRUE(server.put({.hash = hash, .bytes = kBytes}, 0).is_ok()) << i;
    server.deliver();
  }
  EXPECT_FALSE(server.here.contains(chain.blocks().back()));
  // What is left of it is a beginning.
  bool ended = false;
  for (const uint64_t block : chain.blocks()) {
    if (!server.here.contains(block)) ended = true;
    EXPECT_FALSE(ended && server.here.contains(block)) << block;
  }
}

TEST(ServerLanes, CirclesOfMadeUpHashesTakeNoRoomForEver) {
  ServerOfLanes server(2);
  uint64_t hash = 0;
  Status status;
  // Lane 0 full of blocks that each call one in lane 1 their parent, and the other way round.
  while (status.is_ok()) {
    const uint64_t a = anchor_in(server, 0, hash + 1);
    const uint64_t b = hash = anchor_in(server, 1, a + 1);
    status = server.lane(0).put({.hash = a, .parent = b, .bytes = kBytes});
    if (status.is_ok()) status = server.lane(1).put({.hash = b, .parent = a, .bytes = kBytes});
  }
  ASSERT_EQ(status.code(), Code::overloaded) << status.to_string();
  for (int i = 0; i < 40; ++i) {
    hash = anchor_in(server, 0, hash + 1);
    ASSERT_TRUE(server.put({.hash = hash, .bytes = kBytes}, 0).is_ok()) << i;
  }
  EXPECT_GT(server.evictions, 20u);
}

}  // namespace
}  // namespace tarn::store
