// What the data path allocates once it is warm, counted: what docs/BUDGETS.md promises.
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "benchmarks/micro/data_path.h"

extern "C" {
void* __libc_malloc(size_t bytes);
void* __libc_calloc(size_t count, size_t bytes);
void* __libc_realloc(void* memory, size_t bytes);
// In place of glibc's, so that what libraries take counts as well; operator new calls the first.
void* take(size_t bytes) asm("malloc");
void* take_zeroed(size_t count, size_t bytes) asm("calloc");
void* take_more(void* memory, size_t bytes) asm("realloc");
}

namespace {

thread_local uint64_t g_allocations = 0;

}  // namespace

void* take(size_t bytes) {
  ++g_allocations;
  return __libc_malloc(bytes);
}
void* take_zeroed(size_t count, size_t bytes) {
  ++g_allocations;
  return __libc_calloc(count, bytes);
}
void* take_more(void* memory, size_t bytes) {
  ++g_allocations;
  return __libc_realloc(memory, bytes);
}

namespace tarn::micro {
namespace {

constexpr uint64_t kBlockBytes = 4096;
constexpr uint64_t kWarm = 300;
constexpr uint64_t kCounted = 1000;

// Allocations of this thread in so many calls of `step`, which is told which one it is.
uint64_t count(const std::function<void(uint64_t)>& step, uint64_t calls = kCounted) {
  for (uint64_t number = 0; number < kWarm; ++number)
    step(number);
  const uint64_t before = g_allocations;
  for (uint64_t number = kWarm; number < kWarm + calls; ++number)
    step(number);
  return g_allocations - before;
}

TEST(DataPathAllocations, AreCounted) {
  const uint64_t before = g_allocations;
  const std::vector<int> memory(100);
  EXPECT_EQ(g_allocations, before + 1);
}

TEST(DataPathAllocations, AGetOverALinkMakesNoneOnEitherSide) {
  DataPath path(kBlockBytes);
  path.fill(0, 16);
  EXPECT_EQ(count([&](uint64_t number) { ASSERT_EQ(path.link_get(number % 16), Code::ok); }), 0u);
}

TEST(DataPathAllocations, AMissOverALinkMakesNoneOnEitherSide) {
  DataPath path(kBlockBytes);
  EXPECT_EQ(count([&](uint64_t number) { ASSERT_EQ(path.link_get(number), Code::not_found); }), 0u);
}

TEST(DataPathAllocations, ALaneAdmitsAndFindsWithoutOne) {
  DataPath path(kBlockBytes);
  path.fill(0, 16);
  path.make_request(1);
  EXPECT_EQ(count([&](uint64_t number) {
              ASSERT_TRUE(path.admit());
              ASSERT_TRUE(path.find(number % 16));
              path.turn_lane();
            }),
            0u);
}

TEST(DataPathAllocations, AnAdmittedGetIsServedWithoutOne) {
  DataPath path(kBlockBytes);
  path.fill(0, 16);
  EXPECT_EQ(count([&](uint64_t number) { path.serve(number % 16); }), 0u);
}

// What the index keeps of a block is made when it comes, and goes when it goes. Tables that grow
// are made now and then.
TEST(DataPathAllocations, APutOverALinkMakesThoseOfItsIndexRow) {
  DataPath path(kBlockBytes);
  const uint64_t made = count([&](uint64_t number) { ASSERT_EQ(path.link_put(number), Code::ok); });
  EXPECT_LE(made, 9 * kCounted);
}

// A call of the SDK makes its transfer, and each block a place for its scatter list.
struct OfACall {
  fabric::Kind fabric;
  uint32_t blocks;
  uint64_t made_max;
};

class DataPathAllocationsOfACall : public testing::TestWithParam<OfACall> {};

TEST_P(DataPathAllocationsOfACall, AreThoseOfItsTransfer) {
  const OfACall& call = GetParam();
  DataPath path(kBlockBytes, call.fabric);
  path.fill(0, DataPath::kBatch);
  const uint64_t made =
      count([&](uint64_t) { ASSERT_EQ(path.get(0, call.blocks), Outcome::ok); }, kCounted / 10);
  EXPECT_LE(made, call.made_max * (kCounted / 10));
}

INSTANTIATE_TEST_SUITE_P(Gets, DataPathAllocationsOfACall,
                         testing::Values(OfACall{fabric::Kind::loop, 1, 15},
                                         OfACall{fabric::Kind::loop, 64, 85},
                                         OfACall{fabric::Kind::local, 1, 17},
                                         OfACall{fabric::Kind::local, 64, 170}));

}  // namespace
}  // namespace tarn::micro
