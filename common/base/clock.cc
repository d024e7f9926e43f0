#include "common/base/clock.h"

#include "common/base/check.h"

namespace tarn {
namespace {

class SystemClock : public Clock {
 public:
  Instant now() const override {
    return {std::chrono::duration_cast<Nanos>(std::chrono::steady_clock::now().time_since_epoch())
                .count()};
  }
  int64_t unix_ms() const override {
    return std::chrono::duration_cast<Millis>(std::chrono::system_clock::now().time_since_epoch())
        .count();
  }
};

}  // namespace

const Clock& system_clock() {
  static const SystemClock clock;
  return clock;
}

int64_t ManualClock::load() const {
  return __atomic_load_n(&x_ns, __ATOMIC_ACQUIRE);
}

Instant ManualClock::now() const {
  return {load()};
}

int64_t ManualClock::unix_ms() const {
  return load() / 1'000'000;
}

void ManualClock::advance(Nanos by) {
  TARN_CHECK(by.count() >= 0);
  __atomic_fetch_add(&x_ns, by.count(), __ATOMIC_ACQ_REL);
}

}  // namespace tarn
