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
// There may be more of them after each while in which all went well; once a sender has stalled
// there is one, and then only as many as are faster together. One-thread (the io loop's).
class Senders {
 public:
  static constexpr uint32_t kFirst = 4;
  static constexpr uint32_t kMost = 256;
  // One sender's turn while others wait.
  static constexpr uint64_t kTurnBytes = 8 * kMiB;
  // The next one in line begins while so much of a turn that is over is still on its way: until its
  // first bytes come, the line would stand still.
  static constexpr uint64_t kTailBytes = 512 * kKiB;
  // As much, of all servers together, fits into any queue and needs no turn.
  static constexpr uint64_t kHarmlessBytes = 64 * kKiB;
  // Who waits says so again within half of it, or has gone.
  static constexpr Nanos kPatience = std::chrono::milliseconds(20);
  // A sender that has landed nothing for this long, and for four times as long as a block of that
  // size usually takes, has stalled. Below TCP's shortest timeout.
  static constexpr Nanos kStallLeast = std::chrono::milliseconds(100);
  static constexpr Nanos kStallFirst = std::chrono::seconds(1);  // before anything has landed
  // After a trial of more senders that were no faster together; twice as long after the next.
  static constexpr Nanos kTrialPause = std::chrono::seconds(1);
  static constexpr Nanos kTrialPauseMost = std::chrono::seconds(30);

  // How what a server was asked for has ended.
  enum class Ending : uint8_t {
    unheard,   // the server has said nothing of it
    answered,  // without the bytes
    landed,
  };

  // True: `server` may be asked for so many bytes more, each of which is to end by on_end(). False:
  // it waits in line, for as long as it says so by this or by stay().
  bool ask(ServerId server, uint64_t bytes, Instant now);
  void stay(ServerId server, Instant now);
  void on_end(ServerId server, uint64_t bytes, Ending ending, Instant now);
  // This client itself has done nothing for so long: nobody has stalled because of that.
  void excuse(Nanos pause);

  // Changes whenever there may be room for somebody who waits.
  uint64_t rooms() const { return x_rooms; }
  uint32_t most() const { return x_most; }
  uint64_t stalls() const { return x_stalls; }

 private:
  struct Sender {
    ServerId server;
    uint64_t bytes = 0;    // that it owes
    uint64_t taken = 0;    // in this turn
    uint64_t largest = 0;  // of what it was asked for at once
    Instant heard;         // when it last said something, or began to owe
    bool has_place = false;
    bool is_stalled = false;

    bool is_ending() const { return taken >= kTurnBytes && bytes <= kTailBytes; }
  };
  struct Waiter {
    ServerId server;
    Instant asked;
  };

  static bool is_busy(const Sender& sender) { return sender.has_place && !sender.is_stalled; }
  Sender* find(ServerId server);
  bool may_send(Sender* sender, ServerId server, uint64_t bytes, Instant now);
  bool take_place(ServerId server, Instant now);
  uint32_t busy() const;
  std::vector<Waiter>::iterator stand_in_line(ServerId server, Instant now);
  void leave_line(ServerId server);
  Nanos patience_with(const Sender& sender) const;
  void look_for_stalls(Instant now);
  void note_stall(Instant now);
  void note_usual(uint64_t bytes, Nanos took);
  void note_landed(uint64_t bytes, Instant now);
  void end_trial(double rate, Instant now);
  void begin_phase(Instant now);

  std::vector<Sender> x_senders;  // that owe something
  std::vector<Waiter> x_line;
  uint64_t x_bytes = 0;  // that all of them owe
  uint32_t x_most = kFirst;
  Nanos x_usual{0};  // between what a sender lands; zero: nothing is known
  double x_usual_bytes = 0;
  Instant x_stalled{};
  uint64_t x_stalls = 0;
  uint64_t x_rooms = 0;

  // What has landed while x_most was what it is, without the time in which nobody was asked.
  Instant x_phase_began{};
  uint64_t x_phase_bytes = 0;
  uint32_t x_phase_blocks = 0;
  bool x_has_waited = false;  // somebody, in this phase
  Instant x_idle_since{};

  // Since the first stall: is more faster? x_before is 0 where nothing is tried.
  bool x_is_careful = false;
  uint32_t x_before = 0;
  double x_rate = 0;  // bytes in a second of late, without trials
  Instant x_next_trial{};
  Nanos x_trial_pause = kTrialPause;
};

}  // namespace tarn::sdk
