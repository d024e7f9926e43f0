#include "router/index/snapshot_keeper.h"

#include <algorithm>
#include <set>
#include <utility>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/thread_name.h"

namespace tarn::index {

std::vector<StreamMark> restore_snapshot(SnapshotStore& store, Index& index) {
  auto marks = store.marks();
  Status status = marks.status();
  if (status.is_ok()) {
    std::set<ServerId> marked;
    for (const StreamMark& mark : *marks)
      marked.insert(mark.server);
    status = store.load([&](std::span<const ExtentImage> extents) {
      std::vector<ExtentImage> usable(extents.begin(), extents.end());
      // Of a server without a mark nobody knows which events are missing.
      for (ExtentImage& extent : usable) {
        std::erase_if(extent.holders,
                      [&](const auto& holder) { return !marked.contains(holder.server); });
      }
      index.restore(usable);
    });
    for (StreamMark& mark : *marks)
      mark.handle = index.attach(mark.server);
  }
  if (status.is_ok()) return *marks;
  log::warn("{}: the snapshot is thrown away", status.to_string());
  if (marks.has_value()) {
    for (const StreamMark& mark : *marks)
      index.retire(index.attach(mark.server));
    index.sweep_retired();
  }
  if (const Status wiped = store.wipe(); !wiped.is_ok()) log::warn("{}", wiped.to_string());
  return {};
}

SnapshotKeeper::SnapshotKeeper(SnapshotKeeperOptions options)
    : x_options(std::move(options)),
      x_blocks(x_options.registry->gauge("tarn_index_blocks", "Distinct blocks in the index.")),
      x_extents(x_options.registry->gauge("tarn_index_extents", "Extents in the index.")),
      x_memory_bytes(
          x_options.registry->gauge("tarn_index_memory_bytes", "Memory that the index takes.")),
      x_refused(x_options.registry->gauge("tarn_index_refused_blocks",
                                          "Blocks that the index had no place for since start.")),
      x_written_ranges(x_options.registry->counter("tarn_index_written_ranges_total",
                                                   "Ring ranges written to the snapshot.")),
      x_marks(x_options.restored) {
  TARN_CHECK(x_options.index != nullptr && x_options.marks);
  // Once after the start every range is written: the store may hold rows that were not restored.
  x_written.fill(UINT64_MAX);
  if (x_options.interval.count() > 0) x_thread = std::thread([this] { run(); });
}

SnapshotKeeper::~SnapshotKeeper() {
  close();
}

void SnapshotKeeper::close() {
  {
    const MutexLock lock(x_mutex);
    if (std::exchange(x_stopping, true)) return;
    x_wake.notify_all();
  }
  if (x_thread.joinable()) x_thread.join();
  (void)write();
}

std::vector<StreamMark> SnapshotKeeper::live(const std::vector<StreamMark>& marks) const {
  std::vector<StreamMark> kept = marks;
  std::erase_if(kept,
                [this](const StreamMark& mark) { return !x_options.index->is_live(mark.handle); });
  return kept;
}

// Whatever moment the process ends at, a mark in the store never stands for rows that are not: a
// server's mark goes, in one write with the range, once the rows may lack what the server holds.
Status SnapshotKeeper::write_changed() {
  // Asked before the rows are read: events after the marks may be in them already, and applying
  // those again changes nothing.
  const std::vector<StreamMark> next = x_options.marks();
  for (uint32_t range = 0; range < kRanges; ++range) {
    const uint64_t changes = x_options.index->range_changes(range);
    if (changes == x_written[range]) continue;
    const std::vector<ExtentImage> extents = x_options.index->copy_range(range);
    x_marks = live(x_marks);
    TARN_RETURN_IF_ERROR(x_options.store->write_range(range, extents, x_marks));
    x_written[range] = changes;
    x_written_ranges.add();
  }
  std::vector<StreamMark> marks = live(next);
  if (marks == x_marks) return Status::ok();
  TARN_RETURN_IF_ERROR(x_options.store->write_marks(marks));
  x_marks = std::move(marks);
  return Status::ok();
}

Status SnapshotKeeper::write() {
  show();
  if (x_options.store == nullptr) return Status::ok();
  const MutexLock lock(x_writing);
  Status status = write_changed();
  if (!status.is_ok()) log::warn("{}; tried again later", status.to_string());
  return status;
}

void SnapshotKeeper::show() {
  const IndexStats stats = x_options.index->stats();
  x_blocks.set(static_cast<double>(stats.blocks));
  x_extents.set(static_cast<double>(stats.extents));
  x_memory_bytes.set(static_cast<double>(stats.memory_bytes));
  x_refused.set(static_cast<double>(stats.refused));
}

void SnapshotKeeper::run() {
  set_thread_name("tarn-snapshots");
  while (true) {
    {
      const MutexLock lock(x_mutex);
      const Instant end = system_clock().now() + x_options.interval;
      while (!x_stopping) {
        const Nanos left = end - system_clock().now();
        if (left.count() <= 0) break;
        x_wake.wait_for(x_mutex, left);
      }
      if (x_stopping) return;
    }
    (void)write();
  }
}

}  // namespace tarn::index
