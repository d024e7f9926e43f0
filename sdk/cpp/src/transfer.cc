#include "sdk/cpp/src/transfer.h"

#include <poll.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "common/base/check.h"
#include "common/base/fault_point.h"

namespace tarn::sdk {

namespace {

// A thread that waits where no file descriptor is left looks so often.
constexpr Nanos kBlindPause = std::chrono::milliseconds(1);

}  // namespace

TransferState::TransferState(size_t items, Instant deadline, Result<fabric::Event> layer_event)
    : x_deadline(deadline), x_layer_event(std::move(layer_event)), x_outcomes(items) {}

TransferState::~TransferState() {
  const std::unique_ptr<const fabric::Event> last(x_event.load());
}

std::shared_ptr<TransferState> TransferState::open(size_t items, Instant deadline, size_t layers) {
  const bool is_wanted = layers > 0 && !TARN_FAULT_POINT("sdk.transfer_fd");
  std::shared_ptr<TransferState> state(new TransferState(
      items, deadline, is_wanted ? fabric::Event::open() : Result<fabric::Event>(overloaded(""))));
  state->x_layer_count = layers;
  if (layers > 0 && !state->x_layer_event) {
    for (BlockOutcome& outcome : state->x_outcomes) {
      outcome.outcome = Outcome::overloaded;
      outcome.message = "no file descriptor is left for a transfer";
    }
    state->x_ended.store(true);
  }
  return state;
}

int TransferState::fd() const {
  if (const fabric::Event* const made = x_event.load()) return made->fd();
  if (TARN_FAULT_POINT("sdk.transfer_fd")) return -1;
  Result<fabric::Event> opened = fabric::Event::open();
  if (!opened) return -1;
  auto event = std::make_unique<const fabric::Event>(std::move(opened).value());
  const fabric::Event* first = nullptr;
  // Another thread may have been faster.
  if (!x_event.compare_exchange_strong(first, event.get())) return first->fd();
  if (x_ended.load()) event->signal();
  return event.release()->fd();
}

BlockOutcome& TransferState::outcome(size_t item) {
  TARN_CHECK(!has_ended() && item < x_outcomes.size());
  return x_outcomes[item];
}

void TransferState::end() {
  TARN_CHECK(!has_ended());
  if (x_outcomes.empty()) x_layers_ready.store(static_cast<uint32_t>(x_layer_count));
  x_ended.store(true);
  if (x_layer_event) x_layer_event->signal();
  if (const fabric::Event* const watched = x_event.load()) watched->signal();
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
    const int watched = fd();
    if (watched >= 0) {
      if (!poll_fd(watched, until)) return false;
      continue;
    }
    const Instant now = system_clock().now();
    if (now >= until) return false;
    poll_fd(watched, std::min(until, now + kBlindPause));
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
