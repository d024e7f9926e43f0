#include "common/memory/slab.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include <gtest/gtest.h>

#include "common/base/fault_point.h"
#include "common/base/units.h"
#include "common/memory/size_class.h"
#include "common/memory/slab_pool.h"

namespace tarn::memory {
namespace {

TEST(Slab, IsZeroedWritableAndSealed) {
  auto opened = Slab::open({.bytes = kSlabBytesMin});
  ASSERT_TRUE(opened) << opened.error().to_string();
  const Slab& slab = **opened;
  const auto memory = slab.memory();
  EXPECT_TRUE(std::all_of(memory.begin(), memory.end(), [](auto b) { return b == std::byte{0}; }));
  memory[123] = std::byte{7};
  EXPECT_EQ(::ftruncate(slab.fd(), 0), -1);
  EXPECT_EQ(::mmap(nullptr, 4096, PROT_WRITE, MAP_SHARED, slab.fd(), 0), MAP_FAILED);
  void* view = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, slab.fd(), 0);
  ASSERT_NE(view, MAP_FAILED);
  EXPECT_EQ(static_cast<const std::byte*>(view)[123], std::byte{7});
  EXPECT_EQ(::mprotect(view, 4096, PROT_READ | PROT_WRITE), -1);
  ::munmap(view, 4096);
}

TEST(Slab, RefusesSizesAndKindsInWords) {
  EXPECT_EQ(Slab::open({.bytes = kMiB}).error().code(), Code::invalid_argument);
  EXPECT_EQ(Slab::open({.bytes = 68 * kMiB}).error().code(), Code::invalid_argument);
  EXPECT_EQ(Slab::open({.bytes = 5 * kMiB}).error().code(), Code::invalid_argument);
  const auto cuda = Slab::open({.bytes = kSlabBytesMin, .kind = MemoryKind::cuda});
  EXPECT_EQ(cuda.error().code(), Code::unsupported);
  EXPECT_NE(cuda.error().message().find("no CUDA support"), std::string::npos);
}

TEST(Slab, IdsAreNeverUsedAgain) {
  const uint64_t first = (*Slab::open({.bytes = kSlabBytesMin}))->id();
  EXPECT_NE((*Slab::open({.bytes = kSlabBytesMin}))->id(), first);
}

TEST(SlabPool, KeepsShelvesFull) {
  auto pool = SlabPool::open({.shelves = {{kMixedSlabBytes, 2}}});
  ASSERT_TRUE(pool);
  ASSERT_TRUE((*pool)->wait_until_full(Millis(10'000)).is_ok());
  EXPECT_EQ((*pool)->ready_bytes(), 2 * kMixedSlabBytes);
  auto a = (*pool)->take(kMixedSlabBytes);
  auto b = (*pool)->take(kMixedSlabBytes);
  ASSERT_TRUE(a && b);
  EXPECT_NE((*a)->id(), (*b)->id());
  ASSERT_TRUE((*pool)->wait_until_full(Millis(10'000)).is_ok());
  EXPECT_TRUE((*pool)->take(kMixedSlabBytes));
}

TEST(SlabPool, ASizeWithoutShelfIsOverloadedThenReady) {
  auto pool = SlabPool::open({});
  ASSERT_TRUE(pool);
  EXPECT_EQ((*pool)->take(kClassSlabBytes).error().code(), Code::overloaded);
  ASSERT_TRUE((*pool)->wait_until_full(Millis(10'000)).is_ok());
  auto slab = (*pool)->take(kClassSlabBytes);
  ASSERT_TRUE(slab);
  EXPECT_EQ((*slab)->bytes(), kClassSlabBytes);
  (*pool)->drop(std::move(*slab));
}

TEST(SlabPool, SaysWhyItHasNothing) {
  fault::arm("memory.slab_open", {.times = 0});
  auto pool = SlabPool::open({.shelves = {{kMixedSlabBytes, 1}}});
  ASSERT_TRUE(pool);
  EXPECT_EQ((*pool)->wait_until_full(Millis(50)).code(), Code::overloaded);
  EXPECT_EQ((*pool)->take(kMixedSlabBytes).error().code(), Code::overloaded);
  fault::disarm_all();
  EXPECT_TRUE((*pool)->wait_until_full(Millis(10'000)).is_ok());
}

TEST(SlabPool, RefusesCudaAndOddShelves) {
  EXPECT_EQ(SlabPool::open({.kind = MemoryKind::cuda}).error().code(), Code::unsupported);
  EXPECT_EQ(SlabPool::open({.shelves = {{kMiB, 1}}}).error().code(), Code::invalid_argument);
}

}  // namespace
}  // namespace tarn::memory
