#include <filesystem>
#include <utility>

#include "benchmarks/index/figures.h"
#include "common/base/clock.h"
#include "router/index/snapshot_keeper.h"

namespace tarn::index_bench {
namespace {

double seconds_since(Instant begin) {
  return std::chrono::duration<double>(system_clock().now() - begin).count();
}

uint64_t bytes_in(const std::string& folder) {
  uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) bytes += entry.file_size();
  }
  return bytes;
}

// As the router's own does it, at once.
Status write_snapshot(index::Index& index, index::SnapshotStore& store) {
  metrics::Registry registry;
  index::SnapshotKeeperOptions options;
  options.index = &index;
  options.store = &store;
  options.registry = &registry;
  options.interval = Millis(0);
  options.marks = [&index] {
    return std::vector<index::StreamMark>{{{1}, {1}, 1, index.attach({1})}};
  };
  index::SnapshotKeeper keeper(std::move(options));
  return keeper.write();
}

}  // namespace

Result<Restart> restart(std::unique_ptr<index::Index> index, const std::string& folder) {
  const uint64_t blocks = index->stats().blocks;
  Restart figures;
  {
    TARN_ASSIGN_OR_RETURN(const auto store, index::SnapshotStore::open(folder));
    const Instant begin = system_clock().now();
    TARN_RETURN_IF_ERROR(write_snapshot(*index, *store));
    figures.write_s = seconds_since(begin);
  }
  index.reset();
  figures.snapshot_bytes = bytes_in(folder);
  const Instant begin = system_clock().now();
  TARN_ASSIGN_OR_RETURN(const auto store, index::SnapshotStore::open(folder));
  index::Index again(store->seed());
  (void)index::restore_snapshot(*store, again);
  figures.restore_s = seconds_since(begin);
  if (again.stats().blocks != blocks) return internal_error("the snapshot leaves out blocks");
  return figures;
}

}  // namespace tarn::index_bench
