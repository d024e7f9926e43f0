#include "server/store/slot_allocator.h"

#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "common/base/units.h"

namespace tarn::store {
namespace {

constexpr DomainId kOne{{1}};
constexpr DomainId kTwo{{2}};

class SlotAllocatorTest : public testing::Test {
 protected:
  void open(uint64_t cap_bytes, uint64_t domain_cap_bytes = 0) {
    x_pool = std::move(*memory::SlabPool::open(
        {.shelves = {{memory::kMixedSlabBytes, 2}, {memory::kClassSlabBytes, 2}},
         .prefault = false}));
    SlotAllocatorOptions options;
    options.pool = x_pool.get();
    options.cap_bytes = cap_bytes;
    options.domain_cap_bytes = domain_cap_bytes;
    options.on_slab = [this](const memory::Slab& slab, const DomainId&) {
      x_registered.insert(slab.id());
    };
    options.on_slab_gone = [this](const memory::Slab& slab) { x_registered.erase(slab.id()); };
    x_memory = std::make_unique<SlotAllocator>(options);
  }

  Status grow(const DomainId& domain, uint64_t bytes) {
    EXPECT_TRUE(x_pool->wait_until_full(Millis(10'000)).is_ok());
    return x_memory->grow(domain, bytes);
  }

  // Slots until the domain's slabs are full.
  std::vector<SlotRef> fill(const DomainId& domain, uint64_t bytes) {
    std::vector<SlotRef> slots;
    while (auto slot = x_memory->allocate(domain, bytes, this))
      slots.push_back(*slot);
    return slots;
  }

  std::unique_ptr<memory::SlabPool> x_pool;
  std::set<uint64_t> x_registered;
  std::unique_ptr<SlotAllocator> x_memory;
};

TEST_F(SlotAllocatorTest, NothingWithoutASlab) {
  open(64 * kMiB);
  EXPECT_FALSE(x_memory->allocate(kOne, 100, this));
  EXPECT_TRUE(x_memory->may_grow(kOne, 100));
}

TEST_F(SlotAllocatorTest, TheFirstSlabOfADomainIsMixed) {
  open(64 * kMiB);
  ASSERT_TRUE(grow(kOne, 100).is_ok());
  EXPECT_EQ(x_memory->domain_bytes(kOne), memory::kMixedSlabBytes);
  const auto small = x_memory->allocate(kOne, 100, this);
  const auto larger = x_memory->allocate(kOne, 100 * kKiB, this);
  ASSERT_TRUE(small && larger);
  EXPECT_EQ(small->slab, larger->slab);
  EXPECT_TRUE(small->slab->is_mixed());
  EXPECT_FALSE(x_memory->allocate(kTwo, 100, this)) << "slabs never serve another domain";
}

TEST_F(SlotAllocatorTest, LargeBlocksGoToClassSlabsAtOnce) {
  open(64 * kMiB);
  ASSERT_TRUE(grow(kOne, 2 * kMiB).is_ok());
  EXPECT_EQ(x_memory->domain_bytes(kOne), memory::kClassSlabBytes);
  EXPECT_EQ(fill(kOne, 2 * kMiB).size(), 8u);
}

TEST_F(SlotAllocatorTest, SlotsNeverOverlap) {
  open(64 * kMiB);
  ASSERT_TRUE(grow(kOne, 20 * kKiB).is_ok());
  ASSERT_TRUE(grow(kOne, 20 * kKiB).is_ok());
  std::set<std::pair<uintptr_t, uintptr_t>> used;
  for (const SlotRef& slot : fill(kOne, 20 * kKiB)) {
    const auto bytes = slot.payload(20 * kKiB);
    const auto begin = reinterpret_cast<uintptr_t>(bytes.data());
    const auto after = used.lower_bound({begin, 0});
    if (after != used.end()) {
      ASSERT_LE(begin + bytes.size(), after->first);
    }
    if (after != used.begin()) {
      ASSERT_LE(std::prev(after)->second, begin);
    }
    ASSERT_GE(begin, reinterpret_cast<uintptr_t>(&slot.header()) + sizeof(memory::SlotHeader));
    used.insert({begin, begin + bytes.size()});
  }
  EXPECT_GT(used.size(), 800u);
}

TEST_F(SlotAllocatorTest, GenerationsRiseAndSlabsAreRegistered) {
  open(64 * kMiB);
  ASSERT_TRUE(grow(kOne, 2 * kMiB).is_ok());
  EXPECT_EQ(x_registered.size(), 1u);
  const auto slot = x_memory->allocate(kOne, 2 * kMiB, this);
  const uint64_t before = slot->header().generation.load();
  x_memory->release(*slot);
  const auto again = x_memory->allocate(kOne, 2 * kMiB, this);
  ASSERT_EQ(again->slot, slot->slot);
  EXPECT_GT(again->header().generation.load(), before);
  x_memory->release(*again);
  x_memory.reset();
  EXPECT_TRUE(x_registered.empty());
}

TEST_F(SlotAllocatorTest, EmptySlabsMakeRoomForOthers) {
  open(24 * kMiB);
  ASSERT_TRUE(grow(kOne, 2 * kMiB).is_ok());
  const auto slots = fill(kOne, 2 * kMiB);
  EXPECT_FALSE(x_memory->may_grow(kTwo, 2 * kMiB));
  for (const SlotRef& slot : slots)
    x_memory->release(slot);
  EXPECT_TRUE(x_memory->may_grow(kTwo, 2 * kMiB));
  ASSERT_TRUE(grow(kTwo, 2 * kMiB).is_ok());
  EXPECT_EQ(x_memory->domain_bytes(kOne), 0u);
  EXPECT_EQ(x_registered.size(), 1u);
}

TEST_F(SlotAllocatorTest, ADomainMayNotGrowPastItsCap) {
  open(128 * kMiB, 20 * kMiB);
  ASSERT_TRUE(grow(kOne, 2 * kMiB).is_ok());
  fill(kOne, 2 * kMiB);
  EXPECT_FALSE(x_memory->may_grow(kOne, 2 * kMiB));
  EXPECT_TRUE(x_memory->may_grow(kTwo, 2 * kMiB));
}

TEST_F(SlotAllocatorTest, WhoHasMostMakesRoom) {
  open(64 * kMiB);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(grow(kOne, 2 * kMiB).is_ok());
    fill(kOne, 2 * kMiB);
  }
  EXPECT_FALSE(x_memory->may_grow(kTwo, 2 * kMiB));
  SlabUse* slab = x_memory->slab_to_clear(kTwo, 2 * kMiB);
  ASSERT_NE(slab, nullptr);
  EXPECT_EQ(slab->domain, kOne);
  EXPECT_EQ(x_memory->slab_to_clear(kOne, 2 * kMiB), nullptr) << "it makes room among its own";
  slab = x_memory->slab_to_clear(kOne, 512 * kKiB);
  ASSERT_NE(slab, nullptr) << "its other size has more than its share";
  EXPECT_EQ(slab->domain, kOne);
}

TEST_F(SlotAllocatorTest, ASlabThatIsLateIsOverloaded) {
  open(256 * kMiB);
  EXPECT_EQ(x_memory->grow(kOne, 40 * kMiB).code(), Code::overloaded);
  ASSERT_TRUE(x_pool->wait_until_full(Millis(10'000)).is_ok());
  EXPECT_TRUE(x_memory->grow(kOne, 40 * kMiB).is_ok());
}

}  // namespace
}  // namespace tarn::store
