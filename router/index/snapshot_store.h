#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "router/index/extent_image.h"
#include "router/index/stream_mark.h"

namespace tarn::index {

// The index on disk: extents by ring position first, so that a range of the ring is one contiguous
// piece, and the marks up to which they stand for each server's events. RocksDB in a folder of its
// own that may be wiped at any time. One-thread. Invariant: for a server with a mark, extents and
// the server's events after the mark give all that it holds, also when the process ends between
// two writes.
class SnapshotStore {
 public:
  // What cannot be read is thrown away. Returns: ok, unavailable (another process has the folder,
  // which stays as it is), internal (the folder cannot be written).
  static Result<std::unique_ptr<SnapshotStore>> open(const std::string& folder);
  ~SnapshotStore();
  SnapshotStore(const SnapshotStore&) = delete;
  SnapshotStore& operator=(const SnapshotStore&) = delete;

  // Of the fingerprints in the extents; drawn when the folder was empty.
  uint64_t seed() const;
  // Returns: ok, corrupt, internal.
  Result<std::vector<StreamMark>> marks() const;
  // Calls `take` with some extents at a time, in the order of the ring. Returns: ok, corrupt,
  // internal.
  Status load(const std::function<void(std::span<const ExtentImage>)>& take) const;
  // Throws away all extents and marks. Returns: ok, internal.
  Status wipe();

  // Replaces the extents of a range, and all marks, at once. Returns: ok, internal.
  Status write_range(uint32_t range, std::span<const ExtentImage> extents,
                     std::span<const StreamMark> marks);
  Status write_marks(std::span<const StreamMark> marks);

 private:
  struct Impl;
  explicit SnapshotStore(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> x_impl;
};

}  // namespace tarn::index
