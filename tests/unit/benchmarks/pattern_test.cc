#include "benchmarks/load/pattern.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace tarn::load {
namespace {

TEST(PatternTest, KnowsItsOwnBytesAndNoOthers) {
  for (const size_t bytes : {1u, 7u, 8u, 9u, 4096u, 65'537u}) {
    std::vector<std::byte> block(bytes);
    fill(block, 5);
    EXPECT_TRUE(is_filled(block, 5)) << bytes;
    block[bytes - 1] ^= std::byte{1};
    EXPECT_FALSE(is_filled(block, 5)) << bytes;
  }
}

TEST(PatternTest, ABlockIsNotAnother) {
  std::vector<std::byte> block(64);
  fill(block, 5);
  EXPECT_FALSE(is_filled(block, 6));
}

TEST(PatternTest, ZerosAreNoBlock) {
  const std::vector<std::byte> zeros(4096);
  for (uint64_t number = 0; number < 100; ++number)
    EXPECT_FALSE(is_filled(zeros, number)) << number;
}

TEST(PatternTest, HashesAreDistinctAnd32Bytes) {
  std::set<BlockHash> hashes;
  for (uint64_t run = 0; run < 3; ++run) {
    for (uint64_t number = 0; number < 1000; ++number) {
      hashes.insert(hash_of(run, number));
      EXPECT_EQ(hash_of(run, number).size(), 32u);
    }
  }
  EXPECT_EQ(hashes.size(), 3000u);
}

TEST(PatternTest, RunsDiffer) {
  EXPECT_NE(fresh_run(), fresh_run());
}

}  // namespace
}  // namespace tarn::load
