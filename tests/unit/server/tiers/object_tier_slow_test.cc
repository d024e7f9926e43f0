#include <gtest/gtest.h>

#include <thread>

#include "common/block/checksum.h"
#include "server/tiers/tiered_store.h"
#include "tests/unit/server/object/s3_server.h"
#include "tests/unit/server/store/tier_rig.h"

namespace tarn::tiers {
namespace {

using store::key_of;
using store::make_put;
using store::PutSpec;

constexpr uint64_t kBytes = 64 * kKiB;
// More than dram holds.
constexpr uint64_t kMany = 150;

PutSpec block(uint64_t number) {
  PutSpec spec;
  spec.hash = number;
  spec.bytes = kBytes;
  return spec;
}

// A lane's store over a real S3 server, without a drive between.
class ObjectTierTest : public testing::Test {
 protected:
  void SetUp() override {
    x_server.make_bucket("bucket");
    open();
  }
  void TearDown() override { close(); }

  void open() {
    object::ObjectStoreOptions made;
    made.s3 = x_server.options("s3://bucket/tarn");
    made.server = "s1";
    made.bytes_max = 64 * kMiB;
    made.pack_bytes = 1 * kMiB;
    made.tick_every = std::chrono::milliseconds(5);
    made.read_within = std::chrono::milliseconds(300);
    x_object = object::ObjectStore::open(std::move(made)).value();
    ASSERT_TRUE(until([this] { return x_object->stats().is_known; }));
    store::DramTierOptions dram;
    dram.memory.cap_bytes = memory::kMixedSlabBytes;
    dram.on_evicted = [this](store::Leaving& leaving) { return x_store->on_evicted(leaving); };
    x_dram = std::make_unique<store::TierRig>(std::move(dram));
    x_inbox = std::make_shared<thread::Inbox>(fabric::Event::open().value());
    TieredStoreOptions options;
    options.dram = x_dram->tier.get();
    options.object = x_object.get();
    options.home = x_inbox;
    options.on_lost = [](const block::BlockHeader&) {};
    x_store = std::make_unique<TieredStore>(std::move(options));
  }
  void close() {
    if (x_store != nullptr) {
      EXPECT_TRUE(until([this] { return x_store->is_idle(); }));
    }
    x_store.reset();
    x_object->close();
    x_dram.reset();
    x_object.reset();
  }

  template <typename Condition>
  bool until(const Condition& condition) {
    const Instant end = system_clock().now() + std::chrono::seconds(20);
    while (system_clock().now() < end) {
      if (condition()) return true;
      if (x_store != nullptr) {
        x_inbox->run_all();
        (void)x_store->tick(system_clock().now());
      }
    }
    return false;
  }

  Status put(const PutSpec& spec) {
    Status taken = overloaded("");
    EXPECT_TRUE(until([&] {
      auto slot = x_store->reserve(make_put(spec));
      taken = slot.status();
      if (!slot) return taken.code() != Code::overloaded;
      std::memset(slot->bytes().data(), static_cast<int>(spec.hash & 0xff), slot->bytes().size());
      slot->set_payload_crc(block::crc32c(0, slot->bytes().data(), slot->bytes().size()));
      x_store->publish(std::move(*slot));
      return true;
    }));
    return taken;
  }

  Code read(uint64_t number) {
    std::optional<Result<store::Pin>> got;
    x_store->read(key_of(block(number)), kNever,
                  [&](Result<store::Pin> pin) { got = std::move(pin); });
    EXPECT_TRUE(until([&] { return got.has_value(); }));
    if (!*got) return got->error().code();
    const auto bytes = (**got).bytes();
    EXPECT_TRUE(std::ranges::all_of(
        bytes, [&](std::byte each) { return each == static_cast<std::byte>(number & 0xff); }));
    return Code::ok;
  }

  // All of them, each read at once: what dram lets go was asked for.
  void put_and_read_many() {
    for (uint64_t number = 1; number <= kMany; ++number) {
      ASSERT_EQ(put(block(number)), Status::ok()) << number;
      ASSERT_EQ(read(number), Code::ok);
    }
    ASSERT_TRUE(x_object->finish(std::chrono::seconds(10)));
  }
  bool is_in_dram(uint64_t number) { return x_dram->has(block(number)); }
  // In the object store alone.
  uint64_t below() {
    for (uint64_t number = 1; number <= kMany; ++number)
      if (!is_in_dram(number) && x_store->find(key_of(block(number))) != nullptr) return number;
    ADD_FAILURE() << "nothing is there";
    return 0;
  }

  object::S3Server x_server;
  std::unique_ptr<object::ObjectStore> x_object;
  std::unique_ptr<store::TierRig> x_dram;
  std::shared_ptr<thread::Inbox> x_inbox;
  std::unique_ptr<TieredStore> x_store;
};

TEST_F(ObjectTierTest, what_dram_lets_go_comes_back_into_dram) {
  put_and_read_many();
  const uint64_t number = below();
  EXPECT_EQ(x_store->find(key_of(block(number)))->payload_bytes, kBytes);
  EXPECT_EQ(read(number), Code::ok);
  EXPECT_TRUE(is_in_dram(number));
  uint64_t found = 0;
  for (uint64_t each = 1; each <= kMany; ++each)
    found += read(each) == Code::ok ? 1 : 0;
  EXPECT_EQ(found + x_object->stats().writes.refused, kMany);
  EXPECT_GT(found, kMany / 2);
  EXPECT_GT(x_object->stats().reads.blocks, 10u);
  // Also after a restart, from there alone.
  const uint64_t there = x_object->stats().blocks;
  close();
  open();
  EXPECT_EQ(x_object->stats().blocks, there);
  EXPECT_EQ(read(number), Code::ok);
}

TEST_F(ObjectTierTest, what_nobody_asked_for_does_not_go_there) {
  for (uint64_t number = 1; number <= kMany; ++number)
    ASSERT_EQ(put(block(number)), Status::ok());
  EXPECT_TRUE(x_object->finish(std::chrono::seconds(10)));
  EXPECT_EQ(x_object->stats().writes.packs, 0u);
}

TEST_F(ObjectTierTest, a_removed_block_and_a_floor) {
  put_and_read_many();
  const uint64_t number = below();
  EXPECT_EQ(x_store->remove(key_of(block(number))), Status::ok());
  EXPECT_EQ(x_store->find(key_of(block(number))), nullptr);
  EXPECT_EQ(read(number), Code::not_found);
  EXPECT_EQ(x_store->remove(key_of(block(number))).code(), Code::not_found);
  ring::Floor floor;
  floor.tenant = key_of(block(1)).tenant;
  floor.epoch = Epoch{9};
  x_store->on_config(Epoch{9}, std::span(&floor, 1));
  EXPECT_EQ(x_object->stats().blocks, 0u);
}

TEST_F(ObjectTierTest, what_lies_there_alone_is_put_anew) {
  put_and_read_many();
  const uint64_t number = below();
  EXPECT_EQ(put(block(number)), Status::ok());
  EXPECT_TRUE(is_in_dram(number));
}

TEST_F(ObjectTierTest, stopped_it_is_a_miss_and_dram_goes_on) {
  put_and_read_many();
  const uint64_t number = below();
  x_server.stop();
  const Instant begun = system_clock().now();
  for (int i = 0; i < 4; ++i)
    EXPECT_EQ(read(number), Code::not_found);
  EXPECT_EQ(x_store->find(key_of(block(number))), nullptr);
  EXPECT_LT(system_clock().now() - begun, std::chrono::seconds(3));
  const Instant dram_begun = system_clock().now();
  for (uint64_t each = 1000; each < 1000 + kMany; ++each) {
    ASSERT_EQ(put(block(each)), Status::ok());
    ASSERT_EQ(read(each), Code::ok);
  }
  EXPECT_LT(system_clock().now() - dram_begun, std::chrono::seconds(2));
  x_server.go_on();
  EXPECT_TRUE(until([&] { return read(number) == Code::ok; }));
}

}  // namespace
}  // namespace tarn::tiers
