#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/status.h"

namespace tarn::object {

// Whether it makes sense to ask the object store. After kFailuresMax failures in a row, or one that
// a person has to mend, it counts as down for a pause, which doubles up to kPauseMax while the
// next attempt after it fails as well. One line in the log when it goes down, one when it is back.
// Thread-safe.
class StoreHealth {
 public:
  static constexpr uint32_t kFailuresMax = 3;
  static constexpr Nanos kPauseMin = std::chrono::seconds(1);
  static constexpr Nanos kPauseMax = std::chrono::seconds(30);

  // `what`: of the log's lines, as "reads".
  StoreHealth(std::string what, const Clock& clock) : x_what(std::move(what)), x_clock(clock) {}

  bool is_up() const { return x_clock.now().ns >= x_down_until.load(std::memory_order_relaxed); }
  // A miss is a success.
  void on_outcome(const Status& outcome);

 private:
  void on_failure(const Status& why) TARN_REQUIRES(x_mutex);

  const std::string x_what;
  const Clock& x_clock;
  std::atomic<int64_t> x_down_until{0};
  Mutex x_mutex;
  uint32_t x_failures TARN_GUARDED_BY(x_mutex) = 0;
  bool x_is_told TARN_GUARDED_BY(x_mutex) = false;
  Nanos x_pause TARN_GUARDED_BY(x_mutex) = kPauseMin;
};

}  // namespace tarn::object
