#include <gtest/gtest.h>

#include <malloc.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <vector>

#include "tests/unit/router/index/blocks.h"

namespace tarn::index {
namespace {

constexpr uint32_t kBlocks = 10'000'000;

block::BlockHash numbered(uint64_t number) {
  block::BlockHash hash;
  hash.size = 32;
  for (size_t i = 0; i < 8; ++i)
    hash.bytes[i] = static_cast<uint8_t>(number >> (8 * i));
  return hash;
}

// So many blocks in extents of `length`, on `copies` servers.
void fill(Index& index, uint32_t length, uint32_t copies, uint32_t blocks = kBlocks) {
  std::vector<BlockEvent> events;
  for (uint32_t i = 0; i < blocks; ++i) {
    StoredBlock block;
    block.tenant = kAcme;
    block.space = kSpace;
    block.hash = numbered(i);
    block.anchor = numbered(i / length * length);
    block.index = i % length;
    block.bytes = 1 << 20;
    events.push_back({block, false});
    if (events.size() < 4096 && i + 1 < blocks) continue;
    for (uint32_t server = 1; server <= copies; ++server)
      index.apply(index.attach({server}), events);
    events.clear();
  }
}

// What the process holds, whoever gave it the memory.
double resident_bytes() {
  malloc_trim(0);
  uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages >> pages;
  return static_cast<double>(pages) * static_cast<double>(sysconf(_SC_PAGESIZE));
}

double bytes_per_block(uint32_t length, uint32_t copies, uint32_t blocks = kBlocks) {
  const double before = resident_bytes();
  Index index(42);
  const auto start = std::chrono::steady_clock::now();
  fill(index, length, copies, blocks);
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
  EXPECT_EQ(index.stats().blocks, blocks);
  const double measured = (resident_bytes() - before) / blocks;
  const double counted = double(index.stats().memory_bytes) / blocks;
  std::printf("extents of %u, %u copies: %.1f bytes a block (counted %.1f), %.0f ns an event\n",
              length, copies, measured, counted, spent.count() * 1e9 / blocks / copies);
  EXPECT_NEAR(measured, counted, measured / 5);
  return measured;
}

TEST(Memory, ten_million_blocks_take_about_thirty_bytes_each) {
  EXPECT_LT(bytes_per_block(32, 1), 30);
  EXPECT_LT(bytes_per_block(12, 1), 40);
  EXPECT_LT(bytes_per_block(32, 2), 35);
}

TEST(Memory, blocks_of_a_flat_space_take_at_most_sixty_four_on_one_server) {
  EXPECT_LT(bytes_per_block(1, 1), 64);
}

// Nothing shares the body that names the second server.
TEST(Memory, blocks_of_a_flat_space_take_about_190_on_two) {
  const double bytes = bytes_per_block(1, 2, kBlocks / 5);
  EXPECT_GT(bytes, 150);
  EXPECT_LT(bytes, 220);
}

TEST(Memory, a_full_match_takes_less_than_a_millisecond) {
  Index index(42);
  fill(index, 32, 1);
  std::vector<block::BlockHash> hashes;
  for (uint64_t i = 0; i < 8192; ++i)
    hashes.push_back(numbered(4'000'000 + i));
  std::vector<double> micros;
  for (int round = 0; round < 200; ++round) {
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(index.match({kAcme, kSpace, hashes, {}}).matched, 8192u);
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
    micros.push_back(spent.count() * 1e6);
  }
  std::sort(micros.begin(), micros.end());
  std::printf("match of 8,192 among %u: median %.0f us, p99 %.0f us\n", kBlocks, micros[100],
              micros[198]);
  EXPECT_LT(micros[100], 1000);
}

}  // namespace
}  // namespace tarn::index
