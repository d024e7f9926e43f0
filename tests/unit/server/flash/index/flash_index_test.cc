// The index of flash against a plain map, from one thread and from several.
#include "server/flash/index/flash_index.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/units.h"

namespace tarn::flash {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint8_t kDrives = 2;
constexpr uint32_t kRegions = 5;

block::BlockKey key_of(uint64_t number, uint8_t tenant = 1, uint8_t space = 1) {
  block::BlockKey key;
  key.tenant.bytes[0] = tenant;
  key.space.bytes[0] = space;
  key.hash = block::BlockHash::from("block " + std::to_string(number)).value();
  return key;
}

TenantId tenant_of(uint8_t number) {
  return key_of(0, number).tenant;
}
SpaceId space_of(uint8_t number) {
  return key_of(0, 1, number).space;
}

FlashPlace place_at(uint64_t region, uint64_t page, uint64_t bytes = 100'000) {
  return {0, static_cast<uint32_t>(region), page * kPage, (page - 1) * kPage, bytes};
}

class FlashIndexTest : public testing::Test {
 protected:
  FlashIndexTest() {
    for (uint8_t drive = 0; drive < kDrives; ++drive)
      x_index.add_drive(drive, kRegions);
  }
  FlashIndex x_index;
};

TEST_F(FlashIndexTest, a_place_comes_back_as_it_was_put) {
  // The largest of everything.
  const FlashPlace last = {1, kRegions - 1, 32767 * kPage, (32767 - 16384) * kPage, kBlockBytesMax};
  EXPECT_TRUE(x_index.put(key_of(1), last, {}));
  EXPECT_EQ(x_index.find(key_of(1)), last);
  EXPECT_EQ(x_index.hit(key_of(1)), last);
  EXPECT_FALSE(x_index.find(key_of(2)));
  EXPECT_FALSE(x_index.hit(key_of(2)));
}

TEST_F(FlashIndexTest, hits_are_counted_up_to_their_limit_and_begin_anew_elsewhere) {
  const FlashPlace first = place_at(0, 2), second = place_at(1, 2);
  x_index.put(key_of(1), first, {});
  for (int i = 0; i < 40; ++i)
    EXPECT_EQ(x_index.hit(key_of(1)), first);
  EXPECT_EQ(x_index.hits_at(key_of(1), first), FlashIndex::kHitsMax);
  EXPECT_FALSE(x_index.hits_at(key_of(1), second));
  EXPECT_EQ(x_index.use_of(0, 0).hits, 40u);
  x_index.halve_hits(0, 0);
  EXPECT_EQ(x_index.use_of(0, 0).hits, 20u);
  ASSERT_TRUE(x_index.move(key_of(1), first, second));
  EXPECT_EQ(x_index.hits_at(key_of(1), second), 0);
  EXPECT_EQ(x_index.use_of(0, 0).live_blocks, 0u);
  EXPECT_EQ(x_index.use_of(0, 1).live_bytes, 100'000u);
}

// Between the look and the move of a block others may remove it, or put it elsewhere.
TEST_F(FlashIndexTest, only_what_lies_there_still_is_moved) {
  EXPECT_FALSE(x_index.move(key_of(1), place_at(0, 2), place_at(1, 2)));
  EXPECT_EQ(x_index.blocks(), 0u);
  x_index.put(key_of(1), place_at(2, 2), {});
  EXPECT_FALSE(x_index.move(key_of(1), place_at(0, 2), place_at(1, 2)));
  EXPECT_EQ(x_index.find(key_of(1)), place_at(2, 2));
}

TEST_F(FlashIndexTest, a_floor_removes_what_was_put_before_it_and_no_later_one) {
  x_index.put(key_of(1, 1, 1), place_at(0, 2), {3});
  x_index.put(key_of(1, 1, 2), place_at(0, 40), {3});
  x_index.put(key_of(1, 2, 1), place_at(0, 80), {3});
  EXPECT_EQ(x_index.erase_all(tenant_of(1), space_of(2), {4}), 1u);
  EXPECT_TRUE(x_index.find(key_of(1, 1, 1)));
  EXPECT_EQ(x_index.erase_all(tenant_of(1), SpaceId{}, {5}), 1u);
  EXPECT_TRUE(x_index.find(key_of(1, 2, 1)));
  // What was on its way under the old epoch comes too late; the tenant begins anew under the new.
  EXPECT_FALSE(x_index.put(key_of(1, 1, 1), place_at(1, 2), {4}));
  EXPECT_FALSE(x_index.find(key_of(1, 1, 1)));
  EXPECT_TRUE(x_index.put(key_of(1, 1, 1), place_at(1, 2), {5}));
  // Each lane tells of the floor, some later than others.
  EXPECT_EQ(x_index.erase_all(tenant_of(1), SpaceId{}, {5}), 0u);
  EXPECT_TRUE(x_index.find(key_of(1, 1, 1)));
  EXPECT_EQ(x_index.blocks(), 2u);
}

TEST_F(FlashIndexTest, a_region_goes_as_a_whole) {
  for (uint64_t i = 0; i < 50; ++i)
    x_index.put(key_of(i), place_at(i % 2, 2 + i * 30), {});
  EXPECT_EQ(x_index.erase_region(0, 1), 25u);
  EXPECT_EQ(x_index.use_of(0, 1).live_blocks, 0u);
  EXPECT_EQ(x_index.use_of(0, 0).live_blocks, 25u);
  EXPECT_FALSE(x_index.find(key_of(1)));
  EXPECT_TRUE(x_index.find(key_of(2)));
}

// What the index is: a map with sums over it.
class Model {
 public:
  explicit Model(FlashIndex& index) : x_index(index) {}

  void step(std::mt19937_64& random) {
    const block::BlockKey key = key_of(random() % 40, static_cast<uint8_t>(1 + random() % 3),
                                       static_cast<uint8_t>(1 + random() % 2));
    switch (random() % 12) {
      case 0:
      case 1:
      case 2:
      case 3:
        return put(key, draw_place(random));
      case 4:
      case 5:
        return hit(key);
      case 6:
        EXPECT_EQ(x_index.erase(key), x_rows.erase(key) == 1);
        return;
      case 7:
        return erase_at(key, draw_place(random));
      case 8:
        return move(key, draw_place(random), draw_place(random));
      case 9:
        return erase_region(draw_place(random));
      case 10:
        return floor(key, random() % 3 == 0);
      default:
        return check();
    }
  }

  void check() {
    std::map<std::pair<uint8_t, uint32_t>, RegionUse> uses;
    uint64_t bytes = 0;
    for (const auto& [key, row] : x_rows) {
      EXPECT_EQ(x_index.find(key), row.place);
      EXPECT_EQ(x_index.hits_at(key, row.place), row.hits);
      RegionUse& use = uses[{row.place.drive, row.place.region}];
      use.live_blocks += 1;
      use.live_bytes += row.place.bytes;
      bytes += row.place.bytes;
    }
    for (uint8_t drive = 0; drive < kDrives; ++drive)
      for (uint32_t region = 0; region < kRegions; ++region) {
        EXPECT_EQ(x_index.use_of(drive, region).live_blocks, (uses[{drive, region}].live_blocks));
        EXPECT_EQ(x_index.use_of(drive, region).live_bytes, (uses[{drive, region}].live_bytes));
      }
    EXPECT_EQ(x_index.blocks(), x_rows.size());
    EXPECT_EQ(x_index.payload_bytes(), bytes);
  }

 private:
  struct Row {
    FlashPlace place;
    uint8_t hits = 0;
  };

  // Few enough that a block is met where it lies.
  static FlashPlace draw_place(std::mt19937_64& random) {
    const uint64_t page = 2 + random() % 3;
    return {static_cast<uint8_t>(random() % kDrives), static_cast<uint32_t>(random() % kRegions),
            page * kPage, (page - 1) * kPage, 1 + random() % kBlockBytesMax};
  }
  static bool is_same(const FlashPlace& a, const FlashPlace& b) {
    return a.drive == b.drive && a.region == b.region && a.offset == b.offset;
  }

  Epoch floor_of(const block::BlockKey& key) {
    return std::max(x_floors[{key.tenant, SpaceId{}}], x_floors[{key.tenant, key.space}]);
  }

  void put(const block::BlockKey& key, const FlashPlace& place) {
    // Now and then under an epoch that a floor has overtaken.
    const Epoch put_in = {x_epoch - (place.bytes % 2)};
    const bool is_refused = put_in < floor_of(key);
    EXPECT_EQ(x_index.put(key, place, put_in), !is_refused && !x_rows.contains(key));
    if (!is_refused) x_rows[key] = {place, 0};
  }
  void hit(const block::BlockKey& key) {
    const auto found = x_rows.find(key);
    const auto place = x_index.hit(key);
    EXPECT_EQ(place.has_value(), found != x_rows.end());
    if (found == x_rows.end()) return;
    EXPECT_EQ(*place, found->second.place);
    found->second.hits = std::min<uint8_t>(found->second.hits + 1, FlashIndex::kHitsMax);
  }
  void erase_at(const block::BlockKey& key, const FlashPlace& place) {
    const auto found = x_rows.find(key);
    const bool is_there = found != x_rows.end() && is_same(found->second.place, place);
    EXPECT_EQ(x_index.erase(key, place), is_there);
    if (is_there) x_rows.erase(found);
  }
  void move(const block::BlockKey& key, const FlashPlace& from, const FlashPlace& to) {
    const auto found = x_rows.find(key);
    const bool is_there = found != x_rows.end() && is_same(found->second.place, from);
    EXPECT_EQ(x_index.move(key, from, to), is_there);
    if (is_there) found->second = {to, 0};
  }
  void erase_region(const FlashPlace& place) {
    const auto gone = std::erase_if(x_rows, [&](const auto& each) {
      return each.second.place.drive == place.drive && each.second.place.region == place.region;
    });
    EXPECT_EQ(x_index.erase_region(place.drive, place.region), gone);
  }
  void floor(const block::BlockKey& key, bool is_of_tenant) {
    const SpaceId space = is_of_tenant ? SpaceId{} : key.space;
    const auto gone = std::erase_if(x_rows, [&](const auto& each) {
      return each.first.tenant == key.tenant && (is_of_tenant || each.first.space == key.space);
    });
    x_floors[{key.tenant, space}] = {++x_epoch};
    EXPECT_EQ(x_index.erase_all(key.tenant, space, {x_epoch}), gone);
  }

  FlashIndex& x_index;
  std::map<block::BlockKey, Row> x_rows;
  std::map<std::pair<TenantId, SpaceId>, Epoch> x_floors;
  uint64_t x_epoch = 1;
};

TEST_F(FlashIndexTest, is_a_map_with_sums) {
  Model model(x_index);
  std::mt19937_64 random(7);
  for (int i = 0; i < 40'000 && !HasFailure(); ++i)
    model.step(random);
  model.check();
}

// Lanes look up and remove while drives put and move: the sums are those of what is left.
TEST_F(FlashIndexTest, threads_do_not_lose_count) {
  constexpr uint64_t kKeys = 200;
  const auto work = [this](uint64_t seed) {
    std::mt19937_64 random(seed);
    for (int i = 0; i < 20'000; ++i) {
      const auto key = key_of(random() % kKeys, static_cast<uint8_t>(1 + random() % 2));
      const auto place = place_at(random() % kRegions, 2 + random() % 4, 1 + random() % 1000);
      const uint64_t what = random() % 100;
      if (what < 40) {
        x_index.put(key, place, {UINT64_MAX});
      } else if (what < 70) {
        const auto from = x_index.hit(key);
        if (from) x_index.move(key, *from, place);
      } else if (what < 98) {
        const auto at = x_index.find(key);
        if (at) x_index.erase(key, *at);
      } else if (what < 99) {
        x_index.erase_region(0, place.region);
      } else {
        x_index.erase_all(key.tenant, SpaceId{}, {static_cast<uint64_t>(i)});
      }
    }
  };
  std::vector<std::thread> threads;
  for (uint64_t seed = 1; seed <= 4; ++seed)
    threads.emplace_back(work, seed);
  for (std::thread& thread : threads)
    thread.join();
  uint64_t blocks = 0, bytes = 0, live = 0;
  for (uint64_t i = 0; i < kKeys; ++i)
    for (uint8_t tenant = 1; tenant <= 2; ++tenant)
      if (const auto place = x_index.find(key_of(i, tenant))) ++blocks, bytes += place->bytes;
  for (uint32_t region = 0; region < kRegions; ++region)
    live += x_index.use_of(0, region).live_bytes;
  EXPECT_EQ(x_index.blocks(), blocks);
  EXPECT_EQ(x_index.payload_bytes(), bytes);
  EXPECT_EQ(live, bytes);
}

TEST_F(FlashIndexTest, a_million_blocks_take_64_bytes_each_at_most) {
  constexpr uint64_t kBlocks = 1'000'000;
  block::BlockKey key = key_of(0);
  uint64_t most = 0;
  for (uint64_t i = 1; i <= kBlocks; ++i) {
    std::memcpy(key.hash.bytes.data(), &i, sizeof(i));
    x_index.put(key, place_at(i % kRegions, 2 + i % 30'000), {});
    // Behind the first ones, whose tables are hardly there.
    if (i % 50'000 == 0) most = std::max(most, x_index.memory_bytes() / i);
  }
  EXPECT_EQ(x_index.blocks(), kBlocks);
  EXPECT_LE(x_index.memory_bytes(), 64 * kBlocks);
  EXPECT_LE(most, 64u);
}

}  // namespace
}  // namespace tarn::flash
