#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "cli/owned_fd.h"
#include "common/base/clock.h"
#include "common/base/result.h"

namespace tarn::cli {

// How long to wait before a child that has died is started again: not at all, unless it dies at
// once again and again. One-thread.
class RestartPolicy {
 public:
  static constexpr Millis kLivesLong{2'000};
  static constexpr Millis kPauseFirst{100};
  static constexpr Millis kPauseMax{5'000};

  Millis pause_after(Millis lived);

 private:
  Millis x_pause{0};
};

// What the supervisor tells its owner.
struct ChildEvent {
  enum class Kind : uint8_t { ready, died, tick };
  Kind kind = Kind::tick;
  pid_t pid = 0;      // of the child
  std::string words;  // died: of what; ready: what it said after the word "ready"
  int starts = 0;     // how often a child was started until now
};

struct SupervisorOptions {
  // The program and its arguments, with a path. It finds the write end of a pipe as descriptor
  // kReadyFd and writes there, once, "ready ..." or "failed CODE_NUMBER SENTENCE" and a newline.
  std::vector<std::string> command;
  std::string log_file;  // takes the child's stderr
  Millis stop_timeout{10'000};
  Millis tick{3'600'000};
  // Called on the supervisor's thread; false: stop.
  std::function<bool(const ChildEvent&)> on_event;
};

inline constexpr int kReadyFd = 3;

// Keeps one child process running: starts it, reaps it, starts it again. SIGTERM and SIGINT are
// passed on and end it; a child that does not end within stop_timeout is killed. A child that says
// why it cannot start, before any was ready, ends it too. One-thread: the thread that opens it must
// be the process's first, or have these signals blocked everywhere. Life: open, run once, destroy.
class Supervisor {
 public:
  // Blocks SIGTERM, SIGINT and SIGHUP in this thread. Returns: ok; unavailable.
  static Result<Supervisor> open(SupervisorOptions options);

  // Returns: ok when it was told to stop; what the child said when it could not start.
  Status run();

 private:
  struct Child {
    pid_t pid = 0;  // 0: none runs
    OwnedFd end;    // a pidfd: readable when it has ended, whichever thread takes its SIGCHLD
    OwnedFd ready;  // the read end of its pipe
    std::string said;
    Instant started;
  };

  Supervisor(SupervisorOptions options, OwnedFd signals)
      : x_options(std::move(options)), x_signals(std::move(signals)) {}

  Status start_child();
  // Waits for a signal, words of the child, the end of a pause or the next tick.
  void wait();
  void read_signals();
  void read_words();
  void take_words();
  void reap();
  void tell(ChildEvent::Kind kind, std::string words);
  void tick();
  void stop_child();

  SupervisorOptions x_options;
  OwnedFd x_signals;
  Child x_child;
  RestartPolicy x_policy;
  Instant x_start_at;
  Instant x_tick_at;
  int x_starts = 0;
  bool x_was_ready = false;
  bool x_is_stopping = false;
  Status x_failure;
};

// "signal 9 (Killed)", "exit status 2"
std::string describe_exit(int wait_status);

}  // namespace tarn::cli
