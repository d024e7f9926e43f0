#include "server/flash/region_format.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <random>

#include "common/base/little_endian.h"
#include "common/block/checksum.h"
#include "tests/fuzz/region_input.h"

namespace tarn::flash {
namespace {

using PageBytes = std::array<std::byte, kPageBytes>;

Entry entry_of(uint64_t number, uint64_t payload_bytes) {
  Entry entry;
  entry.header.key.tenant.bytes.fill(0x11);
  entry.header.key.space.bytes.fill(0x22);
  entry.header.key.hash = block::BlockHash::from("block " + std::to_string(number)).value();
  entry.header.anchor = block::BlockHash::from("anchor").value();
  entry.header.payload_bytes = payload_bytes;
  entry.header.payload_crc = static_cast<uint32_t>(number);
  entry.parent = block::BlockHash::from("parent").value();
  entry.expires_unix_ms = 1'700'000'000'000;
  entry.put_in = {7};
  return entry;
}

struct Written {
  RegionPlan plan;
  std::vector<PageBytes> groups;
  std::vector<uint64_t> offsets;
  std::vector<std::byte> footer;
};

// A region full of blocks of these sizes, in groups of up to `batch`.
template <typename Size>
Written write_region(const Size& size, size_t batch) {
  Written out;
  uint64_t number = 0;
  for (;;) {
    std::vector<Entry> entries;
    for (size_t i = 0; i < batch; ++i)
      entries.push_back(entry_of(number + i, size()));
    const size_t placed = out.plan.place(entries);
    if (placed == 0) break;
    number += placed;
    encode_group(fuzz_stamp(), out.plan.group_offset(), std::span(entries).first(placed),
                 out.groups.emplace_back());
    out.offsets.push_back(out.plan.group_offset());
  }
  out.footer.resize(footer_bytes(out.plan.entries().size()));
  encode_footer(fuzz_stamp(), out.plan.entries(), out.footer);
  return out;
}

TEST(RegionFormat, scan_and_footer_say_the_same) {
  std::mt19937_64 random(1);
  const Written region =
      write_region([&random] { return 1 + random() % (256 * kKiB); }, kGroupEntriesMax);
  std::vector<Entry> scanned;
  uint64_t at = kPageBytes;
  for (size_t i = 0; i < region.groups.size(); ++i) {
    EXPECT_EQ(region.offsets[i], at);
    const Group group = decode_group(fuzz_stamp(), at, region.groups[i]).value();
    scanned.insert(scanned.end(), group.entries.begin(), group.entries.end());
    at = group.end;
  }
  EXPECT_EQ(scanned, region.plan.entries());
  EXPECT_EQ(decode_footer(fuzz_stamp(), region.footer).value(), scanned);
  EXPECT_EQ(decode_footer_bytes(fuzz_stamp(), std::span(region.footer).last(kPageBytes)).value(),
            region.footer.size());
  EXPECT_LE(at + region.footer.size(), kRegionBytes);
}

TEST(RegionFormat, what_is_written_beside_payloads_is_little) {
  const auto amplification = [](uint64_t payload_bytes, size_t batch) {
    const Written region = write_region([=] { return payload_bytes; }, batch);
    const double payload = static_cast<double>(payload_bytes * region.plan.entries().size());
    return static_cast<double>(region.plan.cursor() + region.footer.size()) / payload;
  };
  EXPECT_LE(amplification(kMiB, 1), 1.01);
  EXPECT_LE(amplification(64 * kKiB, 16), 1.01);
  EXPECT_LE(amplification(64 * kKiB, 1), 1.07);
  EXPECT_LE(amplification(kBlockBytesMax, 1), 1.01);
}

TEST(RegionFormat, the_smallest_payloads_fill_a_region) {
  const Written region = write_region([] { return uint64_t{1}; }, kGroupEntriesMax);
  EXPECT_GT(region.plan.entries().size(), 29'000u);
  EXPECT_LE(region.plan.entries().size(), kRegionEntriesMax);
  EXPECT_EQ(decode_footer(fuzz_stamp(), region.footer).value(), region.plan.entries());
}

TEST(RegionFormat, other_lives_regions_drives_and_places_do_not_decode) {
  Written region = write_region([] { return 8 * kMiB; }, 1);
  const PageBytes page = region.groups[1];
  const uint64_t at = region.offsets[1];
  RegionStamp older = fuzz_stamp(), neighbour = fuzz_stamp(), foreign = fuzz_stamp();
  older.epoch -= 1;
  neighbour.region += 1;
  foreign.drive[5] ^= 1;
  ASSERT_TRUE(decode_group(fuzz_stamp(), at, page).has_value());
  EXPECT_EQ(decode_group(fuzz_stamp(), at + kPageBytes, page).status().code(), Code::corrupt);
  for (const RegionStamp& stamp : {older, neighbour, foreign}) {
    EXPECT_EQ(decode_group(stamp, at, page).status().code(), Code::corrupt);
    EXPECT_EQ(decode_footer(stamp, region.footer).status().code(), Code::corrupt);
  }
}

TEST(RegionFormat, a_header_is_of_its_drive_and_region) {
  PageBytes page;
  const RegionHeader header{fuzz_stamp(), Lifetime::lasting};
  encode_header(header, page);
  EXPECT_EQ(decode_header(page, fuzz_stamp().drive, 7).value(), header);
  EXPECT_EQ(decode_header(page, fuzz_stamp().drive, 8).status().code(), Code::corrupt);
  EXPECT_EQ(decode_header(page, {}, 7).status().code(), Code::corrupt);
  EXPECT_EQ(decode_header(PageBytes{}, {}, 7).status().code(), Code::corrupt);
  EXPECT_EQ(decode_header(std::span(page).first(100), {}, 7).status().code(), Code::corrupt);
}

// The numbers were made with Python's struct from docs/FLASH_FORMAT.md, not with this code: where
// one fails, drives that were written before cannot be read.
TEST(RegionFormat, keeps_its_bytes) {
  const auto unsealed = [](std::span<const std::byte> page) {
    return block::crc32c(0, page.data(), page.size() - 4);
  };
  const auto seal = [](std::span<const std::byte> page) {
    return load_le<uint32_t>(page.data() + kPageBytes - 4);
  };
  PageBytes page;
  encode_header({fuzz_stamp(), Lifetime::lasting}, page);
  EXPECT_EQ(unsealed(page), 1173808514u);
  EXPECT_EQ(seal(page), 2799702593u);
  RegionPlan plan;
  std::vector<Entry> entries = {entry_of(1, 5000), entry_of(2, 4096)};
  ASSERT_EQ(plan.place(entries), 2u);
  EXPECT_EQ(entries[0].offset, 8192u);
  EXPECT_EQ(entries[1].offset, 16384u);
  encode_group(fuzz_stamp(), plan.group_offset(), entries, page);
  EXPECT_EQ(unsealed(page), 2192499438u);
  EXPECT_EQ(seal(page), 3651582156u);
}

TEST(RegionFormat, no_flipped_bit_passes) {
  const Written region = write_region([] { return 2 * kMiB; }, 3);
  std::mt19937_64 random(2);
  for (int i = 0; i < 3000; ++i) {
    PageBytes page = region.groups[0];
    page[random() % kPageBytes] ^= static_cast<std::byte>(1u << (random() % 8));
    EXPECT_FALSE(decode_group(fuzz_stamp(), kPageBytes, page).has_value());
    std::vector<std::byte> footer = region.footer;
    footer[random() % footer.size()] ^= static_cast<std::byte>(1u << (random() % 8));
    EXPECT_FALSE(decode_footer(fuzz_stamp(), footer).has_value());
  }
}

TEST(RegionFormat, bytes_of_anybody_hold_what_the_fuzzer_asks) {
  const Written region = write_region([] { return kMiB; }, 5);
  std::mt19937_64 random(3);
  int taken = 0;
  for (int i = 0; i < 2000; ++i) {
    PageBytes page = region.groups[0];
    for (int change = i % 2; change < 2; ++change)
      page[(change == 0 ? 4 : 180) + random() % (change == 0 ? 12 : 44)] =
          static_cast<std::byte>(random() % 40);
    taken += check_region_input(page) ? 1 : 0;
    check_region_input(std::span(region.footer).first(random() % region.footer.size()));
  }
  EXPECT_GT(taken, 100) << "some changes must leave groups that decode";
  EXPECT_TRUE(check_region_input(region.footer));
  EXPECT_FALSE(check_region_input({}));
}

std::vector<std::byte> group_of(std::vector<Entry> entries) {
  RegionPlan plan;
  EXPECT_EQ(plan.place(entries), entries.size());
  PageBytes page;
  encode_group(fuzz_stamp(), plan.group_offset(), entries, page);
  return {page.begin(), page.end()};
}

std::vector<std::byte> footer_of(std::vector<Entry> entries) {
  RegionPlan plan;
  EXPECT_EQ(plan.place(entries), entries.size());
  std::vector<std::byte> footer(footer_bytes(entries.size()));
  encode_footer(fuzz_stamp(), entries, footer);
  return footer;
}

struct Seed {
  std::vector<std::byte> bytes;
  bool is_taken;  // for a group or a footer
};

std::map<std::string, Seed> seeds() {
  PageBytes header;
  encode_header({fuzz_stamp(), Lifetime::lasting}, header);
  const std::vector<Entry> two = {entry_of(1, 5000), entry_of(2, kMiB)};
  std::vector<Entry> many;
  for (uint64_t i = 0; i < kGroupEntriesMax; ++i)
    many.push_back(entry_of(i, 1 + i * 4096));
  auto cut = group_of(two);
  cut.resize(2000);
  auto overlapping = group_of(two);
  store_le(overlapping.data() + kGroupHeadBytes + kEntryBytes + 176, uint32_t{2});
  auto counted = footer_of(two);
  store_le(counted.data() + counted.size() - kPageBytes + 4, kRegionEntriesMax + 1);
  return {{"header", {{header.begin(), header.end()}, false}},
          {"group", {group_of(two), true}},
          {"group_full", {group_of(many), true}},
          {"group_cut", {cut, false}},
          {"group_overlapping", {overlapping, false}},
          {"footer", {footer_of(two), true}},
          {"footer_empty", {footer_of({}), true}},
          {"footer_too_many", {counted, false}}};
}

// TARN_WRITE_CORPUS=1 writes them anew.
TEST(RegionCorpus, seeds_are_what_is_written_and_are_taken) {
  const auto folder = std::filesystem::path(TARN_SOURCE_DIR) / "tests/fuzz/corpus/region";
  for (const auto& [name, seed] : seeds()) {
    const std::string text(reinterpret_cast<const char*>(seed.bytes.data()), seed.bytes.size());
    if (std::getenv("TARN_WRITE_CORPUS") != nullptr)
      std::ofstream(folder / name, std::ios::binary) << text;
    std::ifstream in(folder / name, std::ios::binary);
    const std::string kept{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    EXPECT_TRUE(kept == text) << name;
    EXPECT_EQ(check_region_input(seed.bytes), seed.is_taken) << name;
  }
}

}  // namespace
}  // namespace tarn::flash
