#include "server/session/slot_turn.h"

#include <algorithm>
#include <string>

#include "common/base/check.h"

namespace tarn::session {
namespace {

// A clock that is not the machine's may reach the deadline without anybody's notice.
constexpr Nanos kLookEvery = Millis(100);

}  // namespace

Status SlotTurn::wait_locked(uint64_t epoch, Instant deadline) {
  while (epoch >= x_newest_epoch) {
    if (!x_taken) return Status::ok();
    const Nanos left = deadline - x_clock.now();
    if (left.count() <= 0) return deadline_exceeded("session slot: other commands took too long");
    x_changed.wait_for(x_mutex, std::min(left, kLookEvery));
  }
  return stale_epoch("session slot: the server has moved on to epoch " +
                     std::to_string(x_newest_epoch));
}

bool SlotTurn::enter_locked(uint64_t epoch, Instant deadline, Status& why) {
  if (x_taken && x_waiting >= kSlotQueueMax) {
    why = overloaded("session slot: " + std::to_string(kSlotQueueMax) + " commands wait already");
    return false;
  }
  ++x_waiting;
  why = wait_locked(epoch, deadline);
  --x_waiting;
  if (!why.is_ok()) return false;
  x_taken = true;
  return true;
}

void SlotTurn::leave_locked() {
  TARN_CHECK(x_taken);
  x_taken = false;
  x_changed.notify_all();
}

bool SlotTurn::enter(uint64_t epoch, Instant deadline, Status& why) {
  const MutexLock lock(x_mutex);
  return enter_locked(epoch, deadline, why);
}

void SlotTurn::leave() {
  const MutexLock lock(x_mutex);
  leave_locked();
}

void SlotTurn::set_newest_epoch(uint64_t epoch) {
  const MutexLock lock(x_mutex);
  x_newest_epoch = epoch;
  x_changed.notify_all();
}

}  // namespace tarn::session
