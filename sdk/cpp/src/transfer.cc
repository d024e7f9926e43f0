#include "sdk/cpp/src/transfer.h"

#include <poll.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "common/base/check.h"
#include "common/base/fault_point.h"

namespace tarn::sdk {

TransferState::TransferState(size_t items, Instant deadline, Result<fabric::Event> event)
    : x_deadline(deadline), x_event(std::move(event)), x_outcomes(items) {}

std::shared_ptr<TransferState> TransferState::open(size_t items, Instant deadline) {
  const bool fails = TARN_FAULT_POINT("sdk.transfer_fd");
  auto event = fails ? Result<fabric::Event>(overloaded("")) : fabric::Event::open();
  std::shared_ptr<TransferState> state(new TransferState(items, deadline, std::move(event)));
  if (!state->x_event) {
    for (BlockOutcome& outcome : state->x_outcomes) {
      outcome.outcome = Outcome::overloaded;
      outcome.message = "no file descriptor is left for a transfer";
    }
    state->x_ended.store(true);
  }
  return state;
}

BlockOutcome& TransferState::outcome(size_t item) {
  TARN_CHECK(!has_ended() && item < x_outcomes.size());
  return x_outcomes[item];
}

void TransferState::end() {
  TARN_CHECK(!has_ended());
  x_ended.store(true, std::memory_order_release);
  x_event->signal();
}

bool TransferState::wait(Instant until) const {
  while (!has_ended()) {
    const Nanos left = until - system_clock().now();
    if (left <= Nanos(0)) return false;
    const int64_t ns = std::min<int64_t>(left.count(), 3'600'000'000'000);
    const timespec timeout{ns / 1'000'000'000, ns % 1'000'000'000};
    pollfd readable{fd(), POLLIN, 0};
    ppoll(&readable, 1, &timeout, nullptr);
  }
  return true;
}

}  // namespace tarn::sdk
