#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "benchmarks/load/stage.h"

namespace tarn::load {

// How long a child may take for an answer.
inline constexpr int kChildAnswerMs = 30'000;

struct ChildOptions {
  std::vector<std::string> words;        // the program's path and its arguments
  std::vector<std::string> environment;  // NAME=VALUE, besides this process's own
  std::string log;                       // stderr goes to its end; empty: to this process's
  bool is_talking = false;               // stdin and stdout are for say() and hear(), else the log
};

// A process that this one has started and ends. Move-only, one-thread; its destructor kills it with
// SIGKILL and waits for it. It never outlives this process.
class Child {
 public:
  // The stage must outlive the child.
  static Expected<Child> start(Stage& stage, const ChildOptions& options);
  Child(Child&& other) noexcept;
  Child& operator=(Child&& other) noexcept;
  ~Child();

  pid_t pid() const { return x_pid; }
  bool is_running();

  // SIGKILL, and waits.
  void kill_hard();
  // Waits for its own end for so long. Returns: its exit status, 128 + signal, or -1 when it runs.
  int wait_for(int timeout_ms);

  // One line to its stdin, without its end.
  Expected<Done> say(const std::string& line);
  // The next line of its stdout, without its end. Returns: the line, unavailable (it has ended),
  // deadline_exceeded.
  Expected<std::string> hear(int timeout_ms);

 private:
  explicit Child(Stage& stage) : x_stage(&stage) {}
  void close_all();

  Stage* x_stage;
  pid_t x_pid = -1;
  int x_in = -1;
  int x_out = -1;
  std::string x_heard;
};

// CPU time of this process, or of another, all threads; 0 for one that has ended.
int64_t own_cpu_ns();
int64_t cpu_ns_of(pid_t process);
// Monotonic.
int64_t now_ns();

}  // namespace tarn::load
