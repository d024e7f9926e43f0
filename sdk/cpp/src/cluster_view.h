#pragma once

#include <atomic>
#include <memory>

#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/ring/config.h"
#include "common/ring/ring.h"

namespace tarn::sdk {

// The cluster in one epoch, as a client sees it. Immutable.
struct View {
  ring::ClusterConfig config;
  ring::Ring ring;
};

// The newest view that this client has been told. Thread-safe. Invariant: its epoch never falls.
class ClusterView {
 public:
  // Returns: true when it is newer than what was known and took its place; invalid_argument.
  Result<bool> offer(ring::ClusterConfig config);

  // Null before the first.
  std::shared_ptr<const View> current() const;

  // Of the current view, without a lock; 0 before the first.
  Epoch epoch() const { return Epoch{x_epoch.load(std::memory_order_acquire)}; }

 private:
  mutable Mutex x_mutex;
  std::shared_ptr<const View> x_view TARN_GUARDED_BY(x_mutex);
  std::atomic<uint64_t> x_epoch{0};
};

}  // namespace tarn::sdk
