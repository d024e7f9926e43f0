// A drive that stays full, and one that loses power again and again.
#include "tests/unit/server/flash/drive/drive_rig.h"

namespace tarn::flash {
namespace {

TEST(ChurnTest, of_three_times_the_capacity_loses_no_block_and_writes_little_twice) {
  constexpr uint32_t kRegions = 10;
  constexpr uint64_t kBytes = kMiB;
  constexpr uint64_t kBlocks = 3 * kRegions * kRegionBytes / kBytes;
  DriveRig rig(kRegions);
  ASSERT_TRUE(rig.open().is_ok());
  std::mt19937_64 random(3);
  uint64_t refused = 0, hits = 0;
  for (uint64_t number = 0; number < kBlocks; ++number) {
    const Lifetime lifetime = number % 8 == 0 ? Lifetime::lasting : Lifetime::brief;
    std::vector<CallPtr> puts = {rig.start_put(number, kBytes, lifetime)};
    // A tenth of all blocks is wanted again and again, other ones now and then.
    const uint64_t wanted = random() % (number + 1);
    const Code code = rig.get(random() % 4 == 0 ? wanted : wanted / 10 * 10);
    EXPECT_TRUE(code == Code::ok || code == Code::not_found) << code_name(code);
    hits += code == Code::ok ? 1 : 0;
    if (puts[0]->code() == Code::ok) continue;
    EXPECT_EQ(puts[0]->code(), Code::overloaded);
    ++refused;
    EXPECT_EQ(rig.put_in_time(number, kBytes, lifetime), Code::ok);
  }
  uint64_t live = 0;
  for (uint64_t number = 0; number < kBlocks; ++number) {
    const bool is_there = rig.get(number) == Code::ok;
    EXPECT_NE(is_there, rig.was_dropped(number)) << number;
    live += is_there ? 1 : 0;
  }
  ASSERT_TRUE(rig.stats_say([](const DriveStats& stats) { return stats.regions_free >= 1; }));
  const DriveStats stats = rig.drive->stats();
  EXPECT_EQ(stats.payload_bytes_written, kBlocks * kBytes);
  EXPECT_LE(static_cast<double>(stats.bytes_written),
            1.05 * static_cast<double>(stats.payload_bytes_written));
  EXPECT_GT(stats.blocks_moved, 20u);
  EXPECT_EQ(stats.corrupt_blocks, 0u);
  // As full as the free regions allow.
  EXPECT_GT(live * kBytes, (kRegions - 4) * kRegionBytes);
  RecordProperty("refused", std::to_string(refused));
  std::printf(
      "%llu puts, %llu refused at first, %llu hits, amplification %.4f, %llu moved\n",
      static_cast<unsigned long long>(kBlocks), static_cast<unsigned long long>(refused),
      static_cast<unsigned long long>(hits),
      static_cast<double>(stats.bytes_written) / static_cast<double>(stats.payload_bytes_written),
      static_cast<unsigned long long>(stats.blocks_moved));
}

// What a drive has promised, told on its thread: what is acknowledged before the power fails, and
// was not told to be dropped, is there after it.
class Promises {
 public:
  Promises(DriveRig& rig, std::map<uint64_t, uint64_t>& sizes) : x_rig(rig), x_sizes(sizes) {
    rig.on_put = [this](uint64_t number, const Status& status) {
      if (!has_failed() && status.is_ok()) x_kept.insert(number);
    };
    rig.on_dropped = [this](const std::vector<block::BlockHeader>& headers) {
      if (has_failed()) return;
      for (const block::BlockHeader& header : headers)
        std::erase_if(x_kept, [&](uint64_t each) { return key_of(each) == header.key; });
    };
  }
  // Precondition: the drive is closed, or is not open yet.
  std::set<uint64_t>& kept() { return x_kept; }

  bool has_failed() const { return x_rig.image->snapshot() != nullptr; }

  void use_until_power_fails(std::mt19937_64& random, uint64_t first, uint64_t bytes_max) {
    std::vector<CallPtr> puts;
    for (uint64_t number = first; !has_failed() && number < first + 5000; ++number) {
      const uint64_t bytes = 1 + random() % bytes_max;
      x_sizes[number] = bytes;
      puts.push_back(
          x_rig.start_put(number, bytes, random() % 3 == 0 ? Lifetime::lasting : Lifetime::brief));
      for (uint64_t hits = random() % 3; hits > 0; --hits) {
        const auto any = x_sizes.lower_bound(number - std::min(number, random() % 80));
        if (any != x_sizes.end()) (void)x_rig.index->hit(key_of(any->first));
      }
      if (random() % 4 == 0 || puts.size() % 16 == 0) (void)puts.back()->code();
    }
    for (const CallPtr& put : puts)
      (void)put->code();
  }

 private:
  DriveRig& x_rig;
  std::map<uint64_t, uint64_t>& x_sizes;
  std::set<uint64_t> x_kept;
};

TEST(PowerCutTest, every_acknowledged_block_is_there_after_each_of_many) {
  constexpr int kRounds = 240;
  constexpr uint32_t kRegions = 5;
  std::mt19937_64 random(11);
  auto image = std::make_shared<io::DiskImage>(io::kLabelAreaBytes + kRegions * kRegionBytes);
  std::map<uint64_t, uint64_t> sizes;
  std::set<uint64_t> kept;
  uint64_t seen = 0, moved = 0, corrupt_blocks = 0;
  for (int round = 0; round < kRounds && !testing::Test::HasFailure(); ++round) {
    DriveRig rig(image);
    Promises promises(rig, sizes);
    promises.kept() = kept;
    const uint64_t pieces = 1 + random() % 6;
    rig.on_device = [&](io::FaultDevice& device) {
      device.end_at_most(pieces);
      if (round % 5 != 0) device.trim_really();
    };
    // Now and then enough to fill regions, so that there are footers; now and then so early that
    // what the start brings about is cut.
    const bool is_large = round % 30 == 29;
    const bool is_early = round % 3 == 0;
    const uint64_t instant = is_large ? 300 + random() % 300 : 1 + random() % 250;
    if (is_early) image->take_snapshot_before(1 + random() % 10);
    ASSERT_TRUE(rig.open().is_ok()) << round;
    for (const auto& [each, bytes] : sizes) {
      const Code code = rig.get(each);
      corrupt_blocks += code == Code::corrupt ? 1 : 0;
      if (!kept.contains(each)) continue;
      // Reclaim may go on right after the start, and tells a little later.
      EXPECT_TRUE(code == Code::ok || until([&] { return rig.was_dropped(each); }))
          << "round " << round << ": block " << each << ": " << code_name(code);
      seen += code == Code::ok ? 1 : 0;
    }
    if (!is_early) image->take_snapshot_before(instant);
    promises.use_until_power_fails(random, sizes.empty() ? 0 : sizes.rbegin()->first + 1,
                                   is_large ? 4 * kMiB : 30 * kKiB);
    ASSERT_TRUE(promises.has_failed());
    moved += rig.drive->stats().blocks_moved;
    rig.close();
    kept = promises.kept();
    image = image->snapshot();
    image->cut_power(random);
  }
  EXPECT_GT(seen, 2000u);
  EXPECT_GT(moved, 10u);
  EXPECT_EQ(corrupt_blocks, 0u) << "a restart takes no block that was not acknowledged for one";
  std::printf("%d rounds, %llu blocks, %llu found again, %llu moved\n", kRounds,
              static_cast<unsigned long long>(sizes.size()), static_cast<unsigned long long>(seen),
              static_cast<unsigned long long>(moved));
}

}  // namespace
}  // namespace tarn::flash
