// Random work on one tier, against what its own events say and what was asked of it.
#include <deque>
#include <map>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "common/base/fault_point.h"
#include "tests/unit/server/store/tier_rig.h"

namespace tarn::store {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kSteps = 1200;
#else
constexpr int kSteps = 6000;
#endif

// Names a block: tenant, shard, hash.
using Name = std::tuple<uint8_t, uint32_t, uint64_t>;

Name name_of(const block::BlockHeader& header) {
  return {header.key.tenant.bytes[0], header.key.shard.value, number_of(header.key.hash)};
}

block::BlockKey key_of(const Name& name) {
  return key_of(
      PutSpec{.hash = std::get<2>(name), .tenant = std::get<0>(name), .shard = std::get<1>(name)});
}

class TierModel : public testing::TestWithParam<uint32_t> {
 protected:
  static constexpr uint64_t kCap = 44 * kMiB;

  void SetUp() override {
    x_rig = TierRig::open(kCap);
    x_rig->also_on_change = [this](const BlockChange& change) { note(change); };
  }
  void TearDown() override { fault::disarm_all(); }

  struct Known {
    block::BlockHeader header;
    uint64_t generation = 0;
  };

  // The model is what the events say.
  void note(const BlockChange& change) {
    const Name name = name_of(change.header);
    if (change.removed) {
      const auto found = x_visible.find(name);
      ASSERT_NE(found, x_visible.end()) << "removed without ever being announced";
      EXPECT_EQ(found->second.header.generation, change.header.generation);
      x_visible.erase(found);
      ++x_removals;
      return;
    }
    ASSERT_TRUE(x_visible.emplace(name, Known{change.header, 0}).second) << "announced twice";
  }

  uint64_t pick(uint64_t below) { return x_random() % below; }

  PutSpec random_spec() {
    static constexpr uint64_t kSizes[] = {1, 4 * kKiB, 16 * kKiB, 100 * kKiB, 300 * kKiB, kMiB};
    PutSpec spec{.hash = 1 + pick(400), .bytes = kSizes[pick(6)]};
    spec.tenant = static_cast<uint8_t>(1 + pick(3));
    spec.shard = static_cast<uint32_t>(pick(2));
    return spec;
  }

  void put_one() {
    const PutSpec spec = random_spec();
    const Name name{spec.tenant, spec.shard, spec.hash};
    const bool was_there = x_visible.contains(name);
    const bool is_on_its_way = x_reserved.contains(name);
    auto slot = x_rig->reserve(make_put(spec));
    if (was_there || is_on_its_way) {
      ASSERT_FALSE(slot);
      EXPECT_EQ(slot.error().code(), was_there ? Code::exists : Code::conflict);
      return;
    }
    if (!slot) {
      EXPECT_EQ(slot.error().code(), Code::overloaded) << slot.error().to_string();
      EXPECT_FALSE(x_pins.empty() && x_reserved.empty()) << "nothing was in the way";
      return;
    }
    std::memset(slot->bytes().data(), static_cast<int>(spec.hash & 0xff), slot->bytes().size());
    x_reserved.emplace(name, std::move(*slot));
    if (pick(4) != 0) publish_one();
  }

  void publish_one() {
    const auto some = std::next(x_reserved.begin(), static_cast<long>(pick(x_reserved.size())));
    if (pick(10) != 0) {
      x_rig->tier->publish(std::move(some->second));
      EXPECT_TRUE(x_visible.contains(some->first));
    }
    x_reserved.erase(some);  // abandons it otherwise
  }

  void read_one() {
    const PutSpec spec = random_spec();
    const Name name{spec.tenant, spec.shard, spec.hash};
    auto pin = x_rig->read(key_of(name));
    ASSERT_EQ(pin.has_value(), x_visible.contains(name));
    if (!pin) return;
    EXPECT_EQ(pin->header().generation, x_visible.at(name).header.generation);
    if (pick(3) == 0) x_pins.push_back({name, std::move(*pin)});
    if (x_pins.size() > 6) x_pins.pop_front();
  }

  void remove_one() {
    const PutSpec spec = random_spec();
    const Name name{spec.tenant, spec.shard, spec.hash};
    const Code code = x_rig->tier->remove(key_of(name)).code();
    if (x_reserved.contains(name)) {
      EXPECT_EQ(code, Code::conflict);
    } else {
      EXPECT_TRUE(code == Code::ok || code == Code::not_found);
    }
    EXPECT_FALSE(x_visible.contains(name));
  }

  void remove_tenant() {
    const auto tenant = static_cast<uint8_t>(1 + pick(3));
    TenantId id;
    id.bytes[0] = tenant;
    const auto of_tenant = [tenant](const auto& entry) {
      return std::get<0>(entry.first) == tenant;
    };
    const auto expected = std::count_if(x_visible.begin(), x_visible.end(), of_tenant);
    EXPECT_EQ(x_rig->tier->remove_all(id, {}), static_cast<uint64_t>(expected));
    EXPECT_EQ(std::count_if(x_visible.begin(), x_visible.end(), of_tenant), 0);
  }

  void step() {
    const uint64_t dice = pick(1000);
    if (dice < 550) {
      put_one();
    } else if (dice < 850) {
      read_one();
    } else if (dice < 950) {
      if (!x_reserved.empty()) publish_one();
    } else if (dice < 997) {
      remove_one();
    } else {
      remove_tenant();
    }
  }

  void check_pins() {
    for (const auto& [name, pin] : x_pins) {
      const auto expected = static_cast<std::byte>(std::get<2>(name) & 0xff);
      EXPECT_EQ(name_of(pin.header()), name);
      ASSERT_EQ(pin.bytes().size(), pin.header().payload_bytes);
      EXPECT_EQ(pin.bytes().front(), expected) << "bytes changed under a reader";
      EXPECT_EQ(pin.bytes().back(), expected);
    }
  }

  void check_usage() {
    const TierUsage usage = x_rig->tier->usage();
    uint64_t payload = 0;
    for (const auto& [name, known] : x_visible)
      payload += known.header.payload_bytes;
    EXPECT_EQ(usage.blocks, x_visible.size());
    EXPECT_EQ(usage.payload_bytes, payload);
    EXPECT_LE(usage.memory_bytes, kCap);
    EXPECT_LE(usage.payload_bytes, usage.memory_bytes);
  }

  // Everything, by look-up and by scan.
  void check_all() {
    for (uint64_t hash = 1; hash <= 400; ++hash) {
      for (uint8_t tenant = 1; tenant <= 3; ++tenant) {
        const Name name{tenant, static_cast<uint32_t>(hash % 2), hash};
        ASSERT_EQ(x_rig->tier->find(key_of(name)) != nullptr, x_visible.contains(name));
      }
    }
    std::set<Name> seen;
    PositionRange range{{0}, {UINT64_MAX}};
    while (true) {
      const auto next = x_rig->tier->scan(range, 7, [&](const block::BlockHeader& header) {
        EXPECT_TRUE(seen.insert(name_of(header)).second) << "shown twice";
      });
      if (!next) break;
      ASSERT_GT(*next, range.first);
      range.first = *next;
    }
    ASSERT_EQ(seen.size(), x_visible.size());
    for (const auto& [name, known] : x_visible)
      EXPECT_TRUE(seen.contains(name));
  }

  std::mt19937_64 x_random{GetParam()};
  std::map<Name, Known> x_visible;
  uint64_t x_removals = 0;
  std::unique_ptr<TierRig> x_rig;
  std::map<Name, Slot> x_reserved;
  struct Held {
    Name name;
    Pin pin;
  };
  std::deque<Held> x_pins;
};

TEST_P(TierModel, HoldsExactlyWhatItsEventsSay) {
  SCOPED_TRACE("seed " + std::to_string(GetParam()));
  // Longer where the seed shows too little.
  const auto has_seen = [&] { return x_rig->tier->usage().evicted_blocks > 50; };
  for (int i = 0; i < kSteps || (!has_seen() && i < 10 * kSteps); ++i) {
    step();
    if (i % 20 == 0) check_pins();
    if (i % 50 == 0) check_usage();
    if (i % 500 == 0) check_all();
    if (HasFailure()) FAIL() << "step " << i;
  }
  check_all();
  EXPECT_GT(x_rig->tier->usage().evicted_blocks, 50u);
  EXPECT_GE(x_removals, x_rig->tier->usage().evicted_blocks) << "an eviction without an event";
}

TEST_P(TierModel, AFailedReservationChangesNothing) {
  for (int i = 0; i < 300; ++i)
    step();
  const auto before = x_visible.size();
  const TierUsage usage = x_rig->tier->usage();
  fault::arm("store.reserve", {.times = 0});
  for (uint64_t hash = 1000; hash < 1100; ++hash) {
    EXPECT_EQ(x_rig->tier->reserve(make_put({.hash = hash})).error().code(), Code::overloaded);
  }
  fault::disarm_all();
  EXPECT_EQ(x_visible.size(), before);
  EXPECT_EQ(x_rig->tier->usage().memory_bytes, usage.memory_bytes);
  check_all();
}

INSTANTIATE_TEST_SUITE_P(Seeds, TierModel, testing::Range(1u, 5u));

// What one put may push out, and what it must leave alone.
TEST(TierEdges, NothingGoesWhileThereIsRoom) {
  auto rig = TierRig::open(64 * kMiB);
  for (uint64_t hash = 1; hash <= 150; ++hash)
    ASSERT_TRUE(rig->put({.hash = hash}).is_ok());
  EXPECT_EQ(rig->tier->usage().evicted_blocks, 0u);
  for (uint64_t hash = 1; hash <= 150; ++hash)
    EXPECT_TRUE(rig->has({.hash = hash}));
}

TEST(TierEdges, AFullTierOfPinnedBlocksIsOverloadedAndSaysSo) {
  auto rig = TierRig::open(8 * kMiB);
  std::vector<Pin> pins;
  Status status;
  uint64_t hash = 0;
  while (status.is_ok() && hash < 1000) {
    const PutSpec spec{.hash = ++hash, .bytes = 256 * kKiB};
    status = rig->put(spec);
    if (status.is_ok()) pins.push_back(std::move(*rig->read(key_of(spec))));
  }
  EXPECT_EQ(status.code(), Code::overloaded);
  EXPECT_NE(status.message().find("in use"), std::string::npos) << status.message();
  EXPECT_EQ(rig->tier->usage().evicted_blocks, 0u);
  pins.erase(pins.begin());
  EXPECT_TRUE(rig->put({.hash = hash, .bytes = 256 * kKiB}).is_ok()) << "one unpinned is enough";
}

// What was asked for goes only when nothing else can, but then it does.
TEST(TierEdges, AChainThatIsBeingPutDoesNotHideWhatMayGo) {
  auto rig = TierRig::open(8 * kMiB);
  const PutSpec kept{.hash = 1'000'000, .bytes = 256 * kKiB};
  ASSERT_TRUE(rig->put(kept).is_ok());
  for (int i = 0; i < 3; ++i)
    ASSERT_TRUE(rig->read(key_of(kept)));
  const auto chain = [](uint64_t depth) {
    return PutSpec{.hash = 1 + depth, .parent = depth, .bytes = 256 * kKiB};
  };
  uint64_t depth = 0;
  while (rig->tier->usage().evicted_blocks == 0)
    ASSERT_TRUE(rig->put(chain(depth++)).is_ok()) << depth;
  EXPECT_FALSE(rig->has(kept));
  EXPECT_EQ(rig->put(chain(depth)).code(), Code::overloaded) << "now nothing is left";
  for (uint64_t i = 0; i < depth; ++i)
    EXPECT_TRUE(rig->has(chain(i))) << i;
}

// The slab with fewest blocks is all of the chain that wants room in another size.
TEST(TierEdges, ASlabThatIsStuckDoesNotHideTheNextOne) {
  constexpr uint64_t kLarge = 2 * kMiB;
  auto rig = TierRig::open(2 * memory::slab_bytes_of(memory::size_class_of(kLarge)));
  uint64_t hash = 1'000'000;
  const auto slabs = [&] { return rig->tier->usage().memory_bytes; };
  ASSERT_TRUE(rig->put({.hash = ++hash, .bytes = kLarge}).is_ok());
  for (const uint64_t one = slabs(); slabs() == one;)
    ASSERT_TRUE(rig->put({.hash = ++hash, .bytes = kLarge}).is_ok());
  ASSERT_TRUE(rig->tier->remove(key_of(PutSpec{.hash = hash})).is_ok());
  ASSERT_TRUE(rig->put({.hash = 1, .bytes = kLarge}).is_ok());
  const PutSpec next{.hash = 2, .anchor = 1, .index = 1, .parent = 1, .bytes = 16 * kMiB};
  ASSERT_TRUE(rig->put(next).is_ok());
  EXPECT_TRUE(rig->has({.hash = 1, .bytes = kLarge}));
}

TEST(TierEdges, TheExtentTableIsBounded) {
  DramTierOptions options;
  options.memory.cap_bytes = 64 * kMiB;
  options.extents_max = 10;
  TierRig rig(std::move(options));
  for (uint64_t hash = 1; hash <= 10; ++hash)
    ASSERT_TRUE(rig.put({.hash = hash}).is_ok());
  const Status refused = rig.put({.hash = 11});
  EXPECT_EQ(refused.code(), Code::overloaded);
  EXPECT_NE(refused.message().find("extent table"), std::string::npos);
  EXPECT_TRUE(rig.put({.hash = 12, .anchor = 1, .index = 1}).is_ok()) << "a block of one it has";
  ASSERT_TRUE(rig.tier->remove(key_of(PutSpec{.hash = 5})).is_ok());
  EXPECT_TRUE(rig.put({.hash = 11}).is_ok());
}

TEST(TierEdges, SizesAtTheirLimits) {
  auto rig = TierRig::open(128 * kMiB);
  struct {
    uint64_t bytes;
    Code code;
  } const cases[] = {{0, Code::invalid_argument},
                     {1, Code::ok},
                     {kPayloadAlignBytes - 1, Code::ok},
                     {kPayloadAlignBytes, Code::ok},
                     {kPayloadAlignBytes + 1, Code::ok},
                     {memory::kMixedBlockBytesMax, Code::ok},
                     {memory::kMixedBlockBytesMax + 1, Code::ok},
                     {kBlockBytesMax - 1, Code::ok},
                     {kBlockBytesMax, Code::ok},
                     {kBlockBytesMax + 1, Code::invalid_argument}};
  uint64_t hash = 1;
  for (const auto& each : cases) {
    const PutSpec spec{.hash = hash++, .bytes = each.bytes};
    EXPECT_EQ(rig->put(spec).code(), each.code) << each.bytes;
    if (each.code == Code::ok) {
      EXPECT_EQ(rig->read(key_of(spec))->bytes().size(), each.bytes);
    }
  }
}

TEST(TierEdges, AllShardsOfABlockStandAtOneIndex) {
  auto rig = TierRig::open(64 * kMiB);
  for (uint32_t shard = 0; shard < 4; ++shard)
    ASSERT_TRUE(rig->put({.hash = 1, .shard = shard}).is_ok());
  EXPECT_EQ(rig->put({.hash = 2, .anchor = 1, .index = 1, .shard = 3}).code(), Code::ok);
  EXPECT_EQ(rig->put({.hash = 3, .anchor = 1, .index = 1, .shard = 0}).code(), Code::extent_full);
  // The seat is free again only when the last shard has gone.
  for (uint32_t shard = 0; shard < 4; ++shard) {
    EXPECT_TRUE(rig->has({.hash = 1, .shard = shard}));
    ASSERT_TRUE(rig->tier->remove(key_of(PutSpec{.hash = 1, .shard = shard})).is_ok());
  }
  EXPECT_TRUE(rig->has({.hash = 2, .anchor = 1, .index = 1, .shard = 3}));
}

}  // namespace
}  // namespace tarn::store
