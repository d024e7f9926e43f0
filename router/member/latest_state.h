#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <utility>

#include "common/base/mutex.h"
#include "router/member/authority.h"

namespace tarn::member {

// What an authority last knew, and whom to wake when that changes; common to all kinds.
// Thread-safe.
class LatestState {
 public:
  // Call before the first thread can find a change.
  void start(std::function<void()> changed) {
    MutexLock lock(x_mutex);
    x_changed = std::move(changed);
  }

  std::shared_ptr<const StoredState> get() const {
    MutexLock lock(x_mutex);
    return x_latest;
  }
  bool reachable() const { return x_reachable.load(); }

  // Takes a state that was read unless a newer one is known.
  void offer(const StoredState& stored) {
    {
      MutexLock lock(x_mutex);
      if (x_latest && stored.revision <= x_latest->revision) return;
      x_latest = std::make_shared<const StoredState>(stored);
    }
    wake();
  }

  void set_reachable(bool reachable) {
    if (x_reachable.exchange(reachable) != reachable) wake();
  }

  void wake() const {
    std::function<void()> changed;
    {
      MutexLock lock(x_mutex);
      changed = x_changed;
    }
    if (changed) changed();
  }

 private:
  mutable Mutex x_mutex;
  std::function<void()> x_changed TARN_GUARDED_BY(x_mutex);
  std::shared_ptr<const StoredState> x_latest TARN_GUARDED_BY(x_mutex);
  std::atomic<bool> x_reachable = false;
};

}  // namespace tarn::member
