#include "cli/supervisor.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <system_error>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/fault_point.h"

namespace tarn::cli {
namespace {

constexpr size_t kWordsBytesMax = 4096;

sigset_t watched_signals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP})
    ::sigaddset(&signals, signal);
  return signals;
}

Status failed(const std::string& what, int error) {
  return unavailable(what + ": " + std::generic_category().message(error));
}

// The files and signals of a new child: empty stdin, stderr to the log, the pipe at kReadyFd, no
// signal blocked. One-thread.
class SpawnPlan {
 public:
  SpawnPlan(const std::string& log_file, int ready_fd) {
    TARN_CHECK(::posix_spawn_file_actions_init(&x_files) == 0);
    TARN_CHECK(::posix_spawnattr_init(&x_attributes) == 0);
    ::posix_spawn_file_actions_addopen(&x_files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_addopen(&x_files, STDERR_FILENO, log_file.c_str(),
                                       O_WRONLY | O_CREAT | O_APPEND, 0600);
    ::posix_spawn_file_actions_adddup2(&x_files, STDERR_FILENO, STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&x_files, ready_fd, kReadyFd);
    sigset_t none;
    ::sigemptyset(&none);
    ::posix_spawnattr_setsigmask(&x_attributes, &none);
    ::posix_spawnattr_setflags(&x_attributes, POSIX_SPAWN_SETSIGMASK);
  }
  ~SpawnPlan() {
    ::posix_spawn_file_actions_destroy(&x_files);
    ::posix_spawnattr_destroy(&x_attributes);
  }
  SpawnPlan(const SpawnPlan&) = delete;
  SpawnPlan& operator=(const SpawnPlan&) = delete;

  Result<pid_t> spawn(const std::vector<std::string>& words) const {
    std::vector<char*> argv;
    for (const std::string& word : words)
      argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    pid_t pid = 0;
    const int error =
        ::posix_spawn(&pid, argv.front(), &x_files, &x_attributes, argv.data(), environ);
    if (error != 0) return failed("cannot start " + words.front(), error);
    return pid;
  }

 private:
  posix_spawn_file_actions_t x_files{};
  posix_spawnattr_t x_attributes{};
};

// "failed 7 the port is taken"
Status parse_failure(const std::string& line) {
  const size_t space = line.find(' ', 7);
  const int number = std::atoi(line.c_str() + 7);
  const bool is_code = number > 0 && number < kCodeCount && space != std::string::npos;
  if (!is_code) return internal_error(line);
  return {static_cast<Code>(number), line.substr(space + 1)};
}

}  // namespace

Millis RestartPolicy::pause_after(Millis lived) {
  if (lived >= kLivesLong) x_pause = Millis(0);
  const Millis pause = x_pause;
  x_pause = std::clamp(x_pause * 2, kPauseFirst, kPauseMax);
  return pause;
}

std::string describe_exit(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    const int signal = WTERMSIG(wait_status);
    return "signal " + std::to_string(signal) + " (" + ::strsignal(signal) + ")";
  }
  return "exit status " + std::to_string(WEXITSTATUS(wait_status));
}

Result<Supervisor> Supervisor::open(SupervisorOptions options) {
  TARN_CHECK(!options.command.empty() && options.on_event != nullptr);
  const sigset_t signals = watched_signals();
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  OwnedFd fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.is_open()) return failed("no signals can be taken", errno);
  return Supervisor(std::move(options), std::move(fd));
}

Status Supervisor::run() {
  x_start_at = system_clock().now();
  x_tick_at = x_start_at + x_options.tick;
  while (!x_is_stopping) {
    const bool is_due = x_child.pid == 0 && system_clock().now() >= x_start_at;
    if (is_due) TARN_RETURN_IF_ERROR(start_child());
    wait();
  }
  stop_child();
  return x_failure;
}

Status Supervisor::start_child() {
  TARN_CHECK(x_child.pid == 0);
  std::array<int, 2> ends{};
  if (TARN_FAULT_POINT("dev.spawn") || ::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return failed("no pipe for the child", errno);
  }
  OwnedFd read_end(ends[0]);
  const OwnedFd write_end(ends[1]);
  ::fcntl(read_end.get(), F_SETFL, O_NONBLOCK);
  const SpawnPlan plan(x_options.log_file, write_end.get());
  TARN_ASSIGN_OR_RETURN(const pid_t pid, plan.spawn(x_options.command));
  x_child = Child{pid, OwnedFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))),
                  std::move(read_end), "", system_clock().now()};
  ++x_starts;
  if (!x_child.end.is_open()) {
    x_failure = failed("the child cannot be watched", errno);
    x_is_stopping = true;
  }
  return Status::ok();
}

void Supervisor::wait() {
  const Instant now = system_clock().now();
  const Instant until = x_child.pid == 0 ? std::min(x_start_at, x_tick_at) : x_tick_at;
  const auto left = std::chrono::ceil<Millis>(std::max(until - now, Nanos(0)));
  std::array<pollfd, 3> fds = {{{x_signals.get(), POLLIN, 0},
                                {x_child.ready.get(), POLLIN, 0},
                                {x_child.end.get(), POLLIN, 0}}};
  const auto timeout = std::min<Millis::rep>(left.count(), INT32_MAX);
  if (::poll(fds.data(), fds.size(), static_cast<int>(timeout)) < 0) return;
  if (fds[1].revents != 0) read_words();
  if (fds[0].revents != 0) read_signals();
  if (fds[2].revents != 0) reap();
  if (system_clock().now() >= x_tick_at) tick();
}

void Supervisor::tick() {
  x_tick_at = x_tick_at + x_options.tick;
  tell(ChildEvent::Kind::tick, "");
}

void Supervisor::tell(ChildEvent::Kind kind, std::string words) {
  if (!x_options.on_event({kind, x_child.pid, std::move(words), x_starts})) x_is_stopping = true;
}

void Supervisor::read_signals() {
  signalfd_siginfo info{};
  while (::read(x_signals.get(), &info, sizeof(info)) == sizeof(info))
    x_is_stopping = true;
}

void Supervisor::read_words() {
  std::array<char, 512> chunk{};
  ssize_t got = 0;
  while ((got = ::read(x_child.ready.get(), chunk.data(), chunk.size())) > 0) {
    if (x_child.said.size() < kWordsBytesMax) {
      x_child.said.append(chunk.data(), static_cast<size_t>(got));
    }
  }
  const bool is_ended = got == 0 || x_child.said.find('\n') != std::string::npos;
  if (is_ended) take_words();
}

void Supervisor::take_words() {
  x_child.ready.reset();
  const std::string line = x_child.said.substr(0, x_child.said.find('\n'));
  if (line.starts_with("ready")) {
    x_was_ready = true;
    tell(ChildEvent::Kind::ready, line.substr(std::min<size_t>(6, line.size())));
  } else if (line.starts_with("failed ") && !x_was_ready) {
    x_failure = parse_failure(line);
    x_is_stopping = true;
  }
}

void Supervisor::reap() {
  int status = 0;
  if (x_child.pid == 0 || ::waitpid(x_child.pid, &status, WNOHANG) != x_child.pid) return;
  // What it said last may still lie in the pipe.
  if (x_child.ready.is_open()) read_words();
  const Instant now = system_clock().now();
  const auto lived = std::chrono::duration_cast<Millis>(now - x_child.started);
  x_start_at = now + x_policy.pause_after(lived);
  const bool was_wanted = !x_is_stopping;
  if (was_wanted) tell(ChildEvent::Kind::died, describe_exit(status));
  x_child = Child{};
}

void Supervisor::stop_child() {
  if (x_child.pid == 0) return;
  ::kill(x_child.pid, SIGTERM);
  const Instant deadline = system_clock().now() + x_options.stop_timeout;
  while (x_child.pid != 0) {
    const Instant now = system_clock().now();
    if (now >= deadline) ::kill(x_child.pid, SIGKILL);
    const auto left = std::chrono::ceil<Millis>(std::max(deadline - now, Nanos(Millis(100))));
    // Without a pidfd it is looked for again and again.
    const int wait_ms = static_cast<int>(x_child.end.is_open() ? left.count() : 1);
    pollfd end{x_child.end.get(), POLLIN, 0};
    (void)::poll(&end, 1, wait_ms);
    reap();
  }
}

}  // namespace tarn::cli
