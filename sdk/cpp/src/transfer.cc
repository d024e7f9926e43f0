#include "sdk/cpp/src/transfer.h"

#include <poll.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "common/base/check.h"
#include "common/base/fault_point.h"

namespace tarn::sdk {

TransferState::TransferState(size_t items, Instant deadline, Events events)
    : x_deadline(deadline),
      x_event(std::move(events.ended)),
      x_layer_event(std::move(events.layers)),
      x_outcomes(items) {}

std::shared_ptr<TransferState> TransferState::open(size_t items, Instant deadline, size_t layers) {
  const bool fails = TARN_FAULT_POINT("sdk.transfer_fd");
  const auto open_event = [](bool is_wanted) {
    return is_wanted ? fabric::Event::open() : Result<fabric::Event>(overloaded(""));
  };
  Events events{open_event(!fails), open_event(!fails && layers > 0)};
  std::shared_ptr<TransferState> state(new TransferState(items, deadline, std::move(events)));
  state->x_layer_count = layers;
  if (!state->x_event || (layers > 0 && !state->x_layer_event)) {
    for (BlockOutcome& outcome : state->x_outcomes) {
      outcome.outcome = Outcome::overloaded;
      outcome.message = "no file descriptor is left for a transfer";
    }
    state->x_ended.store(true);
    if (state->x_event) state->x_event->signal();
  }
  return state;
}

BlockOutcome& TransferState::outcome(size_t item) {
  TARN_CHECK(!has_ended() && item < x_outcomes.size());
  return x_outcomes[item];
}

void TransferState::end() {
  TARN_CHECK(!has_ended());
  if (x_outcomes.empty()) x_layers_ready.store(static_cast<uint32_t>(x_layer_count));
  x_ended.store(true, std::memory_order_release);
  if (x_layer_event) x_layer_event->signal();
  x_event->signal();
}

void TransferState::tell_layers(uint32_t ready) {
  TARN_CHECK(ready <= x_layer_count && x_layer_event);
  if (x_layers_ready.load(std::memory_order_relaxed) == ready) return;
  x_layers_ready.store(ready, std::memory_order_release);
  x_layer_event->signal();
}

size_t TransferState::layers_ready() const {
  if (!x_layer_event) return 0;
  // Before it looks, so that what is told meanwhile is signalled anew.
  x_layer_event->clear();
  if (has_ended()) x_layer_event->signal();
  return x_layers_ready.load(std::memory_order_acquire);
}

Status TransferState::wait_layer(size_t layer, Instant until) const {
  if (layer >= x_layer_count) {
    return invalid_argument("layer: the get was asked for fewer, see CallOptions::layer_ends");
  }
  while (layers_ready() <= layer && !has_ended()) {
    if (!poll_fd(layer_fd(), until)) return deadline_exceeded("the layer has not landed yet");
  }
  return Status::ok();
}

bool TransferState::wait(Instant until) const {
  while (!has_ended()) {
    if (!poll_fd(fd(), until)) return false;
  }
  return true;
}

// Sleeps until the fd is readable, or for an hour; false when `until` has passed.
bool TransferState::poll_fd(int fd, Instant until) {
  const Nanos left = until - system_clock().now();
  if (left <= Nanos(0)) return false;
  const int64_t ns = std::min<int64_t>(left.count(), 3'600'000'000'000);
  const timespec timeout{ns / 1'000'000'000, ns % 1'000'000'000};
  pollfd readable{fd, POLLIN, 0};
  ppoll(&readable, 1, &timeout, nullptr);
  return true;
}

bool Awaited::has_come() const {
  if (transfer.has_ended()) return true;
  if (!layer) return false;
  return *layer >= transfer.x_layer_count ||
         transfer.x_layers_ready.load(std::memory_order_acquire) > *layer;
}

bool Awaited::wait(Instant until) const {
  return layer ? transfer.wait_layer(*layer, until).is_ok() : transfer.wait(until);
}

}  // namespace tarn::sdk
