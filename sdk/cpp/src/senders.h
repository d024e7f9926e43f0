#pragma once

#include <cstdint>
#include <vector>

#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/units.h"

namespace tarn::sdk {

// Which servers may send blocks to this client at once. Many that answer together through one port
// overrun its queue; TCP then waits 200 ms and more for what was lost at the end of a message, and
// the line stands still. So few are asked at a time, each for a turn, and the others wait in line.
// There may be one more of them after each while in which all went well; once a sender has stalled
// there is one, and then only as many as are faster together. One-thread (the io loop's).
class Senders {
 public:
  static constexpr uint32_t kFirst = 4;
  static constexpr uint32_t kMost = 256;
  // One sender's turn while others wait.
  static constexpr uint64_t kTurnBytes = 8 * kMiB;
  // As much fits into any queue.
  static constexpr uint64_t kHarmlessBytes = 64 * kKiB;
  // Who waits asks again within half of it, or has gone.
  static constexpr Nanos kPatience = std::chrono::milliseconds(20);
  // A sender that has landed nothing for this long, and for four times as long as they usually
  // take, has stalled. Below TCP's shortest timeout.
  static constexpr Nanos kStallLeast = std::chrono::milliseconds(100);
  static constexpr Nanos kStallFirst = std::chrono::seconds(1);  // before anything has landed
  // After a trial of more senders that were no faster together; twice as long after the next.
  static constexpr Nanos kTrialPause = std::chrono::seconds(1);
  static constexpr Nanos kTrialPauseMost = std::chrono::seconds(30);

  // May `server` be asked for so many bytes more? If not it waits in line, for as long as it is
  // asked about.
  bool may_send(ServerId server, uint64_t bytes, Instant now);
  void on_asked(ServerId server, uint64_t bytes, Instant now);
  // They have landed, or come no more.
  void on_end(ServerId server, uint64_t bytes, Instant now);

  // Has there come room, since this was last asked, for somebody who waits?
  bool take_room();

  uint32_t most() const { return x_most; }
  uint64_t stalls() const { return x_stalls; }

 private:
  struct Sender {
    ServerId server;
    uint64_t bytes = 0;  // that it owes
    uint64_t taken = 0;  // in this turn
    Instant heard;       // when it last landed something, or began to owe
    bool is_stalled = false;
  };
  struct Waiter {
    ServerId server;
    Instant asked;
  };

  Sender* find(ServerId server);
  bool take_place(ServerId server, Instant now);
  void look_for_stalls(Instant now);
  void note_stall(Instant now);
  void note_landed(uint64_t bytes, Instant now);
  void end_trial(double rate, Instant now);
  void begin_phase(Instant now);

  std::vector<Sender> x_senders;  // that owe something
  std::vector<Waiter> x_line;
  uint64_t x_bytes = 0;  // that all of them owe
  uint32_t x_most = kFirst;
  Nanos x_usual{0};  // between what a sender lands; zero: nothing is known
  Instant x_stalled{};
  uint64_t x_stalls = 0;
  bool x_has_room = false;

  // What has landed while x_most was what it is, and all the time somebody sent.
  Instant x_phase_began{};
  uint64_t x_phase_bytes = 0;
  uint32_t x_phase_blocks = 0;
  bool x_has_waited = false;  // somebody, in this phase

  // Since the first stall: is more faster? x_before is 0 where nothing is tried.
  bool x_is_careful = false;
  uint32_t x_before = 0;
  double x_rate = 0;  // bytes in a second with x_before, or with x_most
  Instant x_next_trial{};
  Nanos x_trial_pause = kTrialPause;
};

}  // namespace tarn::sdk
