#include "cli/program.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/check.h"

namespace tarn::cli {
namespace {

constexpr size_t kOutputBytesMax = 4 << 20;

// What posix_spawn does to the files of the child. One-thread.
class FileActions {
 public:
  FileActions() {
    TARN_CHECK(::posix_spawn_file_actions_init(&x_actions) == 0);
    ::posix_spawn_file_actions_addopen(&x_actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  }
  ~FileActions() { ::posix_spawn_file_actions_destroy(&x_actions); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;

  void send_stdout_to(int fd) {
    ::posix_spawn_file_actions_adddup2(&x_actions, fd, STDOUT_FILENO);
    ::posix_spawn_file_actions_addopen(&x_actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  }
  const posix_spawn_file_actions_t* get() const { return &x_actions; }

 private:
  posix_spawn_file_actions_t x_actions{};
};

Result<pid_t> spawn(const std::vector<std::string>& words, const FileActions& files) {
  TARN_CHECK(!words.empty());
  std::vector<char*> argv;
  for (const std::string& word : words)
    argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  pid_t pid = 0;
  const int error = ::posix_spawnp(&pid, argv[0], files.get(), nullptr, argv.data(), environ);
  if (error == 0) return pid;
  const std::string why = words.front() + ": " + std::generic_category().message(error);
  return error == ENOENT ? not_found(why) : unavailable(why);
}

// Reads until the end of the pipe, or until nothing has come for `timeout`.
bool read_all(int fd, Millis timeout, std::string& into) {
  std::array<char, 4096> chunk{};
  while (into.size() < kOutputBytesMax) {
    pollfd ready{fd, POLLIN, 0};
    const int count = ::poll(&ready, 1, static_cast<int>(timeout.count()));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    const ssize_t got = ::read(fd, chunk.data(), chunk.size());
    if (got == 0) return true;
    if (got < 0) return false;
    into.append(chunk.data(), static_cast<size_t>(got));
  }
  return false;
}

}  // namespace

Result<pid_t> start_program(const std::vector<std::string>& words) {
  return spawn(words, FileActions());
}

Result<std::string> read_program(const std::vector<std::string>& words, Millis timeout) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return unavailable("no pipe can be made");
  FileActions files;
  files.send_stdout_to(ends[1]);
  const auto pid = spawn(words, files);
  ::close(ends[1]);
  std::string text;
  const bool is_whole = pid.has_value() && read_all(ends[0], timeout, text);
  ::close(ends[0]);
  if (!pid) return pid.error();
  if (!is_whole) ::kill(*pid, SIGKILL);
  int status = 0;
  while (::waitpid(*pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!is_whole) return unavailable(words.front() + " did not end in time");
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    return unavailable(words.front() + " failed");
  }
  return text;
}

}  // namespace tarn::cli
