#pragma once

#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "common/base/fault_point.h"
#include "router/index/snapshot_keeper.h"
#include "tests/unit/router/index/blocks.h"

namespace tarn::index {

// What one life of a router has of its index: the folder's store, and the index filled from it.
struct IndexLife {
  explicit IndexLife(const std::string& folder) {
    auto opened = SnapshotStore::open(folder);
    EXPECT_TRUE(opened.has_value()) << opened.status().to_string();
    store = std::move(*opened);
    index = std::make_unique<Index>(store->seed());
    restored = restore_snapshot(*store, *index);
    SnapshotKeeperOptions options;
    options.index = index.get();
    options.store = store.get();
    options.registry = &registry;
    options.marks = [this] { return marks; };
    options.restored = restored;
    options.interval = Millis(0);
    keeper = std::make_unique<SnapshotKeeper>(std::move(options));
  }
  // Ends without a last word.
  void crash() {
    fault::arm("index.snapshot_write", {.times = 0});
    keeper.reset();
    index.reset();
    store.reset();
    fault::disarm_all();
  }

  std::vector<StreamMark> marks;  // what the index stands for
  std::vector<StreamMark> restored;
  metrics::Registry registry;
  std::unique_ptr<SnapshotStore> store;
  std::unique_ptr<Index> index;
  std::unique_ptr<SnapshotKeeper> keeper;
};

// A folder of this process for each fixture, gone with it.
class SnapshotFolder {
 public:
  explicit SnapshotFolder(const std::string& name)
      : x_path(testing::TempDir() + "index_" + name + "_" + std::to_string(::getpid())) {
    std::filesystem::remove_all(x_path);
  }
  ~SnapshotFolder() { std::filesystem::remove_all(x_path); }
  SnapshotFolder(const SnapshotFolder&) = delete;
  SnapshotFolder& operator=(const SnapshotFolder&) = delete;
  const std::string& path() const { return x_path; }

 private:
  const std::string x_path;
};

}  // namespace tarn::index
