#include "common/memory/buddy.h"

#include <map>
#include <random>

#include <gtest/gtest.h>

namespace tarn::memory {
namespace {

TEST(Buddy, GivesAlignedRunsAndJoinsThemAgain) {
  Buddy buddy(16);
  const auto a = buddy.allocate(1);
  const auto b = buddy.allocate(3);
  ASSERT_TRUE(a && b);
  EXPECT_EQ(*b % 4, 0u);
  EXPECT_FALSE(buddy.allocate(16));
  buddy.release(*a);
  buddy.release(*b);
  EXPECT_TRUE(buddy.is_empty());
  EXPECT_EQ(buddy.allocate(16), 0u);
}

TEST(Buddy, UsesEveryUnitOfAnOddCount) {
  Buddy buddy(978);
  uint32_t count = 0;
  while (buddy.allocate(1))
    ++count;
  EXPECT_EQ(count, 978u);
  EXPECT_EQ(buddy.free_units(), 0u);
}

TEST(Buddy, RefusesMoreThanItsLargestRun) {
  Buddy buddy(10);
  EXPECT_FALSE(buddy.allocate(9));
  EXPECT_FALSE(buddy.allocate(1000));
  EXPECT_TRUE(buddy.allocate(8));
}

// Random allocations and frees: runs never overlap, and all comes back.
TEST(Buddy, RunsNeverOverlap) {
  std::mt19937_64 random(7);
  Buddy buddy(977);
  std::vector<int> owner(977, -1);
  std::map<uint32_t, uint32_t> live;  // first -> length
  for (int step = 0; step < 20000; ++step) {
    if (random() % 2 == 0 || live.empty()) {
      const uint32_t units = 1 + static_cast<uint32_t>(random() % 40);
      const auto first = buddy.allocate(units);
      if (!first) continue;
      for (uint32_t u = *first; u < *first + units; ++u) {
        ASSERT_LT(u, owner.size());
        ASSERT_EQ(owner[u], -1);
        owner[u] = step;
      }
      live[*first] = units;
    } else {
      auto victim = std::next(live.begin(), static_cast<long>(random() % live.size()));
      for (uint32_t u = victim->first; u < victim->first + victim->second; ++u)
        owner[u] = -1;
      buddy.release(victim->first);
      live.erase(victim);
    }
  }
  for (const auto& [first, units] : live)
    buddy.release(first);
  EXPECT_TRUE(buddy.is_empty());
  EXPECT_EQ(buddy.free_units(), 977u);
}

TEST(BuddyDeathTest, FreeingTwiceIsABug) {
  Buddy buddy(8);
  const auto a = buddy.allocate(2);
  buddy.release(*a);
  EXPECT_DEATH(buddy.release(*a), "check failed");
}

}  // namespace
}  // namespace tarn::memory
