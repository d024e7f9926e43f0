#include "server/store/dram_tier.h"

#include <cstring>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "common/base/fault_point.h"
#include "common/base/units.h"
#include "tests/unit/server/store/tier_rig.h"

namespace tarn::store {
namespace {

class DramTierTest : public ::testing::Test {
 protected:
  void open(uint64_t cap_bytes, uint64_t domain_cap_bytes = 0) {
    x_pool = std::move(*memory::SlabPool::open(
        {.shelves = {{memory::kMixedSlabBytes, 2}, {memory::kClassSlabBytes, 2}},
         .prefault = false}));
    ASSERT_TRUE(x_pool->wait_until_full(Millis(10'000)).is_ok());
    DramTierOptions options;
    options.memory.pool = x_pool.get();
    options.memory.cap_bytes = cap_bytes;
    options.memory.domain_cap_bytes = domain_cap_bytes;
    options.on_change = [this](const BlockChange& change) { note(change); };
    x_tier = std::make_unique<DramTier>(options);
  }

  void note(const BlockChange& change) {
    if (change.removed) {
      x_removed.push_back(change.header);
    } else {
      x_added.push_back(change.header);
    }
  }

  // Reserves; waits for the pool where it is behind.
  Result<Slot> reserve(const BlockPut& put) {
    while (true) {
      auto slot = x_tier->reserve(put);
      const bool slab_is_late = !slot && slot.error().code() == Code::overloaded &&
                                slot.error().message().find("prepared") != std::string::npos;
      if (!slab_is_late) return slot;
      EXPECT_TRUE(x_pool->wait_until_full(Millis(10'000)).is_ok());
    }
  }

  Status put(const PutSpec& spec) {
    auto slot = reserve(make_put(spec));
    if (!slot) return slot.error();
    std::memset(slot->bytes().data(), static_cast<int>(spec.hash), slot->bytes().size());
    x_tier->publish(std::move(*slot));
    return Status::ok();
  }

  Result<Pin> read(const PutSpec& spec) {
    Result<Pin> got = not_found("");
    x_tier->read(make_put(spec).header.key, [&](Result<Pin> pin) { got = std::move(pin); });
    return got;
  }

  bool has(const PutSpec& spec) { return x_tier->find(make_put(spec).header.key) != nullptr; }

  std::unique_ptr<memory::SlabPool> x_pool;
  std::vector<block::BlockHeader> x_added;
  std::vector<block::BlockHeader> x_removed;
  std::unique_ptr<DramTier> x_tier;
};

TEST_F(DramTierTest, ABlockIsFoundOnlyWhenPublished) {
  open(64 * kMiB);
  auto slot = reserve(make_put({.hash = 1}));
  ASSERT_TRUE(slot);
  EXPECT_EQ(slot->bytes().size(), 16 * kKiB);
  EXPECT_FALSE(has({.hash = 1}));
  EXPECT_FALSE(read({.hash = 1}));
  EXPECT_EQ(x_tier->reserve(make_put({.hash = 1})).error().code(), Code::conflict);
  EXPECT_EQ(x_tier->remove(make_put({.hash = 1}).header.key).code(), Code::conflict);
  x_tier->publish(std::move(*slot));
  EXPECT_TRUE(has({.hash = 1}));
  EXPECT_EQ(x_tier->reserve(make_put({.hash = 1})).error().code(), Code::exists);
  ASSERT_EQ(x_added.size(), 1u);
  EXPECT_GT(x_added[0].generation.value, 0u);
}

// More than a row of keys, so that rows meet, and not a whole number of rows.
TEST_F(DramTierTest, ManyAreFoundAsEachByItself) {
  open(64 * kMiB);
  constexpr uint64_t kCount = 3 * kFindRow + 5;
  for (uint64_t hash = 1; hash <= kCount; ++hash) {
    if (hash % 3 == 0) continue;
    ASSERT_TRUE(put({.hash = hash, .bytes = kKiB}).is_ok());
  }
  const auto on_its_way = reserve(make_put({.hash = 3, .bytes = kKiB}));
  ASSERT_TRUE(on_its_way);
  ASSERT_TRUE(x_tier->remove(key_of({.hash = 40})).is_ok());
  for (const size_t count : {size_t{0}, size_t{1}, kFindRow, kFindRow + 1, size_t{kCount}}) {
    std::vector<block::BlockKey> keys;
    for (uint64_t hash = kCount; hash > kCount - count; --hash)
      keys.push_back(key_of({.hash = hash, .shard = hash == 50 ? 1u : 0u}));
    std::vector<const block::BlockHeader*> found(count);
    x_tier->find_all(keys, found);
    for (size_t i = 0; i < count; ++i)
      EXPECT_EQ(found[i], x_tier->find(keys[i])) << kCount - i << " of " << count;
    if (count < kCount) continue;
    EXPECT_EQ(found[kCount - 1]->key, keys[kCount - 1]);
    for (const uint64_t absent : {3u, 6u, 40u, 50u})
      EXPECT_EQ(found[kCount - absent], nullptr) << absent;
  }
}

TEST_F(DramTierTest, AnAbandonedSlotLeavesNothing) {
  open(64 * kMiB);
  { auto slot = reserve(make_put({.hash = 1})); }
  EXPECT_TRUE(x_added.empty());
  EXPECT_TRUE(x_removed.empty());
  EXPECT_EQ(x_tier->usage().blocks, 0u);
  EXPECT_TRUE(put({.hash = 1}).is_ok());
  const auto pin = read({.hash = 1});
  ASSERT_TRUE(pin);
  EXPECT_EQ(pin->bytes()[5], std::byte{1});
  EXPECT_EQ(pin->header().key.hash, hash_of(1));
}

TEST_F(DramTierTest, ARemovedBlockKeepsItsBytesWhilePinned) {
  open(24 * kMiB);
  ASSERT_TRUE(put({.hash = 7}).is_ok());
  auto pin = read({.hash = 7});
  ASSERT_TRUE(pin);
  ASSERT_TRUE(x_tier->remove(make_put({.hash = 7}).header.key).is_ok());
  EXPECT_FALSE(has({.hash = 7}));
  ASSERT_EQ(x_removed.size(), 1u);
  for (uint64_t i = 100; i < 2000; ++i)
    ASSERT_TRUE(put({.hash = i}).is_ok());
  for (const std::byte b : pin->bytes())
    ASSERT_EQ(b, std::byte{7});
  pin->release();
  EXPECT_EQ(x_tier->remove(make_put({.hash = 7}).header.key).code(), Code::not_found);
}

// A peer that maps the slab views a block: it is pinned by where it lies.
TEST_F(DramTierTest, ABlockIsPinnedByItsAddress) {
  open(64 * kMiB);
  for (const uint64_t bytes : {uint64_t{100}, 256 * kKiB, 2 * kMiB}) {
    const PutSpec spec{.hash = bytes, .bytes = bytes};
    ASSERT_TRUE(put(spec).is_ok());
    std::optional<Pin> again;
    {
      const Pin pin = read(spec).value();
      again = x_tier->pin_at(pin.bytes().data());
      ASSERT_TRUE(again.has_value());
      EXPECT_EQ(again->bytes().data(), pin.bytes().data());
      EXPECT_EQ(again->bytes().size(), pin.bytes().size());
    }
    ASSERT_TRUE(x_tier->remove(make_put(spec).header.key).is_ok());
    EXPECT_TRUE(x_tier->pin_at(again->bytes().data()).has_value()) << "while another reads it";
    const std::byte* const at = again->bytes().data();
    again->release();
    EXPECT_FALSE(x_tier->pin_at(at).has_value()) << "its slot is free";
  }
  EXPECT_FALSE(x_tier->pin_at(nullptr).has_value());
}

TEST_F(DramTierTest, EvictionPassesOverWhatIsRead) {
  open(8 * kMiB);
  ASSERT_TRUE(put({.hash = 7, .bytes = 256 * kKiB}).is_ok());
  const auto pin = read({.hash = 7});
  for (uint64_t i = 100; i < 200; ++i)
    ASSERT_TRUE(put({.hash = i, .bytes = 256 * kKiB}).is_ok());
  EXPECT_TRUE(has({.hash = 7}));
  EXPECT_GT(x_tier->usage().evicted_blocks, 50u);
  EXPECT_LE(x_tier->usage().memory_bytes, 8 * kMiB);
}

TEST_F(DramTierTest, TheGenerationRisesWithEachUseOfASlot) {
  open(8 * kMiB);
  std::map<uint64_t, uint64_t> newest;  // by address
  for (uint64_t i = 1; i < 200; ++i) {
    auto slot = reserve(make_put({.hash = i, .bytes = 256 * kKiB}));
    ASSERT_TRUE(slot);
    const auto address = reinterpret_cast<uint64_t>(slot->bytes().data());
    EXPECT_EQ(address % kPayloadAlignBytes, 0u);
    x_tier->publish(std::move(*slot));
    const uint64_t generation = x_added.back().generation.value;
    EXPECT_GT(generation, newest[address]);
    newest[address] = generation;
  }
}

TEST_F(DramTierTest, TheAnchorsRules) {
  open(64 * kMiB);
  ASSERT_TRUE(put({.hash = 1}).is_ok());
  ASSERT_TRUE(put({.hash = 2, .anchor = 1, .index = 1}).is_ok());
  EXPECT_EQ(put({.hash = 3, .anchor = 1, .index = 1}).code(), Code::extent_full);
  EXPECT_EQ(put({.hash = 3, .anchor = 1, .index = 32}).code(), Code::extent_full);
  EXPECT_EQ(put({.hash = 3, .anchor = 1, .index = 0}).code(), Code::invalid_argument);
  EXPECT_TRUE(put({.hash = 3, .parent = 2}).is_ok());
  EXPECT_EQ(put({.hash = 4, .bytes = kBlockBytesMax + 1}).code(), Code::invalid_argument);
}

TEST_F(DramTierTest, BlocksOfAllSizesHaveAPlace) {
  open(256 * kMiB);
  uint64_t hash = 1;
  for (const uint64_t bytes : {uint64_t{1}, 4 * kKiB, 257 * kKiB, 2 * kMiB, 17 * kMiB, 64 * kMiB})
    EXPECT_TRUE(put({.hash = hash++, .bytes = bytes}).is_ok()) << bytes;
  const auto pin = read({.hash = 6});
  ASSERT_TRUE(pin);
  EXPECT_EQ(pin->bytes().size(), 64 * kMiB);
}

TEST_F(DramTierTest, ABlockThatNeverFitsIsToldSo) {
  open(24 * kMiB);
  const Status told = put({.hash = 1, .bytes = 64 * kMiB});
  EXPECT_EQ(told.code(), Code::invalid_argument);
  EXPECT_NE(told.message().find("dram"), std::string::npos);
}

TEST_F(DramTierTest, SlabsMoveBetweenSizes) {
  open(44 * kMiB);
  for (uint64_t i = 1; i <= 3000; ++i)
    ASSERT_TRUE(put({.hash = i}).is_ok());
  for (uint64_t i = 10'000; i < 10'040; ++i)
    ASSERT_TRUE(put({.hash = i, .bytes = 2 * kMiB}).is_ok()) << i;
  EXPECT_TRUE(has({.hash = 10'039}));
  EXPECT_LE(x_tier->usage().memory_bytes, 44 * kMiB);
}

// A model with blocks of another size comes to a server full of what nobody reads any more.
TEST_F(DramTierTest, ANewSizeGetsTheMemoryOfWhatNobodyTouches) {
  open(8 * 18 * kMiB + 4 * kMiB);
  uint64_t number = 0;
  for (int i = 0; i < 4000; ++i)
    ASSERT_TRUE(put({.hash = ++number, .bytes = 64 * kKiB}).is_ok());
  for (int i = 0; i < 1000; ++i)
    ASSERT_TRUE(put({.hash = ++number, .bytes = 300 * kKiB}).is_ok());
  const uint64_t first = number + 1;
  for (int i = 0; i < 160; ++i)
    ASSERT_TRUE(put({.hash = ++number, .bytes = 640 * kKiB}).is_ok());
  for (uint64_t i = first; i <= number; ++i)
    EXPECT_TRUE(has({.hash = i})) << i - first << " of 160";
}

// The oldest of all lies where no other size can use the room: what is read all the time must not
// pay for that.
TEST_F(DramTierTest, WhatIsReadStaysWhereASliverIsOld) {
  open(8 * 18 * kMiB + 4 * kMiB);
  std::vector<uint64_t> hot;
  for (uint64_t i = 1; i <= 1000; ++i) {
    ASSERT_TRUE(put({.hash = i, .bytes = 64 * kKiB}).is_ok());
    if (i > 100) hot.push_back(i);
  }
  for (uint64_t i = 0; i < 1500; ++i) {
    ASSERT_TRUE(put({.hash = 10'000 + i, .bytes = 640 * kKiB}).is_ok());
    for (size_t k = 0; k < 40; ++k)
      (void)read({.hash = hot[(i * 40 + k) % hot.size()]});
  }
  const auto there =
      std::count_if(hot.begin(), hot.end(), [&](uint64_t hash) { return has({.hash = hash}); });
  EXPECT_GT(there, 800) << "of 900";
}

// Views may stay for as long as they like.
TEST_F(DramTierTest, APinnedBlockCostsItsNeighboursNothing) {
  open(8 * 18 * kMiB + 4 * kMiB);
  std::vector<Pin> pins;
  for (uint64_t i = 1; i <= 200; ++i) {
    ASSERT_TRUE(put({.hash = i, .bytes = 300 * kKiB}).is_ok());
    auto pin = read({.hash = i});
    ASSERT_TRUE(pin);
    if (i % 20 == 0) pins.push_back(std::move(*pin));
  }
  for (uint64_t i = 0; i < 600; ++i)
    ASSERT_TRUE(put({.hash = 10'000 + i, .bytes = 640 * kKiB}).is_ok());
  for (uint64_t i = 1001; i <= 1020; ++i)
    ASSERT_TRUE(put({.hash = i, .bytes = 300 * kKiB}).is_ok());
  for (uint64_t i = 0; i < 10; ++i)
    ASSERT_TRUE(put({.hash = 20'000 + i, .bytes = 640 * kKiB}).is_ok());
  for (uint64_t i = 1001; i <= 1020; ++i)
    EXPECT_TRUE(has({.hash = i})) << "new, and its slab holds old ones that are viewed";
}

// Two models side by side: neither is pushed out by the other.
TEST_F(DramTierTest, SizesInEqualUseLiveEquallyLong) {
  open(8 * 18 * kMiB + 4 * kMiB);
  uint64_t number = 0;
  // As many bytes of either, in turn; as much as fits three times.
  for (int i = 0; i < 240; ++i) {
    ASSERT_TRUE(put({.hash = ++number, .bytes = 2 * kMiB}).is_ok());
    for (int j = 0; j < 8; ++j)
      ASSERT_TRUE(put({.hash = ++number, .bytes = 256 * kKiB}).is_ok());
  }
  const auto held = [&](uint64_t step) {
    uint64_t there = 0;
    for (uint64_t i = number; i > number - 9 * 20; --i)
      there += i % 9 == step && has({.hash = i}) ? 1 : 0;
    return there;
  };
  // The last 20 rounds are 80 MiB of 144.
  EXPECT_GE(held(1), 18u);
  EXPECT_GE(held(5), 18u);
}

TEST_F(DramTierTest, ADomainTakesOnlyFromThoseAboveTheirShare) {
  open(44 * kMiB);
  for (uint64_t i = 1; i <= 200; ++i)
    ASSERT_TRUE(put({.hash = i, .tenant = 1}).is_ok());
  for (uint64_t i = 1; i <= 6000; ++i)
    ASSERT_TRUE(put({.hash = i, .tenant = 2}).is_ok());
  for (uint64_t i = 1; i <= 200; ++i)
    ASSERT_TRUE(has({.hash = i, .tenant = 1})) << i;
  for (uint64_t i = 300; i <= 900; ++i)
    ASSERT_TRUE(put({.hash = i, .tenant = 1}).is_ok()) << i;
  EXPECT_TRUE(has({.hash = 900, .tenant = 1}));
}

TEST_F(DramTierTest, ADomainStaysUnderItsCap) {
  open(128 * kMiB, 24 * kMiB);
  for (uint64_t i = 1; i <= 4000; ++i)
    ASSERT_TRUE(put({.hash = i}).is_ok());
  EXPECT_LE(x_tier->usage().memory_bytes, 24 * kMiB);
  EXPECT_TRUE(has({.hash = 4000}));
}

TEST_F(DramTierTest, WhatWasHitOutlivesAScan) {
  open(24 * kMiB);
  for (uint64_t i = 1; i <= 50; ++i)
    ASSERT_TRUE(put({.hash = i}).is_ok());
  for (int round = 0; round < 2; ++round) {
    for (uint64_t i = 1; i <= 50; ++i)
      ASSERT_TRUE(read({.hash = i}));
  }
  for (uint64_t i = 1000; i < 4000; ++i)
    ASSERT_TRUE(put({.hash = i}).is_ok());
  for (uint64_t i = 1; i <= 50; ++i)
    EXPECT_TRUE(has({.hash = i})) << i;
}

TEST_F(DramTierTest, RemovesATenantsSpace) {
  open(64 * kMiB);
  for (uint64_t i = 1; i <= 10; ++i) {
    ASSERT_TRUE(put({.hash = i, .tenant = 1}).is_ok());
    ASSERT_TRUE(put({.hash = i, .tenant = 2}).is_ok());
  }
  EXPECT_EQ(x_tier->remove_all(make_put({.hash = 1}).header.key.tenant, {}), 10u);
  EXPECT_FALSE(has({.hash = 1, .tenant = 1}));
  EXPECT_TRUE(has({.hash = 1, .tenant = 2}));
  EXPECT_EQ(x_tier->usage().blocks, 10u);
}

TEST_F(DramTierTest, AScanShowsEachBlockOnce) {
  open(64 * kMiB);
  for (uint64_t i = 1; i <= 300; ++i)
    ASSERT_TRUE(put({.hash = i}).is_ok());
  std::multiset<std::string> seen;
  PositionRange range{{0}, {UINT64_MAX}};
  int steps = 0;
  while (true) {
    const auto next = x_tier->scan(range, 16, [&](const block::BlockHeader& header) {
      seen.insert(block::to_hex(header.key.hash));
    });
    ++steps;
    if (!next) break;
    EXPECT_GT(*next, range.first);
    range.first = *next;
  }
  EXPECT_EQ(seen.size(), 300u);
  EXPECT_EQ(std::set<std::string>(seen.begin(), seen.end()).size(), 300u);
  EXPECT_GE(steps, 15);
}

TEST_F(DramTierTest, AFailedReservationLeavesItsSeat) {
  open(64 * kMiB);
  fault::arm("store.reserve", {});
  EXPECT_EQ(put({.hash = 1}).code(), Code::overloaded);
  fault::disarm_all();
  EXPECT_TRUE(put({.hash = 1}).is_ok());
}

// Random chains that fork, reads, pins and removals under a small cap: of the blocks that eviction
// took, none went while a child of it that knew its parent was still there or being put.
class ChainProperty : public DramTierTest, public ::testing::WithParamInterface<uint32_t> {
 protected:
  struct Node {
    PutSpec spec;
    uint64_t parent = 0;
    uint32_t depth_in_extent = 0;
  };

  void add_random(uint64_t hash) {
    Node node;
    node.spec = {.hash = hash, .bytes = 128 * kKiB};
    if (!x_nodes.empty() && x_random() % 8 != 0) extend(node);
    x_nodes[hash] = node;
    x_here.insert(hash);
    if (!reserve_and_publish(node.spec)) {
      x_here.erase(hash);
      x_nodes.erase(hash);
    }
  }

  // Continues a random block: in its extent if it is the last there, else by a new extent.
  void extend(Node& node) {
    const auto parent = std::next(x_nodes.begin(), static_cast<long>(x_random() % x_nodes.size()));
    const Node& up = parent->second;
    node.parent = x_here.contains(up.spec.hash) ? up.spec.hash : 0;
    node.spec.parent = up.spec.hash;
    if (x_random() % 3 == 0) return;
    node.spec.anchor = up.spec.anchor == 0 ? up.spec.hash : up.spec.anchor;
    node.spec.index = up.spec.index + 1;
  }

  bool reserve_and_publish(const PutSpec& spec) {
    auto slot = reserve(make_put(spec));
    check_evictions();
    if (!slot) {
      EXPECT_TRUE(slot.error().code() == Code::extent_full ||
                  slot.error().code() == Code::overloaded)
          << slot.error().to_string();
      return false;
    }
    x_tier->publish(std::move(*slot));
    return true;
  }

  void check_evictions() {
    for (const auto& header : x_removed) {
      uint64_t gone = 0;
      std::memcpy(&gone, header.key.hash.bytes.data(), 8);
      x_here.erase(gone);
      for (const uint64_t left : x_here)
        ASSERT_NE(x_nodes[left].parent, gone) << "child " << left << " outlived its parent";
    }
    x_removed.clear();
  }

  std::mt19937_64 x_random{GetParam()};
  std::map<uint64_t, Node> x_nodes;
  std::set<uint64_t> x_here;
};

TEST_P(ChainProperty, NoParentGoesBeforeItsChild) {
  open(8 * kMiB);
  std::vector<Pin> pins;
  for (uint64_t hash = 1; hash <= 1500; ++hash) {
    add_random(hash);
    if (x_random() % 4 == 0 && !x_here.empty()) {
      const auto some = std::next(x_here.begin(), static_cast<long>(x_random() % x_here.size()));
      auto pin = read({.hash = *some});
      ASSERT_TRUE(pin);
      pins.push_back(std::move(*pin));
    }
    if (pins.size() > 3) pins.erase(pins.begin());
  }
  EXPECT_GT(x_tier->usage().evicted_blocks, 500u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, ChainProperty, ::testing::Range(1u, 9u));

}  // namespace
}  // namespace tarn::store
