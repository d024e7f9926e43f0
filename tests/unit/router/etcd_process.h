#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "common/base/free_port.h"

namespace tarn::testing {

// A folder that goes with its owner.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "tarn-test-XXXXXX").string();
    x_path = ::mkdtemp(pattern.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(x_path); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return x_path; }

 private:
  std::string x_path;
};

// Waits, for at most ten seconds, until the condition holds.
template <typename Condition>
bool eventually(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

// A real etcd of one member on loopback, its data in a folder of its own; ended by its pid, and by
// the system should the test die.
class EtcdProcess {
 public:
  EtcdProcess() { start(); }
  ~EtcdProcess() { end(SIGKILL); }

  std::string endpoint() const { return "http://127.0.0.1:" + std::to_string(x_client_port); }
  std::string address() const { return "etcd:" + endpoint(); }

  void start() {
    x_pid = ::fork();
    if (x_pid == 0) run();
    ASSERT_TRUE(eventually([this] { return answers(); })) << "etcd does not start";
  }
  void end(int signal) {
    if (x_pid <= 0) return;
    ::kill(x_pid, signal);
    ::waitpid(x_pid, nullptr, 0);
    x_pid = -1;
  }
  // Stops it in its tracks, and lets it go on.
  void freeze() { ::kill(x_pid, SIGSTOP); }
  void thaw() { ::kill(x_pid, SIGCONT); }

 private:
  [[noreturn]] void run() const {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const std::string client = endpoint();
    const std::string peer = "http://127.0.0.1:" + std::to_string(x_peer_port);
    std::vector<std::string> words = {"/usr/bin/etcd",
                                      "--name",
                                      "test",
                                      "--data-dir",
                                      x_folder.path() + "/etcd",
                                      "--log-level",
                                      "error",
                                      "--logger",
                                      "zap",
                                      "--listen-client-urls",
                                      client,
                                      "--advertise-client-urls",
                                      client,
                                      "--listen-peer-urls",
                                      peer,
                                      "--initial-advertise-peer-urls",
                                      peer,
                                      "--initial-cluster",
                                      "test=" + peer,
                                      "--heartbeat-interval",
                                      "50",
                                      "--election-timeout",
                                      "250"};
    std::vector<char*> arguments;
    for (std::string& word : words)
      arguments.push_back(word.data());
    arguments.push_back(nullptr);
    ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }

  bool answers() const {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(x_client_port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const bool is_open = ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
    ::close(fd);
    return is_open;
  }

  TemporaryFolder x_folder;
  uint16_t x_client_port = free_port();
  uint16_t x_peer_port = free_port();
  pid_t x_pid = -1;
};

}  // namespace tarn::testing
