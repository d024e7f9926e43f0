// The pool under takers that race, and at its limits.
#include "common/memory/slab_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <set>
#include <thread>

#include "common/base/fault_point.h"
#include "common/base/units.h"
#include "common/memory/size_class.h"
#include "tests/unit/until.h"

namespace tarn::memory {
namespace {

constexpr Millis kLong{10'000};

class PoolTest : public testing::Test {
 protected:
  void TearDown() override { fault::disarm_all(); }

  static std::unique_ptr<SlabPool> open(std::vector<Shelf> shelves) {
    return SlabPool::open({.shelves = std::move(shelves), .prefault = false}).value();
  }
};

TEST_F(PoolTest, NoSlabIsGivenTwice) {
  constexpr int kTakers = 4;
  auto pool = open({{kMixedSlabBytes, 4}});
  std::barrier start(kTakers);
  std::array<std::vector<std::unique_ptr<Slab>>, kTakers> taken;
  std::atomic<int> left = 60;
  std::vector<std::thread> takers;
  for (auto& mine : taken) {
    takers.emplace_back([&] {
      start.arrive_and_wait();
      while (left > 0) {
        auto slab = pool->take(kMixedSlabBytes);
        if (!slab) {
          EXPECT_EQ(slab.error().code(), Code::overloaded);
          EXPECT_TRUE(pool->wait_until_full(kLong).is_ok());
          continue;
        }
        --left;
        // Half of them come back at once, on the thread that took them.
        if (mine.size() % 2 == 1) pool->drop(std::move(mine.back()));
        mine.push_back(std::move(*slab));
      }
    });
  }
  for (std::thread& taker : takers)
    taker.join();
  std::set<uint64_t> ids;
  std::set<const std::byte*> places;
  size_t count = 0;
  for (const auto& mine : taken) {
    for (const auto& slab : mine) {
      if (slab == nullptr) continue;
      ++count;
      ids.insert(slab->id());
      places.insert(slab->memory().data());
    }
  }
  EXPECT_EQ(ids.size(), count);
  EXPECT_EQ(places.size(), count);
}

TEST_F(PoolTest, SlabsAheadAreMadeInTheBackgroundAndNotAgain) {
  auto pool = open({{kMixedSlabBytes, 1}, {kClassSlabBytes, 2, 3}});
  const uint64_t all = kMixedSlabBytes + 5 * kClassSlabBytes;
  ASSERT_TRUE(until([&] { return pool->ready_bytes() == all; }));
  std::vector<std::unique_ptr<Slab>> taken;
  for (uint64_t count = 1; count <= 3; ++count) {
    taken.push_back(pool->take(kClassSlabBytes).value());
    ASSERT_TRUE(pool->wait_until_full(kLong).is_ok());
    EXPECT_EQ(pool->ready_bytes(), all - count * kClassSlabBytes);
  }
  // From here on the shelf is filled again.
  taken.push_back(pool->take(kClassSlabBytes).value());
  EXPECT_TRUE(until([&] { return pool->ready_bytes() == all - 3 * kClassSlabBytes; }));
}

TEST_F(PoolTest, OtherSizesCountAgainstSlabsAhead) {
  auto pool = open({{kMixedSlabBytes, 1}, {kClassSlabBytes, 1, 8}});
  const uint64_t all = kMixedSlabBytes + 9 * kClassSlabBytes;
  ASSERT_TRUE(until([&] { return pool->ready_bytes() == all; }));
  uint64_t taken_bytes = 0;
  std::vector<std::unique_ptr<Slab>> taken;
  for (const uint64_t bytes : {kMixedSlabBytes, kSlabBytesMax}) {
    while (true) {
      auto slab = pool->take(bytes);
      if (slab) {
        taken.push_back(*std::move(slab));
        break;
      }
      EXPECT_EQ(slab.error().code(), Code::overloaded);
      std::this_thread::sleep_for(Millis(1));
    }
    taken_bytes += bytes;
    EXPECT_LE(pool->ready_bytes() + taken_bytes, all);
    ASSERT_TRUE(pool->wait_until_full(kLong).is_ok());
    EXPECT_LE(pool->ready_bytes() + taken_bytes, all);
    EXPECT_GT(pool->ready_bytes() + taken_bytes, all - 2 * kClassSlabBytes);
  }
}

TEST_F(PoolTest, SlabsAheadGoWhereThereIsNoMemoryForWhatIsNeeded) {
  auto pool = open({{kClassSlabBytes, 1, 4}});
  ASSERT_TRUE(until([&] { return pool->ready_bytes() == 5 * kClassSlabBytes; }));
  fault::arm("memory.slab_open", {.times = 0});
  EXPECT_FALSE(pool->take(kSlabBytesMax));
  EXPECT_TRUE(until([&] { return pool->ready_bytes() == kClassSlabBytes; }));
  fault::disarm_all();
  EXPECT_TRUE(until([&] { return pool->take(kSlabBytesMax).has_value(); }));
}

TEST_F(PoolTest, WhereThereIsNoMemoryForSlabsAheadTheShelvesAreServed) {
  fault::arm("memory.slab_open", {.skip = 2});
  auto pool = open({{kClassSlabBytes, 2, 4}});
  ASSERT_TRUE(pool->wait_until_full(kLong).is_ok());
  ASSERT_TRUE(until([] { return fault::hits("memory.slab_open") >= 3; }));
  fault::disarm_all();
  EXPECT_EQ(pool->ready_bytes(), 2 * kClassSlabBytes);
  // No more than the shelf any more.
  auto slab = pool->take(kClassSlabBytes);
  ASSERT_TRUE(slab);
  EXPECT_TRUE(until([&] { return pool->ready_bytes() == 2 * kClassSlabBytes; }));
  ASSERT_TRUE(pool->wait_until_full(kLong).is_ok());
}

TEST_F(PoolTest, WhatLiesReadyIsWhatTheShelvesSay) {
  auto pool = open({{kMixedSlabBytes, 2}, {kClassSlabBytes, 1}, {kSlabBytesMax, 0}});
  const uint64_t full = 2 * kMixedSlabBytes + kClassSlabBytes;
  for (int round = 0; round < 5; ++round) {
    ASSERT_TRUE(pool->wait_until_full(kLong).is_ok());
    EXPECT_EQ(pool->ready_bytes(), full);
    auto slab = pool->take(round % 2 == 0 ? kMixedSlabBytes : kClassSlabBytes);
    ASSERT_TRUE(slab);
    pool->drop(std::move(*slab));
  }
}

// Whoever asks again and again for a size without a shelf has one made, not one for each try.
TEST_F(PoolTest, OneIsMadeForManyWishes) {
  auto pool = open({});
  fault::arm("memory.slab_open", {.times = 0});
  for (int i = 0; i < 20; ++i) {
    const auto refused = pool->take(kSlabBytesMax);
    ASSERT_EQ(refused.status().code(), Code::overloaded);
    EXPECT_NE(refused.status().message().find("66 MiB"), std::string::npos);
  }
  fault::disarm_all();
  ASSERT_TRUE(pool->wait_until_full(kLong).is_ok());
  EXPECT_EQ(pool->ready_bytes(), kSlabBytesMax);
}

// Past the limit they go at once, on the thread that drops them: none is kept for ever.
TEST_F(PoolTest, MoreDroppedThanMayWaitAreLetGoAtOnce) {
  std::vector<std::unique_ptr<Slab>> slabs;
  for (size_t i = 0; i < SlabPool::kDroppedMax + 8; ++i)
    slabs.push_back(Slab::open({.bytes = kSlabBytesMin, .prefault = false}).value());
  auto pool = open({});
  for (auto& slab : slabs)
    pool->drop(std::move(slab));
  EXPECT_EQ(pool->ready_bytes(), 0u) << "a dropped slab is nobody's again";
}

TEST_F(PoolTest, ATakenSlabOutlivesThePool) {
  auto pool = open({{kMixedSlabBytes, 1}});
  ASSERT_TRUE(pool->wait_until_full(kLong).is_ok());
  auto slab = pool->take(kMixedSlabBytes).value();
  pool.reset();
  slab->memory()[17] = std::byte{1};
  EXPECT_EQ(slab->memory()[17], std::byte{1});
}

TEST_F(PoolTest, ItGoesWhileItHasNoMemory) {
  fault::arm("memory.slab_open", {.times = 0});
  auto pool = open({{kMixedSlabBytes, 1}});
  EXPECT_EQ(pool->wait_until_full(Millis(0)).is_ok(), false);
  pool.reset();
}

TEST_F(PoolTest, AWaitHasAnEnd) {
  fault::arm("memory.slab_open", {.action = fault::Action::hang, .delay_ms = 200});
  auto pool = open({{kMixedSlabBytes, 1}});
  EXPECT_EQ(pool->wait_until_full(Millis(1)).code(), Code::deadline_exceeded);
  EXPECT_TRUE(pool->wait_until_full(kLong).is_ok());
}

}  // namespace
}  // namespace tarn::memory
