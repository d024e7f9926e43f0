#include "tests/unit/fabric/peer_process.h"

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/check.h"

namespace tarn::fabric {

PeerProcess::PeerProcess(const std::vector<std::string>& command) {
  int in[2];
  int out[2];
  TARN_CHECK(pipe(in) == 0 && pipe(out) == 0);
  std::vector<char*> arguments;
  for (const std::string& each : command)
    arguments.push_back(const_cast<char*>(each.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  for (const int fd : {in[0], in[1], out[0], out[1]}) {
    posix_spawn_file_actions_addclose(&actions, fd);
  }
  TARN_CHECK(posix_spawn(&x_pid, arguments[0], &actions, nullptr, arguments.data(), environ) == 0);
  posix_spawn_file_actions_destroy(&actions);
  close(in[0]);
  close(out[1]);
  x_stdin = in[1];
  x_stdout = out[0];
}

PeerProcess::~PeerProcess() {
  kill_and_reap();
  close(x_stdin);
  close(x_stdout);
}

std::string PeerProcess::read_line() {
  std::string line;
  char next = 0;
  while (read(x_stdout, &next, 1) == 1 && next != '\n')
    line.push_back(next);
  return line;
}

void PeerProcess::write_line() {
  TARN_CHECK(write(x_stdin, "\n", 1) == 1);
}

void PeerProcess::signal(int number) {
  TARN_CHECK(x_pid > 0);
  kill(x_pid, number);
}

bool PeerProcess::has_ended() {
  if (x_pid > 0 && waitpid(x_pid, nullptr, WNOHANG) == x_pid) x_pid = -1;
  return x_pid <= 0;
}

void PeerProcess::kill_and_reap() {
  if (x_pid <= 0) return;
  kill(x_pid, SIGKILL);
  waitpid(x_pid, nullptr, 0);
  x_pid = -1;
}

}  // namespace tarn::fabric
