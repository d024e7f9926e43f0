#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/fabric/event.h"
#include "sdk/cpp/src/view.h"
#include "tarn/tarn.h"

namespace tarn::sdk {

// How one batch stands: what the caller waits on, and what the io thread reports to. Thread-safe.
// Life: open, settle each item, end; ended once, after which outcomes never change.
class TransferState {
 public:
  // `layers`: that a layer-wise get tells of, else 0. Where no file descriptor is left for these,
  // the transfer has ended as overloaded at once.
  static std::shared_ptr<TransferState> open(size_t items, Instant deadline, size_t layers = 0);
  ~TransferState();
  TransferState(const TransferState&) = delete;
  TransferState& operator=(const TransferState&) = delete;

  Instant deadline() const { return x_deadline; }
  // Readable once it has ended. Made when first asked for, as most transfers need none, and to make
  // one costs as much as all else of a small get. -1 where no file descriptor is left.
  int fd() const;
  bool has_ended() const { return x_ended.load(std::memory_order_acquire); }
  // False when `until` passed first.
  bool wait(Instant until) const;

  // Readable when more layers have landed than layers_ready() told last, and once it has ended.
  int layer_fd() const { return x_layer_event ? x_layer_event->fd() : -1; }
  // Layers, from the first on, that have landed in all blocks.
  size_t layers_ready() const;
  // Until `layer`, counted from 0, has landed or the transfer has ended. Returns: ok;
  // invalid_argument (no such layer); deadline_exceeded: `until` passed first.
  Status wait_layer(size_t layer, Instant until) const;

  void cancel() { x_cancelled.store(true, std::memory_order_release); }
  bool is_cancelled() const { return x_cancelled.load(std::memory_order_acquire); }

  // By the one thread that owns the transfer at the time. Precondition: !has_ended().
  BlockOutcome& outcome(size_t item);
  void tell_layers(uint32_t ready);
  void end();

  // Precondition: has_ended().
  const std::vector<BlockOutcome>& outcomes() const { return x_outcomes; }

  // Where views are asked for: a pin for each item, or null. Set before the transfer begins, and
  // its one user's once it has ended.
  std::vector<std::shared_ptr<ViewPin>>& pins() { return x_pins; }

 private:
  friend struct Awaited;

  TransferState(size_t items, Instant deadline, Result<fabric::Event> layer_event);
  static bool poll_fd(int fd, Instant until);

  const Instant x_deadline;
  // Owned. Whoever sets it looks at x_ended then, and end() the other way round: one of the two
  // sees the other, and signals.
  mutable std::atomic<const fabric::Event*> x_event{nullptr};
  const Result<fabric::Event> x_layer_event;  // none where there are no layers
  size_t x_layer_count = 0;
  std::atomic<uint32_t> x_layers_ready{0};
  std::atomic<bool> x_ended{false};
  std::atomic<bool> x_cancelled{false};
  std::vector<BlockOutcome> x_outcomes;
  std::vector<std::shared_ptr<ViewPin>> x_pins;
};

// What a thread waits for: the end of a transfer, or one layer of it, whichever comes first.
struct Awaited {
  const TransferState& transfer;
  std::optional<size_t> layer = {};

  // Also where there is no such layer.
  bool has_come() const;
  // Asleep. False when `until` passed first.
  bool wait(Instant until) const;
};

}  // namespace tarn::sdk
