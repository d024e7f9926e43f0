#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/metrics/registry.h"
#include "router/index/index.h"
#include "router/index/snapshot_store.h"

namespace tarn::index {

// Fills the index from a snapshot. What cannot be read is thrown away, and the index stays empty.
// Gives the marks from which the servers' streams are to go on. To be called before the index is
// used otherwise.
std::vector<StreamMark> restore_snapshot(SnapshotStore& store, Index& index);

struct SnapshotKeeperOptions {
  Index* index = nullptr;
  SnapshotStore* store = nullptr;  // null: only the metrics are kept
  metrics::Registry* registry = nullptr;
  std::function<std::vector<StreamMark>()> marks;  // what the index stands for now
  std::vector<StreamMark> restored;                // what the store stands for
  Millis interval{15'000};                         // 0: only write() writes
};

// Writes the ranges of the index that have changed to its snapshot, every interval and at close,
// and the sizes of the index to the metrics. Thread-safe. One thread, "tarn-snapshots", that never
// holds the index for long. A write that fails is tried again with the next interval.
class SnapshotKeeper {
 public:
  explicit SnapshotKeeper(SnapshotKeeperOptions options);
  ~SnapshotKeeper();
  SnapshotKeeper(const SnapshotKeeper&) = delete;
  SnapshotKeeper& operator=(const SnapshotKeeper&) = delete;

  // Writes now. Returns: ok, internal.
  Status write();
  // Ends the thread, after a last write.
  void close();

 private:
  void run();
  void show();
  std::vector<StreamMark> live(const std::vector<StreamMark>& marks) const;
  Status write_changed() TARN_REQUIRES(x_writing);

  const SnapshotKeeperOptions x_options;
  metrics::Gauge& x_blocks;
  metrics::Gauge& x_extents;
  metrics::Gauge& x_memory_bytes;
  metrics::Gauge& x_refused;
  metrics::Counter& x_written_ranges;

  Mutex x_writing;                                             // held while a snapshot is written
  std::vector<StreamMark> x_marks TARN_GUARDED_BY(x_writing);  // in the store
  std::array<uint64_t, kRanges> x_written TARN_GUARDED_BY(x_writing);  // changes in the store

  Mutex x_mutex;
  CondVar x_wake;
  bool x_stopping TARN_GUARDED_BY(x_mutex) = false;
  std::thread x_thread;
};

}  // namespace tarn::index
