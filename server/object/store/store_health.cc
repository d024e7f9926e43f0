#include "server/object/store/store_health.h"

#include <algorithm>

#include "common/base/log.h"

namespace tarn::object {
namespace {

bool is_answered(Code code) {
  return code == Code::ok || code == Code::not_found || code == Code::corrupt;
}

bool may_pass(Code code) {
  return code == Code::unavailable || code == Code::deadline_exceeded;
}

}  // namespace

void StoreHealth::on_outcome(const Status& outcome) {
  const MutexLock lock(x_mutex);
  if (!is_answered(outcome.code())) return on_failure(outcome);
  x_failures = 0;
  x_pause = kPauseMin;
  x_down_until.store(0, std::memory_order_relaxed);
  if (x_is_told) log::info("object store: {} go on", x_what);
  x_is_told = false;
}

void StoreHealth::on_failure(const Status& why) {
  ++x_failures;
  if (may_pass(why.code()) && x_failures < kFailuresMax) return;
  const Instant now = x_clock.now();
  if (now.ns < x_down_until.load(std::memory_order_relaxed)) return;
  x_down_until.store((now + x_pause).ns, std::memory_order_relaxed);
  x_pause = std::min(x_pause * 2, kPauseMax);
  if (!x_is_told) log::warn("object store: {} pause: {}", x_what, why.message());
  x_is_told = true;
}

}  // namespace tarn::object
