#include "benchmarks/load/child.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <ctime>
#include <thread>
#include <utility>

namespace tarn::load {
namespace {

constexpr int kCannotStart = 127;

struct Plumbing {
  int in = -1;  // stdin of the child
  int out = -1;
  int err = -1;
};

int64_t read_clock_ns(clockid_t clock) {
  timespec time{};
  if (clock_gettime(clock, &time) != 0) return 0;
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> out;
  out.reserve(words.size() + 1);
  for (std::string& word : words)
    out.push_back(word.data());
  out.push_back(nullptr);
  return out;
}

std::vector<std::string> whole_environment(const std::vector<std::string>& more) {
  std::vector<std::string> all = more;
  for (char** each = environ; *each != nullptr; ++each) {
    const std::string_view name(*each, std::strcspn(*each, "="));
    const auto is_same = [&](const std::string& set) {
      return set.size() > name.size() && set.starts_with(name) && set[name.size()] == '=';
    };
    bool is_set = false;
    for (const std::string& set : more)
      is_set = is_set || is_same(set);
    if (!is_set) all.emplace_back(*each);
  }
  return all;
}

// In the child, between fork and exec: nothing that allocates.
void become(char* const* words, char* const* environment, const Plumbing& plumbing) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  dup2(plumbing.in, STDIN_FILENO);
  dup2(plumbing.out, STDOUT_FILENO);
  if (plumbing.err >= 0) dup2(plumbing.err, STDERR_FILENO);
  execve(words[0], words, environment);
}

Error failed(const std::string& what) {
  return {Outcome::unavailable, what + ": " + std::strerror(errno)};
}

}  // namespace

int64_t own_cpu_ns() {
  return read_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

int64_t cpu_ns_of(pid_t process) {
  clockid_t clock{};
  if (process <= 0 || clock_getcpuclockid(process, &clock) != 0) return 0;
  return read_clock_ns(clock);
}

int64_t now_ns() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

Expected<Child> Child::start(Stage& stage, const ChildOptions& options) {
  std::array<int, 2> in{-1, -1};
  std::array<int, 2> out{-1, -1};
  Child child(stage);
  Plumbing plumbing;
  if (access(options.words.at(0).c_str(), X_OK) != 0) return failed(options.words[0]);
  if (!options.log.empty()) {
    plumbing.err = open(options.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (plumbing.err < 0) return failed(options.log);
  }
  if (options.is_talking) {
    // What is said goes through a socket: unlike a pipe it can be written without SIGPIPE.
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in.data()) != 0 ||
        pipe2(out.data(), O_CLOEXEC) != 0)
      return failed("pipe");
    child.x_in = in[1];
    child.x_out = out[0];
    plumbing.in = in[0];
    plumbing.out = out[1];
  } else {
    plumbing.in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    plumbing.out = plumbing.err >= 0 ? dup(plumbing.err) : dup(STDERR_FILENO);
  }
  std::vector<std::string> words = options.words;
  std::vector<std::string> environment = whole_environment(options.environment);
  const std::vector<char*> argv = pointers(words);
  const std::vector<char*> envp = pointers(environment);
  child.x_pid = fork();
  if (child.x_pid == 0) {
    become(argv.data(), envp.data(), plumbing);
    kill(getpid(), SIGABRT);
  }
  for (const int fd : {plumbing.in, plumbing.out, plumbing.err}) {
    if (fd >= 0) close(fd);
  }
  if (child.x_pid < 0) return failed("fork");
  stage.watch(child.x_pid);
  return child;
}

Child::Child(Child&& other) noexcept
    : x_stage(other.x_stage),
      x_pid(std::exchange(other.x_pid, -1)),
      x_in(std::exchange(other.x_in, -1)),
      x_out(std::exchange(other.x_out, -1)),
      x_heard(std::move(other.x_heard)) {}

Child& Child::operator=(Child&& other) noexcept {
  std::swap(x_stage, other.x_stage);
  std::swap(x_pid, other.x_pid);
  std::swap(x_in, other.x_in);
  std::swap(x_out, other.x_out);
  std::swap(x_heard, other.x_heard);
  return *this;
}

Child::~Child() {
  kill_hard();
}

void Child::close_all() {
  if (x_in >= 0) close(x_in);
  if (x_out >= 0) close(x_out);
  x_in = x_out = -1;
}

bool Child::is_running() {
  return wait_for(0) == -1;
}

void Child::kill_hard() {
  if (x_pid > 0) {
    kill(x_pid, SIGKILL);
    waitpid(x_pid, nullptr, 0);
    x_stage->forget(x_pid);
    x_pid = -1;
  }
  close_all();
}

int Child::wait_for(int timeout_ms) {
  if (x_pid < 0) return kCannotStart;
  const int64_t end_ns = now_ns() + int64_t{timeout_ms} * 1'000'000;
  int status = 0;
  while (waitpid(x_pid, &status, WNOHANG) == 0) {
    if (now_ns() >= end_ns) return -1;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  x_stage->forget(x_pid);
  x_pid = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

Expected<Done> Child::say(const std::string& line) {
  const std::string text = line + '\n';
  size_t written = 0;
  while (written < text.size()) {
    const ssize_t now = send(x_in, text.data() + written, text.size() - written, MSG_NOSIGNAL);
    if (now < 0 && errno == EINTR) continue;
    if (now <= 0) return failed("a process that was started has ended");
    written += static_cast<size_t>(now);
  }
  return Done{};
}

Expected<std::string> Child::hear(int timeout_ms) {
  const int64_t end_ns = now_ns() + int64_t{timeout_ms} * 1'000'000;
  std::array<char, 65536> buffer;
  for (;;) {
    const size_t newline = x_heard.find('\n');
    if (newline != std::string::npos) {
      std::string line = x_heard.substr(0, newline);
      x_heard.erase(0, newline + 1);
      return line;
    }
    const int64_t left_ms = (end_ns - now_ns()) / 1'000'000;
    if (left_ms <= 0) return Error{Outcome::deadline_exceeded, "no answer of a process"};
    pollfd fd{x_out, POLLIN, 0};
    if (poll(&fd, 1, static_cast<int>(left_ms)) <= 0) continue;
    const ssize_t got = read(x_out, buffer.data(), buffer.size());
    if (got <= 0) return Error{Outcome::unavailable, "a process that was started has ended"};
    x_heard.append(buffer.data(), static_cast<size_t>(got));
  }
}

}  // namespace tarn::load
