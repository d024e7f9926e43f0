#pragma once

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "common/base/units.h"
#include "server/store/dram_tier.h"

namespace tarn::store {

inline block::BlockHash hash_of(uint64_t number) {
  return *block::BlockHash::from(std::string_view(reinterpret_cast<const char*>(&number), 8));
}

inline uint64_t number_of(const block::BlockHash& hash) {
  uint64_t number = 0;
  std::memcpy(&number, hash.bytes.data(), sizeof(number));
  return number;
}

// A block in few words; its hash is a number.
struct PutSpec {
  uint64_t hash = 0;
  uint64_t anchor = 0;  // 0: its own
  uint32_t index = 0;
  uint64_t parent = 0;  // 0: none
  uint64_t bytes = 16 * kKiB;
  uint8_t tenant = 1;
  uint32_t shard = 0;
};

inline BlockPut make_put(const PutSpec& spec) {
  BlockPut put;
  put.header.key.tenant.bytes[0] = spec.tenant;
  put.header.key.space.bytes[0] = 9;
  put.header.key.shard = {spec.shard};
  put.header.key.hash = hash_of(spec.hash);
  put.header.anchor = hash_of(spec.anchor == 0 ? spec.hash : spec.anchor);
  put.header.index = spec.index;
  put.header.payload_bytes = spec.bytes;
  if (spec.parent != 0) put.parent = hash_of(spec.parent);
  return put;
}

inline block::BlockKey key_of(const PutSpec& spec) {
  return make_put(spec).header.key;
}

// A dram tier with its pool; what it announces lies in `changes`.
class TierRig {
 public:
  explicit TierRig(DramTierOptions options) {
    x_pool = std::move(*memory::SlabPool::open(
        {.shelves = {{memory::kMixedSlabBytes, 2}, {memory::kClassSlabBytes, 2}},
         .prefault = false}));
    EXPECT_TRUE(x_pool->wait_until_full(Millis(10'000)).is_ok());
    options.memory.pool = x_pool.get();
    options.on_change = [this](const BlockChange& change) {
      changes.push_back(change);
      if (also_on_change) also_on_change(change);
    };
    tier = std::make_unique<DramTier>(std::move(options));
  }

  static std::unique_ptr<TierRig> open(uint64_t cap_bytes, uint64_t domain_cap_bytes = 0) {
    DramTierOptions options;
    options.memory.cap_bytes = cap_bytes;
    options.memory.domain_cap_bytes = domain_cap_bytes;
    return std::make_unique<TierRig>(std::move(options));
  }

  // Reserves; waits for the pool where it is behind.
  Result<Slot> reserve(const BlockPut& put) {
    while (true) {
      auto slot = tier->reserve(put);
      const bool slab_is_late = !slot && slot.error().code() == Code::overloaded &&
                                slot.error().message().find("prepared") != std::string::npos;
      if (!slab_is_late) return slot;
      EXPECT_TRUE(x_pool->wait_until_full(Millis(10'000)).is_ok());
    }
  }

  // Its bytes all say the hash's low byte.
  Status put(const PutSpec& spec) {
    auto slot = reserve(make_put(spec));
    if (!slot) return slot.error();
    std::memset(slot->bytes().data(), static_cast<int>(spec.hash & 0xff), slot->bytes().size());
    tier->publish(std::move(*slot));
    return Status::ok();
  }

  Result<Pin> read(const block::BlockKey& key) {
    Result<Pin> got = not_found("");
    tier->read(key, [&](Result<Pin> pin) { got = std::move(pin); });
    return got;
  }

  bool has(const PutSpec& spec) const { return tier->find(key_of(spec)) != nullptr; }

  std::vector<BlockChange> changes;
  std::function<void(const BlockChange&)> also_on_change;

 private:
  std::unique_ptr<memory::SlabPool> x_pool;

 public:
  std::unique_ptr<DramTier> tier;
};

}  // namespace tarn::store
