// Buddy against the plainest model of it: one flag for each unit.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <map>
#include <numeric>
#include <random>
#include <vector>

#include "common/memory/buddy.h"

namespace tarn::memory {
namespace {

class Model {
 public:
  explicit Model(uint32_t units) : x_taken(units) {}

  // A run that is free, of the power of two that holds `units`, aligned to its length: the lowest
  // of the smallest piece of free memory that has one, as little memory as possible being split.
  bool has_run(uint32_t units) const {
    const uint32_t length = std::bit_ceil(units);
    for (uint64_t first = 0; first + length <= x_taken.size(); first += length) {
      if (is_free(static_cast<uint32_t>(first), length)) return true;
    }
    return false;
  }

  void take(uint32_t first, uint32_t units) {
    const uint32_t length = std::bit_ceil(units);
    ASSERT_EQ(first % length, 0u) << "not aligned to its length";
    ASSERT_LE(uint64_t{first} + length, x_taken.size());
    ASSERT_TRUE(is_free(first, length)) << "runs overlap at " << first;
    std::fill_n(x_taken.begin() + first, length, true);
    x_runs[first] = length;
  }

  void give_back(uint32_t first) {
    std::fill_n(x_taken.begin() + first, x_runs.at(first), false);
    x_runs.erase(first);
  }

  const std::map<uint32_t, uint32_t>& runs() const { return x_runs; }
  uint32_t free_units() const {
    return static_cast<uint32_t>(std::count(x_taken.begin(), x_taken.end(), false));
  }

 private:
  bool is_free(uint32_t first, uint32_t length) const {
    const auto begin = x_taken.begin() + first;
    return std::find(begin, begin + length, true) == begin + length;
  }

  std::vector<bool> x_taken;
  std::map<uint32_t, uint32_t> x_runs;
};

// It fails only when the model has no such run either: neighbours that were freed in any order are
// one run again.
TEST(BuddyModel, AllocatesExactlyWhenThereIsARun) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    const uint32_t units = 1 + static_cast<uint32_t>(random() % 200);
    Buddy buddy(units);
    Model model(units);
    for (int step = 0; step < 600; ++step) {
      // Phases of filling up and of emptying.
      const bool takes = random() % 10 < (step / 100 % 2 == 0 ? 8u : 3u);
      if (takes || model.runs().empty()) {
        const uint32_t wanted = 1 + static_cast<uint32_t>(random() % (random() % 4 == 0 ? 64 : 6));
        const bool expected = model.has_run(wanted);
        const auto first = buddy.allocate(wanted);
        ASSERT_EQ(first.has_value(), expected) << wanted << " units in step " << step;
        if (first) model.take(*first, wanted);
      } else {
        const auto victim =
            std::next(model.runs().begin(), static_cast<long>(random() % model.runs().size()));
        const uint32_t first = victim->first;
        buddy.release(first);
        model.give_back(first);
      }
      if (HasFatalFailure()) return;
      ASSERT_EQ(buddy.free_units(), model.free_units());
      ASSERT_EQ(buddy.is_empty(), model.runs().empty());
    }
  }
}

// Filled with runs of one size, then freed in any order, it is whole: as many of the largest runs
// as when it was new.
TEST(BuddyModel, AllFreedIsOnePieceAgain) {
  std::mt19937_64 random(3);
  for (const uint32_t units : {1u, 2u, 64u, 100u, 977u, 1024u}) {
    for (uint32_t size = 1; size <= units; size *= 2) {
      Buddy buddy(units);
      std::vector<uint32_t> firsts;
      while (const auto first = buddy.allocate(size))
        firsts.push_back(*first);
      EXPECT_EQ(firsts.size(), units / size) << size << " of " << units;
      EXPECT_FALSE(buddy.allocate(size));
      std::shuffle(firsts.begin(), firsts.end(), random);
      for (const uint32_t first : firsts)
        buddy.release(first);
      EXPECT_TRUE(buddy.is_empty());
      const uint32_t largest = std::bit_floor(units);
      EXPECT_EQ(buddy.allocate(largest), 0u) << size << " of " << units;
      EXPECT_EQ(buddy.free_units(), units - largest);
    }
  }
}

TEST(BuddyModel, AFullOneRefusesUntilEnoughIsFreedInOnePlace) {
  Buddy buddy(8);
  std::vector<uint32_t> firsts;
  while (const auto first = buddy.allocate(1))
    firsts.push_back(*first);
  ASSERT_EQ(firsts.size(), 8u);
  // Every second unit: half is free, and no two units together.
  for (uint32_t unit = 0; unit < 8; unit += 2)
    buddy.release(unit);
  EXPECT_EQ(buddy.free_units(), 4u);
  EXPECT_FALSE(buddy.allocate(2));
  buddy.release(3);
  EXPECT_EQ(buddy.allocate(2), 2u);
}

TEST(BuddyModelDeathTest, WhatWasNeverGivenCannotComeBack) {
  Buddy buddy(8);
  ASSERT_EQ(buddy.allocate(4), 0u);
  EXPECT_DEATH(buddy.release(1), "check failed") << "the middle of a run";
  EXPECT_DEATH(buddy.release(8), "check failed") << "past the end";
  EXPECT_DEATH((void)buddy.allocate(0), "check failed");
}

}  // namespace
}  // namespace tarn::memory
