#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/fabric/event.h"
#include "tarn/tarn.h"

namespace tarn::sdk {

// How one batch stands: what the caller waits on, and what the io thread reports to. Thread-safe.
// Life: open, settle each item, end; ended once, after which outcomes never change.
class TransferState {
 public:
  // Where no file descriptor is left, the transfer has ended as overloaded at once, and fd() is -1.
  static std::shared_ptr<TransferState> open(size_t items, Instant deadline);

  Instant deadline() const { return x_deadline; }
  int fd() const { return x_event ? x_event->fd() : -1; }
  bool has_ended() const { return x_ended.load(std::memory_order_acquire); }
  // False when `until` passed first.
  bool wait(Instant until) const;

  void cancel() { x_cancelled.store(true, std::memory_order_release); }
  bool is_cancelled() const { return x_cancelled.load(std::memory_order_acquire); }

  // By the one thread that owns the transfer at the time. Precondition: !has_ended().
  BlockOutcome& outcome(size_t item);
  void end();

  // Precondition: has_ended().
  const std::vector<BlockOutcome>& outcomes() const { return x_outcomes; }

 private:
  TransferState(size_t items, Instant deadline, Result<fabric::Event> event);

  const Instant x_deadline;
  const Result<fabric::Event> x_event;
  std::atomic<bool> x_ended{false};
  std::atomic<bool> x_cancelled{false};
  std::vector<BlockOutcome> x_outcomes;
};

}  // namespace tarn::sdk
