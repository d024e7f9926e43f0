#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>

#include "common/base/fault_point.h"
#include "router/index/snapshot_keeper.h"
#include "tests/unit/router/index/blocks.h"

namespace tarn::index {
namespace {

constexpr ServerId kOne{1};
constexpr ServerId kTwo{2};

class Snapshots : public testing::Test {
 protected:
  void SetUp() override {
    folder = testing::TempDir() + "index_snapshots_" + std::to_string(::getpid());
    std::filesystem::remove_all(folder);
    open();
  }
  void TearDown() override {
    fault::disarm_all();
    close();
    std::filesystem::remove_all(folder);
  }

  // A router starts, and finds what the one before left.
  void open() {
    auto opened = SnapshotStore::open(folder);
    ASSERT_TRUE(opened.has_value()) << opened.error().to_string();
    store = std::move(*opened);
    index = std::make_unique<Index>(store->seed());
    registry = std::make_unique<metrics::Registry>();
    restored = restore_snapshot(*store, *index);
    SnapshotKeeperOptions options;
    options.index = index.get();
    options.store = store.get();
    options.registry = registry.get();
    options.marks = [this] { return marks; };
    options.restored = restored;
    options.interval = Millis(0);
    keeper = std::make_unique<SnapshotKeeper>(std::move(options));
  }
  void close() {
    keeper.reset();
    index.reset();
    store.reset();
  }
  // It ends without a last word.
  void crash() {
    marks.clear();
    fault::arm("index.snapshot_write", {.times = 0});
    close();
    fault::disarm_all();
    open();
  }

  void add_chain(ServerId server, const std::string& chain, uint32_t count) {
    for (uint32_t i = 0; i < count; ++i)
      add(*index, index->attach(server), block_of(chain, i));
  }
  StreamMark mark(ServerId server, uint64_t sequence, uint64_t incarnation = 5) {
    return {server, {incarnation}, sequence, index->attach(server)};
  }
  uint32_t matched(const std::string& chain) { return Probe(chain, 40).match(*index).matched; }
  uint64_t written() {
    return registry->counter("tarn_index_written_ranges_total", "Any.").value();
  }

  std::string folder;
  std::unique_ptr<SnapshotStore> store;
  std::unique_ptr<Index> index;
  std::unique_ptr<metrics::Registry> registry;
  std::unique_ptr<SnapshotKeeper> keeper;
  std::vector<StreamMark> marks;
  std::vector<StreamMark> restored;
};

TEST_F(Snapshots, bring_back_blocks_and_marks) {
  add_chain(kOne, "a", 40);
  add_chain(kTwo, "b", 7);
  marks = {mark(kOne, 40), mark(kTwo, 7)};
  ASSERT_TRUE(keeper->write().is_ok());
  const uint64_t seed = store->seed();
  crash();
  EXPECT_EQ(store->seed(), seed);
  ASSERT_EQ(restored.size(), 2u);
  EXPECT_EQ(restored[0].server, kOne);
  EXPECT_EQ(restored[0].incarnation.value, 5u);
  EXPECT_EQ(restored[0].sequence, 40u);
  EXPECT_EQ(matched("a"), 40u);
  EXPECT_EQ(matched("b"), 7u);
  EXPECT_EQ(Probe("b", 1).match(*index).runs.at(0).holders.ids[0], kTwo);
}

TEST_F(Snapshots, a_close_writes_what_is_new) {
  add_chain(kOne, "a", 3);
  marks = {mark(kOne, 3)};
  close();
  open();
  EXPECT_EQ(matched("a"), 3u);
}

TEST_F(Snapshots, only_ranges_that_changed_are_written) {
  add_chain(kOne, "a", 3);
  marks = {mark(kOne, 3)};
  ASSERT_TRUE(keeper->write().is_ok());
  EXPECT_EQ(written(), kRanges);
  ASSERT_TRUE(keeper->write().is_ok());
  EXPECT_EQ(written(), kRanges);
  remove(*index, index->attach(kOne), block_of("a", 2));
  marks = {mark(kOne, 4)};
  ASSERT_TRUE(keeper->write().is_ok());
  EXPECT_EQ(written(), kRanges + 1);
  crash();
  EXPECT_EQ(matched("a"), 2u);
  EXPECT_EQ(restored.at(0).sequence, 4u);
}

TEST_F(Snapshots, of_a_server_without_a_mark_nothing_is_taken) {
  add_chain(kOne, "a", 3);
  add_chain(kTwo, "a", 3);
  add_chain(kTwo, "b", 3);
  marks = {mark(kOne, 3)};
  ASSERT_TRUE(keeper->write().is_ok());
  crash();
  EXPECT_EQ(matched("a"), 3u);
  EXPECT_EQ(Probe("a", 1).match(*index).runs.at(0).holders.count, 1u);
  EXPECT_EQ(matched("b"), 0u);
}

TEST_F(Snapshots, a_mark_goes_before_rows_that_lack_the_server) {
  add_chain(kOne, "a", 3);
  add_chain(kTwo, "b", 3);
  marks = {mark(kOne, 3), mark(kTwo, 3)};
  ASSERT_TRUE(keeper->write().is_ok());
  // The server is taken for dead; the router ends in the middle of the next snapshot.
  index->retire(index->attach(kOne));
  index->sweep_retired();
  marks = {mark(kTwo, 3)};
  add_chain(kTwo, "c", 100);
  fault::arm("index.snapshot_write", {.skip = 1, .times = 0});
  EXPECT_FALSE(keeper->write().is_ok());
  fault::disarm_all();
  crash();
  ASSERT_EQ(restored.size(), 1u);
  EXPECT_EQ(restored[0].server, kTwo);
  EXPECT_EQ(matched("a"), 0u);
  EXPECT_EQ(matched("b"), 3u);
}

TEST_F(Snapshots, a_write_that_fails_is_made_up_for) {
  add_chain(kOne, "a", 40);
  marks = {mark(kOne, 40)};
  fault::arm("index.snapshot_write", {});
  EXPECT_FALSE(keeper->write().is_ok());
  EXPECT_TRUE(keeper->write().is_ok());
  crash();
  EXPECT_EQ(matched("a"), 40u);
}

TEST_F(Snapshots, a_folder_that_cannot_be_read_is_begun_anew) {
  add_chain(kOne, "a", 3);
  marks = {mark(kOne, 3)};
  close();
  std::ofstream(folder + "/CURRENT") << "nonsense\n";
  marks.clear();
  open();
  EXPECT_TRUE(restored.empty());
  EXPECT_EQ(matched("a"), 0u);
  add_chain(kOne, "b", 3);
  marks = {mark(kOne, 3)};
  EXPECT_TRUE(keeper->write().is_ok());
}

TEST_F(Snapshots, the_metrics_show_the_size) {
  add_chain(kOne, "a", 40);
  ASSERT_TRUE(keeper->write().is_ok());
  EXPECT_EQ(registry->gauge("tarn_index_blocks", "Any.").value(), 40);
  EXPECT_EQ(registry->gauge("tarn_index_extents", "Any.").value(), 2);
}

TEST(ExtentImages, that_are_malformed_are_refused) {
  ExtentImage image;
  image.position = {77};
  image.anchor_print = 5;
  image.anchor = hash_of("anchor");
  image.prints = {0, 9};
  image.holders = {{{3}, 1, Tier::flash, 4}};
  const std::string key = key_bytes(image);
  const std::string value = value_bytes(image);
  ASSERT_EQ(*parse_extent(key, value), image);
  EXPECT_FALSE(parse_extent(key.substr(1), value).has_value());
  for (size_t size = 0; size < value.size(); ++size)
    EXPECT_FALSE(parse_extent(key, value.substr(0, size)).has_value()) << size;
  EXPECT_FALSE(parse_extent(key, value + "x").has_value());
  std::string bad = value;
  bad[36] = 33;  // the anchor's size
  EXPECT_FALSE(parse_extent(key, bad).has_value());
}

}  // namespace
}  // namespace tarn::index
