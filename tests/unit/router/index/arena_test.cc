#include "router/index/arena.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <random>

namespace tarn::index {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

class Pieces : public testing::Test {
 protected:
  // Pieces that overlap show in each other's bytes.
  void take(size_t bytes) {
    auto* const piece = static_cast<unsigned char*>(arena.take(bytes));
    ASSERT_EQ(reinterpret_cast<uintptr_t>(piece) % 64, 0u);
    const auto mark = static_cast<unsigned char>(++marks);
    std::memset(piece, mark, bytes);
    pieces[piece] = {bytes, mark};
    in_use += bytes;
  }
  void give(std::map<unsigned char*, std::pair<size_t, unsigned char>>::iterator at) {
    const auto [bytes, mark] = at->second;
    for (size_t i = 0; i < bytes; ++i)
      ASSERT_EQ(at->first[i], mark) << "byte " << i << " of " << bytes;
    arena.give(at->first, bytes);
    in_use -= bytes;
    pieces.erase(at);
  }

  Arena arena;
  std::map<unsigned char*, std::pair<size_t, unsigned char>> pieces;
  uint32_t marks = 0;
  size_t in_use = 0;
};

TEST_F(Pieces, none_overlaps_another_however_they_come_and_go) {
  std::mt19937_64 random(11);
  for (int step = 0; step < 20'000; ++step) {
    if (pieces.empty() || random() % 9 < 5) {
      const bool is_small = random() % 4 != 0;
      take(1 + random() % (is_small ? 700 : 40'000));
    } else {
      const auto at = pieces.lower_bound(reinterpret_cast<unsigned char*>(
          reinterpret_cast<uintptr_t>(pieces.begin()->first) + random() % arena.memory_bytes()));
      give(at == pieces.end() ? pieces.begin() : at);
    }
    if (HasFatalFailure()) FAIL() << "at step " << step;
  }
  EXPECT_LE(in_use, arena.memory_bytes());
  while (!pieces.empty())
    give(pieces.begin());
}

TEST_F(Pieces, an_arena_that_nobody_asked_takes_nothing) {
  EXPECT_EQ(arena.memory_bytes(), 0u);
  take(1);
  EXPECT_EQ(arena.memory_bytes(), kHugePage);
}

TEST_F(Pieces, one_larger_than_a_huge_page_is_a_piece_like_any_other) {
  take(3 * kHugePage + 1);
  EXPECT_EQ(arena.memory_bytes(), 4 * kHugePage);
  take(kHugePage - 64);
  EXPECT_EQ(arena.memory_bytes(), 4 * kHugePage) << "what was left of it is used";
}

TEST_F(Pieces, small_ones_are_handed_out_again) {
  for (int round = 0; round < 50; ++round) {
    for (int i = 0; i < 1000; ++i)
      take(320);
    while (!pieces.empty())
      give(pieces.begin());
  }
  EXPECT_EQ(arena.memory_bytes(), kHugePage);
}

// As tables that grow do: each to one and a half of what it was, and gives the old one back.
TEST_F(Pieces, what_many_have_given_back_serves_larger_ones) {
  constexpr size_t kTables = 64;
  size_t bytes = 2048;
  for (size_t i = 0; i < kTables; ++i)
    take(bytes);
  while (bytes < 200'000) {
    const size_t larger = bytes / 64 * 3 / 2 * 64;
    for (size_t i = 0; i < kTables; ++i) {
      const auto old = std::find_if(pieces.begin(), pieces.end(), [bytes](const auto& each) {
        return each.second.first == bytes;
      });
      take(larger);
      give(old);
    }
    bytes = larger;
  }
  EXPECT_LT(arena.memory_bytes(), 2 * in_use + in_use / 2);
}

}  // namespace
}  // namespace tarn::index
