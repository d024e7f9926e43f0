#include "server/tiers/tiered_store.h"

#include <gtest/gtest.h>

#include <optional>

#include "common/block/checksum.h"
#include "server/flash/region_format.h"
#include "tests/unit/server/io/fault_device.h"
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

// A lane's store over a drive that does what it is told to.
class TieredStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    flash::FlashDrivesOptions made;
    made.paths = {"drive"};
    made.admission = flash::AdmissionMode::off;
    made.open_device = [this](const io::DeviceOptions&) -> Result<io::OpenDevice> {
      auto device = std::make_unique<io::FaultDevice>(x_image, system_clock());
      x_device = device.get();
      io::OpenDevice opened;
      opened.device = std::move(device);
      opened.label.id = {7};
      return opened;
    };
    x_drives = flash::FlashDrives::open(made).value();
    store::DramTierOptions dram;
    dram.memory.cap_bytes = memory::kMixedSlabBytes;
    dram.on_evicted = [this](store::Leaving& leaving) { return x_store->on_evicted(leaving); };
    x_dram = std::make_unique<store::TierRig>(std::move(dram));
    x_inbox = std::make_shared<thread::Inbox>(fabric::Event::open().value());
    TieredStoreOptions options;
    options.dram = x_dram->tier.get();
    options.drives = x_drives.get();
    options.home = x_inbox;
    options.on_change = [this](const store::BlockChange& change) { x_changes.push_back(change); };
    options.on_lost = [this](const block::BlockHeader& header) { x_lost.push_back(header); };
    options.writing_bytes_max = 8 * kBytes;
    x_store = std::make_unique<TieredStore>(std::move(options));
  }

  void TearDown() override {
    x_pins.clear();
    if (x_store != nullptr) {
      EXPECT_TRUE(until([this] { return x_store->is_idle(); }));
    }
    x_store.reset();
    x_drives->close();
  }

  void turn() {
    x_inbox->run_all();
    (void)x_store->tick(system_clock().now());
  }

  template <typename Condition>
  bool until(const Condition& condition) {
    const Instant end = system_clock().now() + std::chrono::seconds(20);
    while (system_clock().now() < end) {
      if (condition()) return true;
      turn();
    }
    return false;
  }

  // As a lane does it: again while there is no room.
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

  // Until all of them were put and what dram has not is on flash.
  void put_many() {
    for (uint64_t number = 1; number <= kMany; ++number)
      ASSERT_TRUE(put(block(number)).is_ok()) << number;
    ASSERT_TRUE(until([this] { return x_store->is_idle(); }));
  }

  struct Read {
    std::optional<Result<store::Pin>> got;
    Code code() const { return got ? got->status().code() : Code::internal; }
  };
  std::shared_ptr<Read> read(const block::BlockKey& key, Instant deadline = kNever) {
    auto read = std::make_shared<Read>();
    x_store->read(key, deadline, [read](Result<store::Pin> pin) { read->got = std::move(pin); });
    return read;
  }
  void expect_bytes(uint64_t number, const Read& read) {
    ASSERT_EQ(read.code(), Code::ok) << number;
    const auto bytes = (*read.got)->bytes();
    EXPECT_TRUE(std::ranges::all_of(bytes, [&](std::byte each) {
      return each == static_cast<std::byte>(number & 0xff);
    })) << number;
  }

  bool is_in_dram(uint64_t number) { return x_dram->has(block(number)); }
  bool is_on_flash(uint64_t number) {
    return x_drives->index().find(key_of(block(number))).has_value();
  }
  // One that lies on flash alone.
  uint64_t below() {
    for (uint64_t number = 1; number <= kMany; ++number)
      if (!is_in_dram(number) && is_on_flash(number)) return number;
    ADD_FAILURE() << "nothing was evicted";
    return 0;
  }

  std::shared_ptr<io::DiskImage> x_image =
      std::make_shared<io::DiskImage>(io::kLabelAreaBytes + 4 * flash::kRegionBytes);
  io::FaultDevice* x_device = nullptr;
  std::unique_ptr<flash::FlashDrives> x_drives;
  std::unique_ptr<store::TierRig> x_dram;
  std::shared_ptr<thread::Inbox> x_inbox;
  std::vector<store::BlockChange> x_changes;
  std::vector<block::BlockHeader> x_lost;
  std::vector<std::shared_ptr<Read>> x_pins;
  std::unique_ptr<TieredStore> x_store;
};

TEST_F(TieredStoreTest, what_dram_lets_go_comes_back_and_nothing_is_lost) {
  put_many();
  EXPECT_TRUE(x_lost.empty());
  EXPECT_EQ(x_store->counters().destage_refused, 0u);
  for (uint64_t number = 1; number <= kMany; ++number) {
    ASSERT_NE(x_store->find(key_of(block(number))), nullptr) << number;
    EXPECT_EQ(x_store->find(key_of(block(number)))->payload_bytes, kBytes);
    const auto got = read(key_of(block(number)));
    ASSERT_TRUE(until([&] { return got->got.has_value(); }));
    expect_bytes(number, *got);
  }
  EXPECT_GT(x_store->counters().flash_hits, 20u);
  const auto told = std::ranges::count_if(x_changes, [](const store::BlockChange& change) {
    return change.medium == store::Medium::flash && !change.removed;
  });
  EXPECT_EQ(static_cast<uint64_t>(told), x_store->counters().destaged);
}

TEST_F(TieredStoreTest, what_lies_on_flash_is_there_already_for_a_put) {
  put_many();
  EXPECT_EQ(put(block(below())).code(), Code::exists);
}

TEST_F(TieredStoreTest,
       those_who_wait_for_one_block_share_one_read_and_end_by_their_own_deadlines) {
  put_many();
  const uint64_t number = below();
  x_device->freeze();
  const auto hasty = read(key_of(block(number)), system_clock().now() + Millis(30));
  const auto patient = read(key_of(block(number)));
  x_store->read_ahead(key_of(block(number)));
  ASSERT_TRUE(until([&] { return hasty->got.has_value(); }));
  EXPECT_EQ(hasty->code(), Code::deadline_exceeded);
  EXPECT_FALSE(patient->got.has_value());
  x_device->thaw();
  ASSERT_TRUE(until([&] { return patient->got.has_value(); }));
  expect_bytes(number, *patient);
  EXPECT_EQ(x_store->counters().flash_hits, 1u);
  expect_bytes(number, *read(key_of(block(number))));  // from dram, at once
}

TEST_F(TieredStoreTest, a_block_on_its_way_to_the_drive_can_be_read) {
  for (uint64_t number = 1; number <= 40; ++number)
    ASSERT_TRUE(put(block(number)).is_ok());
  ASSERT_TRUE(until([this] { return x_store->is_idle(); }));
  x_device->freeze();
  uint64_t number = 41;
  while (x_store->is_idle() && number < kMany)
    ASSERT_TRUE(put(block(number++)).is_ok());
  ASSERT_FALSE(x_store->is_idle());
  uint64_t seen = 0;
  for (uint64_t each = 1; each < number; ++each) {
    if (is_in_dram(each) || is_on_flash(each)) continue;
    EXPECT_NE(x_store->find(key_of(block(each))), nullptr) << each;
    expect_bytes(each, *read(key_of(block(each))));
    ++seen;
  }
  EXPECT_GT(seen, 0u);
  x_device->thaw();
}

TEST_F(TieredStoreTest, a_removed_block_is_gone_wherever_it_is) {
  put_many();
  const uint64_t on_flash = below();
  ASSERT_TRUE(x_store->remove(key_of(block(on_flash))).is_ok());
  EXPECT_EQ(x_store->find(key_of(block(on_flash))), nullptr);
  EXPECT_EQ(read(key_of(block(on_flash)))->code(), Code::not_found);
  EXPECT_EQ(x_store->remove(key_of(block(on_flash))).code(), Code::not_found);
  EXPECT_TRUE(until([&] { return !x_changes.empty() && x_changes.back().removed; }));
  EXPECT_EQ(x_changes.back().header.key, key_of(block(on_flash)));
  // While it is being fetched.
  const uint64_t fetched = below();
  x_device->freeze();
  const auto waits = read(key_of(block(fetched)));
  ASSERT_TRUE(x_store->remove(key_of(block(fetched))).is_ok());
  EXPECT_EQ(read(key_of(block(fetched)))->code(), Code::not_found);
  x_device->thaw();
  ASSERT_TRUE(until([&] { return waits->got.has_value(); }));
  EXPECT_EQ(waits->code(), Code::not_found);
  EXPECT_FALSE(is_in_dram(fetched) || is_on_flash(fetched));
  EXPECT_TRUE(put(block(fetched)).is_ok());
}

TEST_F(TieredStoreTest, a_block_is_acknowledged_when_it_is_on_flash) {
  ASSERT_TRUE(put(block(1)).is_ok());
  std::vector<Status> told;
  const auto tell = [&](Status status) { told.push_back(std::move(status)); };
  x_device->freeze();
  x_store->persist(key_of(block(1)), kNever, tell);
  x_store->persist(key_of(block(1)), system_clock().now() + Millis(20), tell);
  x_store->persist(key_of(block(2)), kNever, tell);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told.back().code(), Code::not_found);
  ASSERT_TRUE(until([&] { return told.size() == 2; }));
  EXPECT_EQ(told.back().code(), Code::deadline_exceeded);
  x_device->thaw();
  ASSERT_TRUE(until([&] { return told.size() == 3; }));
  EXPECT_TRUE(told.back().is_ok()) << told.back().to_string();
  EXPECT_TRUE(is_on_flash(1));
  x_store->persist(key_of(block(1)), kNever, tell);
  ASSERT_EQ(told.size(), 4u);
  EXPECT_TRUE(told.back().is_ok());
  // Removed on the way: nothing is left of it.
  ASSERT_TRUE(put(block(3)).is_ok());
  x_device->freeze();
  x_store->persist(key_of(block(3)), kNever, tell);
  ASSERT_TRUE(x_store->remove(key_of(block(3))).is_ok());
  x_device->thaw();
  ASSERT_TRUE(until([&] { return told.size() == 5; }));
  EXPECT_EQ(told.back().code(), Code::not_found);
  EXPECT_FALSE(is_on_flash(3));
}

TEST_F(TieredStoreTest, a_drive_that_fails_a_write_refuses_the_class_and_loses_what_leaves) {
  ASSERT_TRUE(put(block(1)).is_ok());
  x_device->fail(io::IoKind::write, io::Fault::error, 1);
  std::optional<Status> told;
  x_store->persist(key_of(block(1)), kNever, [&](Status status) { told = std::move(status); });
  ASSERT_TRUE(until([&] { return told.has_value(); }));
  EXPECT_EQ(told->code(), Code::unavailable) << told->to_string();
  EXPECT_TRUE(is_in_dram(1));
  EXPECT_FALSE(is_on_flash(1));
}

TEST_F(TieredStoreTest, a_floor_removes_what_was_put_before_it_and_nothing_later) {
  x_store->on_config({3}, {});
  put_many();
  const uint64_t number = below();
  ring::Floor floor;
  floor.epoch = {4};
  floor.tenant = key_of(block(1)).tenant;
  x_store->on_config({4}, std::span(&floor, 1));
  EXPECT_FALSE(is_on_flash(number));
  EXPECT_EQ(x_drives->index().blocks(), 0u);
  ASSERT_TRUE(put(block(1000)).is_ok());
  std::optional<Status> told;
  x_store->persist(key_of(block(1000)), kNever, [&](Status status) { told = std::move(status); });
  ASSERT_TRUE(until([&] { return told.has_value(); }));
  x_store->on_config({5}, std::span(&floor, 1));
  EXPECT_TRUE(is_on_flash(1000));
}

TEST_F(TieredStoreTest, a_block_whose_seat_in_dram_is_taken_is_read_all_the_same) {
  PutSpec second = block(5002);
  second.anchor = 5001;
  second.index = 1;
  ASSERT_TRUE(put(second).is_ok());
  std::optional<Status> told;
  x_store->persist(key_of(second), kNever, [&](Status status) { told = std::move(status); });
  ASSERT_TRUE(until([&] { return told.has_value(); }));
  ASSERT_TRUE(x_dram->tier->remove(key_of(second)).is_ok());
  PutSpec other = second;
  other.hash = 5003;
  ASSERT_TRUE(put(other).is_ok());
  const auto got = read(key_of(second));
  ASSERT_TRUE(until([&] { return got->got.has_value(); }));
  expect_bytes(5002, *got);
  EXPECT_FALSE(x_dram->has(second));
  EXPECT_TRUE(x_dram->has(other));
}

TEST_F(TieredStoreTest, a_damaged_block_is_a_miss_and_forgotten) {
  put_many();
  const uint64_t number = below();
  x_device->fail(io::IoKind::read, io::Fault::bit_flip, 1);
  const auto got = read(key_of(block(number)));
  ASSERT_TRUE(until([&] { return got->got.has_value(); }));
  EXPECT_EQ(got->code(), Code::corrupt);
  EXPECT_FALSE(is_on_flash(number));
  EXPECT_EQ(x_store->counters().flash_misses, 1u);
}

// The first of them gives its pin up, and begins what needs the room.
TEST_F(TieredStoreTest, those_who_share_a_read_all_get_it) {
  put_many();
  const uint64_t number = below();
  uint64_t other = number + 1;
  while (is_in_dram(other) || !is_on_flash(other))
    ASSERT_LE(++other, kMany);
  std::shared_ptr<Read> next;
  x_store->read(key_of(block(number)), kNever, [&](Result<store::Pin> pin) {
    ASSERT_TRUE(pin.has_value());
    pin->release();
    next = read(key_of(block(other)));
  });
  const auto second = read(key_of(block(number)));
  std::vector<std::shared_ptr<Read>> held;
  for (uint64_t each = 1; each <= kMany; ++each)
    if (is_in_dram(each)) held.push_back(read(key_of(block(each))));
  std::vector<store::Slot> slots;  // what is free still is taken by puts under way
  for (uint64_t each = 7000; each < 7100; ++each) {
    auto slot = x_dram->tier->reserve(make_put(block(each)));
    if (!slot) break;
    slots.push_back(std::move(*slot));
  }
  ASSERT_TRUE(until([&] { return second->got.has_value(); }));
  expect_bytes(number, *second);
  held.clear();
  slots.clear();
  second->got.reset();
  ASSERT_TRUE(until([&] { return next->got.has_value(); }));
  expect_bytes(other, *next);
}

TEST_F(TieredStoreTest, ends_while_the_drive_hangs) {
  put_many();
  const uint64_t number = below();
  x_device->freeze();
  const auto waits = read(key_of(block(number)));
  x_store.reset();
  EXPECT_FALSE(waits->got.has_value());
  x_device->thaw();
}

}  // namespace
}  // namespace tarn::tiers
