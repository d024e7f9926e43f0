#include "server/flash/log/region_log.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "common/base/fault_point.h"
#include "common/block/checksum.h"
#include "server/io/open_device.h"
#include "tests/unit/server/io/fault_device.h"
#include "tests/unit/server/io/io_fixture.h"

namespace tarn::flash {
namespace {

using io::PageBuffer;

// A block, and what became of it.
struct Put {
  uint64_t number = 0;
  uint64_t bytes = 0;
  std::optional<Result<LogPlace>> kept;
  bool is_kept() const { return kept && kept->has_value(); }
};

block::BlockHash hash_of(uint64_t number) {
  return block::BlockHash::from("block " + std::to_string(number)).value();
}

std::shared_ptr<PageBuffer> payload_of(uint64_t number, uint64_t bytes) {
  auto payload = std::make_shared<PageBuffer>(bytes);
  io::fill(payload->bytes().first(bytes), number);
  return payload;
}

// A log over a device, with all that was put into it.
class Fill {
 public:
  explicit Fill(io::BlockDevice& device, io::DriveId drive = {7})
      : x_device(device), x_log({.device = &device, .drive = drive}) {}

  RegionLog& log() { return x_log; }
  std::map<uint64_t, Put>& puts() { return x_puts; }

  // The newest place of each block that lies there.
  std::map<std::string, std::pair<LogPlace, Entry>> recover() {
    std::map<std::string, std::pair<LogPlace, Entry>> found;
    const Status recovered = x_log.recover([&](const LogPlace& place, const Entry& entry) {
      found[std::string(entry.header.key.hash.view())] = {place, entry};
    });
    EXPECT_TRUE(recovered.is_ok()) << recovered.to_string();
    return found;
  }

  Status put(uint64_t number, uint64_t bytes, Lifetime lifetime = Lifetime::brief) {
    const auto payload = payload_of(number, bytes);
    LogBlock block;
    block.entry.header.key.hash = block.entry.header.anchor = hash_of(number);
    block.entry.header.payload_bytes = bytes;
    block.entry.header.payload_crc = block::crc32c(0, payload->bytes().data(), bytes);
    block.lifetime = lifetime;
    block.payload = payload->bytes().first(bytes);
    block.hold = payload;
    Put& made = x_puts[number] = {number, bytes, std::nullopt};
    return x_log.append(std::move(block), [&made](Result<LogPlace> kept) {
      EXPECT_FALSE(made.kept.has_value()) << "told twice";
      made.kept = std::move(kept);
    });
  }

  void settle() {
    x_log.turn();
    while (!x_log.is_idle()) {
      pollfd ready = {x_device.event_fd(), POLLIN, 0};
      ASSERT_EQ(::poll(&ready, 1, 10'000), 1) << "nothing wakes the lane";
      x_log.turn();
    }
  }

  Status read(const LogPlace& place, PageBuffer& into) {
    std::optional<Status> outcome;
    const Status taken = x_log.read(
        place, into.bytes(), [] {}, [&](Status status) { outcome = std::move(status); });
    if (!taken.is_ok()) return taken;
    settle();
    return outcome.value();
  }

  void expect_bytes(uint64_t number, uint64_t bytes, const LogPlace& place) {
    PageBuffer got(bytes);
    const Status read_status = read(place, got);
    ASSERT_TRUE(read_status.is_ok()) << read_status.to_string();
    const auto wanted = payload_of(number, bytes);
    EXPECT_TRUE(std::ranges::equal(got.bytes().first(bytes), wanted->bytes().first(bytes)))
        << number;
  }

 private:
  io::BlockDevice& x_device;
  RegionLog x_log;
  std::map<uint64_t, Put> x_puts;
};

// A real file of three regions.
class RegionLogTest : public testing::Test {
 protected:
  io::OpenDevice open() {
    io::DeviceOptions options;
    options.drive.path = x_folder.file("drive");
    options.drive.capacity_bytes = io::kLabelAreaBytes + 3 * kRegionBytes;
    options.drive.region_bytes = kRegionBytes;
    return io::open_device(options).value();
  }

  io::ScratchFolder x_folder;
};

TEST_F(RegionLogTest, blocks_of_both_lifetimes_come_back_after_a_restart) {
  std::mt19937_64 random(1);
  std::map<uint64_t, Put> puts;
  {
    auto drive = open();
    Fill fill(*drive.device, drive.label.id);
    EXPECT_TRUE(fill.recover().empty());
    for (uint64_t i = 0; i < 150; ++i) {
      const auto lifetime = i % 3 == 0 ? Lifetime::lasting : Lifetime::brief;
      ASSERT_TRUE(fill.put(i, 1 + random() % (300 * kKiB), lifetime).is_ok());
      if (i % 40 == 0) fill.settle();
    }
    fill.settle();
    EXPECT_EQ(fill.log().counts().open, 2u);
    for (const auto& [number, put] : fill.puts()) {
      ASSERT_TRUE(put.is_kept()) << put.kept->status().to_string();
      fill.expect_bytes(number, put.bytes, put.kept->value());
    }
    puts = fill.puts();
    drive.device.reset();
  }
  auto drive = open();
  Fill fill(*drive.device, drive.label.id);
  const auto found = fill.recover();
  EXPECT_EQ(found.size(), puts.size());
  EXPECT_EQ(fill.log().counts().closed, 2u);
  for (const auto& [number, put] : puts) {
    const auto& [place, entry] = found.at(std::string(hash_of(number).view()));
    EXPECT_EQ(place, put.kept->value());
    EXPECT_EQ(entry.header.payload_bytes, put.bytes);
    fill.expect_bytes(number, put.bytes, place);
  }
  drive.device.reset();
}

TEST_F(RegionLogTest, a_full_drive_is_overloaded_until_a_region_is_reclaimed) {
  auto drive = open();
  Fill fill(*drive.device, drive.label.id);
  (void)fill.recover();
  uint64_t number = 0;
  Status last;
  while (last.is_ok() && number < 500) {
    last = fill.put(number, 4 * kMiB);
    if (last.is_ok() && !fill.puts()[number].kept) fill.settle();
    if (fill.puts()[number].kept && !fill.puts()[number].is_kept())
      last = fill.puts()[number].kept->status();
    ++number;
  }
  EXPECT_EQ(last.code(), Code::overloaded);
  EXPECT_EQ(number, 3 * 31 + 1);  // 31 of 4 MiB beside header, pages and footer
  EXPECT_EQ(fill.log().counts().free, 0u);
  const LogPlace first = fill.puts()[0].kept->value();
  std::optional<Status> reclaimed;
  ASSERT_TRUE(fill.log().reclaim(first.region, [&](Status status) { reclaimed = status; }).is_ok());
  EXPECT_EQ(fill.log().reclaim(first.region, [](Status) {}).code(), Code::conflict);
  fill.settle();
  EXPECT_TRUE(reclaimed.value().is_ok()) << reclaimed->to_string();
  PageBuffer into(4 * kMiB);
  EXPECT_EQ(fill.read(first, into).code(), Code::not_found);
  ASSERT_TRUE(fill.put(1000, 4 * kMiB).is_ok());
  fill.settle();
  const LogPlace again = fill.puts()[1000].kept->value();
  EXPECT_EQ(again.region, first.region);
  EXPECT_GT(again.epoch, first.epoch);
  fill.expect_bytes(1000, 4 * kMiB, again);
  EXPECT_EQ(fill.read(first, into).code(), Code::not_found);
  drive.device.reset();
}

// What goes wrong, on a drive of one region in memory.
class RegionLogFaultTest : public testing::Test {
 protected:
  std::shared_ptr<io::DiskImage> x_image =
      std::make_shared<io::DiskImage>(io::kLabelAreaBytes + kRegionBytes);
};

TEST_F(RegionLogFaultTest, a_failed_write_fails_its_group_and_no_other_is_lost) {
  {
    auto device = std::make_unique<io::FaultDevice>(x_image, system_clock());
    Fill fill(*device);
    (void)fill.recover();
    for (uint64_t i = 0; i < 3; ++i) {
      ASSERT_TRUE(fill.put(i, 5000).is_ok());
      fill.settle();
    }
    device->fail(io::IoKind::write, io::Fault::error, 1);
    ASSERT_TRUE(fill.put(3, 5000).is_ok());
    fill.settle();
    EXPECT_EQ(fill.puts()[3].kept->status().code(), Code::unavailable);
    // Its region is closed, and there is no other.
    EXPECT_EQ(fill.put(4, 5000).code(), Code::overloaded);
    device.reset();
  }
  auto device = std::make_unique<io::FaultDevice>(x_image, system_clock());
  Fill fill(*device);
  EXPECT_EQ(fill.recover().size(), 3u);
  device.reset();
}

TEST_F(RegionLogFaultTest, groups_behind_a_failed_one_are_not_acknowledged) {
  auto device = std::make_unique<io::FaultDevice>(x_image, system_clock());
  Fill fill(*device);
  (void)fill.recover();
  ASSERT_TRUE(fill.put(0, 5000).is_ok());
  fill.settle();
  device->fail(io::IoKind::write, io::Fault::error, 1);
  for (uint64_t i = 1; i <= 3 * kGroupEntriesMax; ++i)
    ASSERT_TRUE(fill.put(i, 5000).is_ok());
  fill.settle();
  for (const auto& [number, put] : fill.puts())
    EXPECT_EQ(put.is_kept(), number == 0) << number;
  device.reset();
}

TEST_F(RegionLogFaultTest, after_a_failed_flush_nothing_is_acknowledged) {
  auto device = std::make_unique<io::FaultDevice>(x_image, system_clock());
  Fill fill(*device);
  (void)fill.recover();
  ASSERT_TRUE(fill.put(0, 5000).is_ok());
  fill.settle();
  device->fail(io::IoKind::flush, io::Fault::error);
  ASSERT_TRUE(fill.put(1, 5000).is_ok());
  fill.settle();
  EXPECT_FALSE(fill.puts()[1].is_kept());
  EXPECT_EQ(fill.put(2, 5000).code(), Code::unavailable);
  fill.expect_bytes(0, 5000, fill.puts()[0].kept->value());
  device.reset();
}

TEST_F(RegionLogFaultTest, after_a_power_cut_every_acknowledged_block_is_there) {
  std::mt19937_64 random(5);
  size_t kept = 0;
  for (int round = 0; round < 12; ++round) {
    std::ranges::fill(x_image->seen(), std::byte{0});
    x_image->flush();
    std::map<uint64_t, Put> puts;
    std::shared_ptr<io::DiskImage> left;
    {
      auto device = std::make_unique<io::FaultDevice>(x_image, system_clock());
      device->end_at_most(1 + random() % 5);
      Fill fill(*device);
      (void)fill.recover();
      for (uint64_t i = 0; i < 20; ++i)
        ASSERT_TRUE(fill.put(i, 1 + random() % (64 * kKiB)).is_ok());
      for (uint64_t turns = random() % 40; turns > 0; --turns)
        fill.log().turn();
      puts = fill.puts();
      left = std::make_shared<io::DiskImage>(*x_image);
      left->cut_power(random);
      device.reset();
    }
    auto device = std::make_unique<io::FaultDevice>(left, system_clock());
    Fill fill(*device);
    const auto found = fill.recover();
    for (const auto& [number, put] : puts) {
      if (!put.is_kept()) continue;
      ASSERT_TRUE(found.contains(std::string(hash_of(number).view()))) << round << ": " << number;
      fill.expect_bytes(number, put.bytes, put.kept->value());
      ++kept;
    }
    device.reset();
  }
  EXPECT_GT(kept, 20u);
}

}  // namespace
}  // namespace tarn::flash
