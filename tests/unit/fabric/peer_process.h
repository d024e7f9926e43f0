#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace tarn::fabric {

// A child process with pipes to its stdin and stdout, killed and reaped with this object.
class PeerProcess {
 public:
  explicit PeerProcess(const std::vector<std::string>& command);
  ~PeerProcess();
  PeerProcess(const PeerProcess&) = delete;
  PeerProcess& operator=(const PeerProcess&) = delete;

  // The next line of its stdout, without the end of line; empty at its end.
  std::string read_line();
  // Writes an empty line to its stdin.
  void write_line();
  void signal(int number);
  // True once it has ended by itself; reaps it.
  bool has_ended();
  // SIGKILL, and waits for the end: an unreaped child counts as alive for UCX.
  void kill_and_reap();

 private:
  pid_t x_pid = -1;
  int x_stdin = -1;
  int x_stdout = -1;
};

}  // namespace tarn::fabric
