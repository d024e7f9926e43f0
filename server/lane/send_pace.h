#pragma once

#include <cstdint>

#include "common/base/clock.h"

namespace tarn::lane {

// How fast one connection takes what it asked for, and so how long more of it would take. Told of
// by whole samples, the mean of which follows a change within a few; what it knew is forgotten when
// nothing has been sent for a while. One-thread (the lane's).
class SendPace {
 public:
  // So many bytes are to be sent.
  void on_asked(uint64_t bytes, Instant now);
  // So many of them have been.
  void on_sent(uint64_t bytes, Instant now);
  // So many of them never will be.
  void on_dropped(uint64_t bytes);

  // Until so many more bytes would have been sent, after those that are owed already. Zero while
  // too little is known.
  Nanos estimate(uint64_t bytes, Instant now) const;
  // A request was turned away for the estimate. Where that is wrong, the next sample would never
  // come: a few refusals, and one is let in.
  void doubt() { x_bytes_per_s *= kDoubt; }

 private:
  static constexpr double kDoubt = 2;

  void take_sample(Instant now);

  double x_bytes_per_s = 0;
  uint32_t x_samples = 0;  // at most as many as are needed
  Instant x_sampled;
  uint64_t x_owed = 0;
  // The stretch that is measured: something is owed all the time.
  Instant x_since;
  uint64_t x_sent = 0;
};

}  // namespace tarn::lane
