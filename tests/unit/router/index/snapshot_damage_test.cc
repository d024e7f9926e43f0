// Whatever is wrong in the snapshot's folder, a router starts, says nothing that it has not read
// whole, and works.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "tests/unit/router/index/snapshot_folder.h"

namespace tarn::index {
namespace {

namespace fs = std::filesystem;

constexpr ServerId kOne{1};
constexpr uint32_t kChains = 20;
constexpr uint32_t kLength = 40;

std::string chain_name(uint32_t chain) {
  return "chain" + std::to_string(chain);
}

class Damage : public testing::Test {
 protected:
  void SetUp() override {
    IndexLife life(folder.path());
    const Handle handle = life.index->attach(kOne);
    for (uint32_t chain = 0; chain < kChains; ++chain) {
      for (uint32_t i = 0; i < kLength; ++i)
        add(*life.index, handle, block_of(chain_name(chain), i));
    }
    life.marks = {{kOne, {5}, kChains * kLength, handle}};
    ASSERT_TRUE(life.keeper->write().is_ok());
    life.crash();
  }
  void TearDown() override { fault::disarm_all(); }

  // Files of this kind, by the beginning or the end of their names.
  std::vector<fs::path> files(const std::string& kind) {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(folder.path())) {
      const std::string name = entry.path().filename();
      if (name.starts_with(kind) || name.ends_with(kind)) found.push_back(entry.path());
    }
    EXPECT_FALSE(found.empty()) << kind;
    return found;
  }

  // A router starts on what is left. All or nothing: with a mark every block must be there, for
  // nobody would ask for the others; without one none may be, for nobody would remove it.
  void start_and_judge(const std::string& what) {
    IndexLife life(folder.path());
    ASSERT_LE(life.restored.size(), 1u) << what;
    const bool is_whole = !life.restored.empty();
    for (uint32_t chain = 0; chain < kChains; ++chain) {
      const auto matched = Probe(chain_name(chain), kLength).match(*life.index).matched;
      ASSERT_EQ(matched, is_whole ? kLength : 0u) << what << ", chain " << chain;
    }
    // It goes on from there.
    const Handle handle = life.index->attach(kOne);
    add(*life.index, handle, block_of("new", 0));
    life.marks = {{kOne, {5}, 9999, handle}};
    ASSERT_TRUE(life.keeper->write().is_ok()) << what;
    life.crash();
    IndexLife next(folder.path());
    ASSERT_EQ(next.restored.size(), 1u) << what;
    EXPECT_EQ(next.restored[0].sequence, 9999u) << what;
    EXPECT_EQ(Probe("new", 1).match(*next.index).matched, 1u) << what;
    next.crash();
  }

  SnapshotFolder folder{"damage"};
};

void flip(const fs::path& path, uint64_t at) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(at));
  const int byte = file.get();
  file.seekp(static_cast<std::streamoff>(at));
  file.put(static_cast<char>(byte ^ 0x55));
}

TEST_F(Damage, none_brings_everything_back) {
  IndexLife life(folder.path());
  ASSERT_EQ(life.restored.size(), 1u);
  EXPECT_EQ(life.index->stats().blocks, kChains * kLength);
  life.crash();
}

// One kind of file, and what is done to it.
struct Blow {
  const char* kind;
  const char* what;
  void (*strike)(const fs::path&);
};

class EveryFile : public Damage, public testing::WithParamInterface<Blow> {};

const Blow kBlows[] = {
    {"CURRENT", "is empty", [](const fs::path& path) { fs::resize_file(path, 0); }},
    {"CURRENT", "is gone", [](const fs::path& path) { fs::remove(path); }},
    {"MANIFEST", "is empty", [](const fs::path& path) { fs::resize_file(path, 0); }},
    {"MANIFEST", "is cut", [](const fs::path& path) { fs::resize_file(path, 20); }},
    {"MANIFEST", "is flipped", [](const fs::path& path) { flip(path, 30); }},
    {"MANIFEST", "is gone", [](const fs::path& path) { fs::remove(path); }},
    {"OPTIONS", "is nonsense", [](const fs::path& path) { std::ofstream(path) << "[nonsense"; }},
    {"OPTIONS", "is gone", [](const fs::path& path) { fs::remove(path); }},
    {"IDENTITY", "is gone", [](const fs::path& path) { fs::remove(path); }},
    {".log", "is empty", [](const fs::path& path) { fs::resize_file(path, 0); }},
    {".log", "is gone", [](const fs::path& path) { fs::remove(path); }},
};

INSTANTIATE_TEST_SUITE_P(Blows, EveryFile, testing::ValuesIn(kBlows));

TEST_P(EveryFile, may_be_damaged) {
  const Blow& blow = GetParam();
  for (const fs::path& path : files(blow.kind))
    blow.strike(path);
  start_and_judge(std::string(blow.kind) + " " + blow.what);
}

TEST_F(Damage, of_the_log_costs_what_follows_and_no_more) {
  // The head of the store stands at the front of the log; rows and marks behind it.
  const fs::path log = files(".log").at(0);
  const uint64_t size = fs::file_size(log);
  ASSERT_GT(size, 10'000u);
  for (const uint64_t at : {uint64_t{9}, size / 10, size / 2, size - 3}) {
    const fs::path copy = folder.path() + ".copy";
    fs::remove_all(copy);
    fs::copy(folder.path(), copy, fs::copy_options::recursive);
    flip(log, at);
    start_and_judge("log flipped at " + std::to_string(at) + " of " + std::to_string(size));
    fs::remove_all(folder.path());
    fs::rename(copy, folder.path());
  }
}

TEST_F(Damage, by_another_programs_files_is_none) {
  std::ofstream(folder.path() + "/stranger.txt") << "hello";
  std::ofstream(folder.path() + "/000999.sst") << "not a table";
  start_and_judge("strange files");
}

TEST_F(Damage, of_a_folder_that_is_a_file_is_said) {
  fs::remove_all(folder.path());
  fs::create_directories(fs::path(folder.path()).parent_path());
  std::ofstream(folder.path()) << "a file";
  const auto opened = SnapshotStore::open(folder.path());
  // It is thrown away like anything else that cannot be read.
  EXPECT_TRUE(opened.has_value()) << opened.status().to_string();
}

ExtentImage image_of_everything() {
  ExtentImage image;
  image.position = {0x0123456789abcdef};
  image.anchor_print = 5;
  image.tenant = kAcme;
  image.space = kSpace;
  image.block_bytes = 4096;
  image.anchor = hash_of("anchor");
  image.prints = {0, 9, 11, 12};
  image.holders = {{{3}, 1, Tier::flash, 0b10101}, {{4}, 0, Tier::dram, 0b00001}};
  return image;
}

TEST(ExtentBytes, are_as_they_have_always_been) {
  ExtentImage image = image_of_everything();
  image.anchor = hash_of("ab");
  image.prints = {9};
  image.holders = {{{3}, 1, Tier::flash, 3}};
  const auto hex = [](const std::string& bytes) {
    std::string text;
    for (const char c : bytes) {
      constexpr char kDigits[] = "0123456789abcdef";
      text += kDigits[static_cast<uint8_t>(c) >> 4];
      text += kDigits[static_cast<uint8_t>(c) & 15];
    }
    return text;
  };
  EXPECT_EQ(hex(key_bytes(image)), "0123456789abcdef0000000000000005");
  EXPECT_EQ(hex(value_bytes(image)),
            "01000000000000000000000000000000"  // tenant
            "07000000000000000000000000000000"  // space
            "00100000"                          // bytes of a block
            "026162"                            // anchor
            "010900000000000000"                // prints
            "01000000"                          // holders
            "03000000"
            "0100"
            "03"
            "0300000000000000");
}

TEST(ExtentBytes, that_were_tampered_with_never_stop_a_router) {
  const ExtentImage image = image_of_everything();
  const std::string key = key_bytes(image);
  const std::string value = value_bytes(image);
  Index index(42);
  uint32_t parsed_count = 0;
  for (size_t at = 0; at < value.size(); ++at) {
    for (const int mask : {0x01, 0x80, 0xff}) {
      std::string bad = value;
      bad[at] = static_cast<char>(bad[at] ^ mask);
      const auto parsed = parse_extent(key, bad);
      if (!parsed.has_value()) {
        EXPECT_EQ(parsed.error().code(), Code::corrupt);
        continue;
      }
      ++parsed_count;
      EXPECT_EQ(value_bytes(*parsed), bad) << at;
      index.restore({&*parsed, 1});
      index.retire(index.attach({3}));
      index.retire(index.attach({4}));
      index.sweep_retired();
    }
  }
  EXPECT_GT(parsed_count, 0u);
}

TEST(ExtentBytes, of_any_kind_never_stop_a_router) {
  const uint64_t seed = std::random_device()();
  std::mt19937_64 random(seed);
  SCOPED_TRACE("seed " + std::to_string(seed));
  for (int round = 0; round < 20'000; ++round) {
    std::string key(random() % 4 == 0 ? random() % 20 : 16, '\0');
    std::string value(random() % 200, '\0');
    for (char& c : key)
      c = static_cast<char>(random());
    for (char& c : value)
      c = static_cast<char>(random() % 3 == 0 ? random() : 0);
    const auto parsed = parse_extent(key, value);
    if (parsed.has_value()) {
      EXPECT_EQ(value_bytes(*parsed), value);
    }
  }
}

// Images that no index ever wrote: each may cost a miss, none may stop the router, and what the
// servers say afterwards counts.
TEST(Restoring, images_that_contradict_each_other_ends_in_what_the_servers_say) {
  Index index(42);
  const Handle one = index.attach(kOne);
  for (uint32_t i = 0; i < 4; ++i)
    add(index, one, block_of("c", i));
  auto images = index.copy_range(
      range_of(index.doubts({kAcme, kSpace, hashes_of("c", 1), {}}, std::vector<ServerId>{kOne})
                   .at(0)
                   .area.position));
  ASSERT_EQ(images.size(), 1u);
  const ExtentImage good = images[0];
  std::vector<ExtentImage> bad(6, good);
  bad[0].prints[1] = bad[0].prints[0];        // one block at two places
  bad[1].prints[0] = bad[1].anchor_print;     // the anchor as its own successor
  bad[2].holders[0].blocks = ~uint64_t{0};    // blocks that nobody knows
  bad[3].holders.assign(9, good.holders[0]);  // more copies than a row has room for
  for (uint32_t i = 0; i < 9; ++i)
    bad[3].holders[i].server = {100 + i};
  bad[4].prints.clear();
  bad[4].anchor = {};            // fewer blocks than are held
  bad[5].holders[0].blocks = 0;  // held by nobody
  for (const ExtentImage& image : bad) {
    Index other(42);
    other.restore({&image, 1});
    other.restore({&good, 1});
    other.restore({&image, 1});
    const Handle handle = other.attach(kOne);
    for (uint32_t range = 0; range < kRanges; ++range) {
      other.begin_scan(handle, {range});
      for (uint32_t i = 0; i < 4; ++i) {
        const StoredBlock block = block_of("c", i);
        if (range_of(good.position) == range) other.add_scanned(handle, {&block, 1});
      }
      other.end_scan(handle, true);
    }
    for (const uint32_t gone : {100u, 101u, 102u, 103u})
      other.retire(other.attach({gone}));
    other.sweep_retired();
    for (uint32_t i = 0; i < 4; ++i)
      add(other, handle, block_of("c", i));
    EXPECT_GE(Probe("c", 4).match(other).matched, 1u);
    for (uint32_t i = 0; i < 4; ++i)
      remove(other, handle, block_of("c", i));
    EXPECT_EQ(Probe("c", 4).match(other).matched, 0u);
  }
}

}  // namespace
}  // namespace tarn::index
