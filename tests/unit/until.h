#pragma once

#include <chrono>
#include <thread>

#include "common/base/clock.h"

namespace tarn {

// Waits for what another thread or process brings about, without taking its core: looks once a
// millisecond. False when it has not come within `within`.
template <typename Condition>
bool until(const Condition& condition, Nanos within = std::chrono::seconds(10)) {
  const Instant end = system_clock().now() + within;
  while (!condition()) {
    if (system_clock().now() > end) return false;
    std::this_thread::sleep_for(Millis(1));
  }
  return true;
}

}  // namespace tarn
