// Random work on the memory of a lane, against a plain model of who holds which bytes.
#include <map>
#include <random>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "common/base/units.h"
#include "server/store/slot_allocator.h"

namespace tarn::store {
namespace {

class AllocatorModel : public testing::TestWithParam<uint32_t> {
 protected:
  static constexpr uint64_t kCap = 70 * kMiB;
  static constexpr uint64_t kDomainCap = 44 * kMiB;

  void SetUp() override {
    x_pool = std::move(*memory::SlabPool::open(
        {.shelves = {{memory::kMixedSlabBytes, 2}, {memory::kClassSlabBytes, 2}},
         .prefault = false}));
    ASSERT_TRUE(x_pool->wait_until_full(Millis(10'000)).is_ok());
    SlotAllocatorOptions options;
    options.pool = x_pool.get();
    options.cap_bytes = kCap;
    options.domain_cap_bytes = kDomainCap;
    options.on_slab = [this](const memory::Slab& slab, const DomainId&) {
      EXPECT_TRUE(x_registered.emplace(slab.id(), slab.bytes()).second);
    };
    options.on_slab_gone = [this](const memory::Slab& slab) {
      EXPECT_EQ(x_registered.erase(slab.id()), 1u);
    };
    x_memory = std::make_unique<SlotAllocator>(options);
  }
  void TearDown() override {
    for (const auto& [begin, held] : x_held)
      x_memory->release(held.slot);
    x_memory.reset();
    EXPECT_TRUE(x_registered.empty()) << "a fabric still holds memory that is gone";
  }

  struct Held {
    SlotRef slot;
    uint64_t bytes;
    DomainId domain;
    uint64_t generation;
  };

  uint64_t pick(uint64_t below) { return x_random() % below; }
  static DomainId domain(uint64_t number) { return DomainId{{static_cast<uint8_t>(number)}}; }

  uint64_t some_bytes() {
    static constexpr uint64_t kSizes[] = {1,          4096,       4097,       16 * kKiB,
                                          255 * kKiB, 256 * kKiB, 257 * kKiB, 2 * kMiB};
    return kSizes[pick(8)];
  }

  void take_one() {
    const DomainId owner = domain(1 + pick(3));
    const uint64_t bytes = some_bytes();
    auto slot = x_memory->allocate(owner, bytes, this);
    if (!slot && x_memory->may_grow(owner, bytes)) {
      ASSERT_TRUE(x_pool->wait_until_full(Millis(10'000)).is_ok());
      ASSERT_TRUE(x_memory->grow(owner, bytes).is_ok());
      slot = x_memory->allocate(owner, bytes, this);
      ASSERT_TRUE(slot) << "a new slab has room for what it was made for";
    }
    if (!slot) return;
    EXPECT_EQ(slot->slab->domain, owner) << "memory never changes its domain";
    hold(*slot, bytes, owner);
  }

  void hold(const SlotRef& slot, uint64_t bytes, const DomainId& owner) {
    const auto memory = slot.payload(bytes);
    const auto begin = reinterpret_cast<uintptr_t>(memory.data());
    EXPECT_EQ(begin % kPayloadAlignBytes, 0u);
    const auto after = x_held.lower_bound(begin);
    if (after != x_held.end()) {
      ASSERT_LE(begin + bytes, after->first) << "two blocks overlap";
    }
    if (after != x_held.begin()) {
      ASSERT_LE(std::prev(after)->first + std::prev(after)->second.bytes, begin);
    }
    const uint64_t generation = slot.header().generation.load();
    uint64_t& latest = x_generations[{slot.slab->slab->id(), slot.slot}];
    EXPECT_GT(generation, latest) << "it rises before the memory is used again";
    latest = generation;
    x_held.emplace(begin, Held{slot, bytes, owner, generation});
  }

  void give_back_one() {
    if (x_held.empty()) return;
    const auto some = std::next(x_held.begin(), static_cast<long>(pick(x_held.size())));
    EXPECT_EQ(some->second.slot.header().generation.load(), some->second.generation)
        << "nobody else used it meanwhile";
    x_memory->release(some->second.slot);
    x_held.erase(some);
  }

  void check() {
    EXPECT_LE(x_memory->slab_bytes(), kCap);
    uint64_t registered = 0;
    for (const auto& [id, bytes] : x_registered)
      registered += bytes;
    EXPECT_EQ(registered, x_memory->slab_bytes()) << "fabrics know exactly the slabs in use";
    uint64_t sum = 0;
    for (uint64_t number = 1; number <= 3; ++number) {
      EXPECT_LE(x_memory->domain_bytes(domain(number)), kDomainCap);
      sum += x_memory->domain_bytes(domain(number));
    }
    EXPECT_EQ(sum, x_memory->slab_bytes());
  }

  std::mt19937_64 x_random{GetParam()};
  std::unique_ptr<memory::SlabPool> x_pool;
  std::map<uint64_t, uint64_t> x_registered;  // bytes by slab id
  std::unique_ptr<SlotAllocator> x_memory;
  std::map<uintptr_t, Held> x_held;
  std::map<std::pair<uint64_t, uint32_t>, uint64_t> x_generations;  // by slab and slot
};

TEST_P(AllocatorModel, SlotsNeverOverlapAndCapsHold) {
  SCOPED_TRACE("seed " + std::to_string(GetParam()));
  for (int step = 0; step < 4000; ++step) {
    // Waves: mostly taking, then mostly giving back, so that slabs come and go.
    const bool is_filling = step / 500 % 2 == 0;
    if (pick(10) < (is_filling ? 7u : 3u)) {
      take_one();
    } else {
      give_back_one();
    }
    if (step % 50 == 0) check();
    if (HasFailure()) FAIL() << "step " << step;
  }
}

// Whoever asks can always be told what to clear, until nothing of anybody is left to clear.
TEST_P(AllocatorModel, WhatIsToBeClearedBelongsToWhoeverHasMost) {
  for (int step = 0; step < 1500; ++step)
    take_one();
  for (uint64_t number = 1; number <= 3; ++number) {
    for (const uint64_t bytes : {uint64_t{16} * kKiB, 2 * kMiB}) {
      const SlabUse* slab = x_memory->slab_to_clear(domain(number), bytes);
      if (slab == nullptr) continue;
      EXPECT_GT(slab->live_slots, 0u);
      if (slab->domain == domain(number)) continue;
      EXPECT_GE(x_memory->domain_bytes(slab->domain), x_memory->domain_bytes(domain(number)))
          << "nobody pays for one who has more";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, AllocatorModel, testing::Range(1u, 4u));

TEST(AllocatorEdges, WhatCanNeverBeHeldIsKnownBeforehand) {
  auto pool = std::move(*memory::SlabPool::open({.shelves = {}, .prefault = false}));
  struct {
    uint64_t cap;
    uint64_t domain_cap;
    uint64_t bytes;
    bool may;
  } const cases[] = {
      {memory::kMixedSlabBytes, 0, memory::kMixedBlockBytesMax, true},
      {memory::kMixedSlabBytes - 1, 0, 1, false},
      {memory::kMixedSlabBytes, 0, memory::kMixedBlockBytesMax + 1, false},
      {memory::kClassSlabBytes, 0, 2 * kMiB, true},
      {memory::kClassSlabBytes - 1, 0, 2 * kMiB, false},
      {kGiB, memory::kClassSlabBytes - 1, 2 * kMiB, false},
      {kGiB, memory::kSlabBytesMax, kBlockBytesMax, true},
      {memory::kSlabBytesMax - 1, 0, kBlockBytesMax, false},
  };
  for (const auto& each : cases) {
    SlotAllocatorOptions options;
    options.pool = pool.get();
    options.cap_bytes = each.cap;
    options.domain_cap_bytes = each.domain_cap;
    EXPECT_EQ(SlotAllocator(options).may_ever_hold(each.bytes), each.may)
        << each.cap << ", " << each.domain_cap << ", " << each.bytes;
  }
}

}  // namespace
}  // namespace tarn::store
