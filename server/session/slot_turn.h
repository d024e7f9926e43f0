#pragma once

#include <atomic>
#include <cstdint>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/status.h"

namespace tarn::session {

// Commands of one slot that wait for their turn. More are refused.
inline constexpr uint32_t kSlotQueueMax = 32;

// One command at a time in a slot, also while that one waits for peers. Unlike a mutex it lets go
// of those who wait: at their deadline, and when the config has moved on from what they know.
// Thread-safe. Limit: kSlotQueueMax wait, further ones are overloaded.
class TARN_CAPABILITY("turn") SlotTurn {
 public:
  explicit SlotTurn(const Clock& clock) : x_clock(clock) {}

  // Waits for the turn of a command that was made for `epoch`. False, with `why` stale_epoch,
  // deadline_exceeded or overloaded, when it does not get it.
  bool enter(uint64_t epoch, Instant deadline, Status& why) TARN_TRY_ACQUIRE(true);
  void leave() TARN_RELEASE();

  // The config's epoch: commands of lower ones get no turn any more.
  void set_newest_epoch(uint64_t epoch);

 private:
  // The analysis reads no bodies of a capability's own functions: theirs are here.
  bool enter_locked(uint64_t epoch, Instant deadline, Status& why) TARN_REQUIRES(x_mutex);
  void leave_locked() TARN_REQUIRES(x_mutex);
  Status wait_locked(uint64_t epoch, Instant deadline) TARN_REQUIRES(x_mutex);

  const Clock& x_clock;
  Mutex x_mutex;
  CondVar x_changed;
  bool x_taken TARN_GUARDED_BY(x_mutex) = false;
  uint32_t x_waiting TARN_GUARDED_BY(x_mutex) = 0;
  uint64_t x_newest_epoch TARN_GUARDED_BY(x_mutex) = 0;
};

}  // namespace tarn::session
