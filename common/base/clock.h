#pragma once

#include <chrono>
#include <cstdint>

namespace tarn {

using Nanos = std::chrono::nanoseconds;
using Micros = std::chrono::microseconds;
using Millis = std::chrono::milliseconds;

// A point on a monotonic clock of this process; not comparable between processes.
struct Instant {
  int64_t ns = 0;

  friend auto operator<=>(const Instant&, const Instant&) = default;
  friend Instant operator+(Instant t, Nanos d) { return {t.ns + d.count()}; }
  friend Instant operator-(Instant t, Nanos d) { return {t.ns - d.count()}; }
  friend Nanos operator-(Instant a, Instant b) { return Nanos(a.ns - b.ns); }
};

inline constexpr Instant kNever{INT64_MAX};

// The seam through which all code reads time, so that tests and simulations can own it.
// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;

  // Monotonic; never goes back.
  virtual Instant now() const = 0;

  // Milliseconds since the Unix epoch; may step. Only for expiry dates that travel (tickets,
  // tokens, TTLs).
  virtual int64_t unix_ms() const = 0;
};

// The real clock of the machine; lives for ever.
const Clock& system_clock();

// A clock that moves only when told. Thread-safe.
class ManualClock : public Clock {
 public:
  Instant now() const override;
  int64_t unix_ms() const override;
  void advance(Nanos by);

 private:
  int64_t load() const;
  // Starts well away from zero so that subtracting a timeout never goes below it.
  int64_t x_ns = int64_t{1'000'000} * 1'000'000'000;
};

}  // namespace tarn
