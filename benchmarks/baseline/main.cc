// Raw UCX active messages between two processes, as the limit that Tarn is compared with.
// Reads lines "run get|put BLOCK_BYTES INFLIGHT crc|nocrc MILLIS" and answers each with one line,
// "slice ..." or "error ...". tarn-bench drives it; by hand it is as good:
//   echo run get 2097152 8 crc 2000 | build/release/benchmarks/tarn-bench-ucx
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <csignal>
#include <iostream>

#include "benchmarks/baseline/client.h"
#include "benchmarks/baseline/server.h"
#include "common/fabric/ucx_settings.h"

namespace {

using tarn::Result;
using tarn::Status;
using tarn::baseline::Client;
using tarn::baseline::Node;
using tarn::baseline::NodeOptions;
using tarn::baseline::Server;

struct Options {
  NodeOptions node;
  size_t pool_mib = 256;
  int server_cpu = -1;
  int client_cpu = -1;
};

void pin(int cpu) {
  if (cpu < 0) return;
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(static_cast<size_t>(cpu), &cpus);
  if (sched_setaffinity(0, sizeof(cpus), &cpus) != 0) std::cerr << "cannot pin to " << cpu << '\n';
}

Status send_address(int fd, const std::string& address) {
  const bool is_sent =
      send(fd, address.data(), address.size(), 0) == static_cast<ssize_t>(address.size());
  return is_sent ? Status::ok() : tarn::unavailable("the other process is gone");
}

Result<std::string> receive_address(int fd) {
  std::array<char, 16 * 1024> buffer{};
  const ssize_t got = recv(fd, buffer.data(), buffer.size(), 0);
  if (got <= 0) return tarn::unavailable("the other process is gone");
  return std::string(buffer.data(), static_cast<size_t>(got));
}

Result<std::unique_ptr<Node>> wire_up(const NodeOptions& options, int fd) {
  TARN_ASSIGN_OR_RETURN(auto node, Node::open(options));
  TARN_RETURN_IF_ERROR(send_address(fd, node->address()));
  TARN_ASSIGN_OR_RETURN(const std::string peer, receive_address(fd));
  TARN_RETURN_IF_ERROR(node->connect(peer));
  return node;
}

Status serve(const Options& options, int fd) {
  pin(options.server_cpu);
  TARN_ASSIGN_OR_RETURN(const auto node, wire_up(options.node, fd));
  Server server(*node, options.pool_mib << 20);
  return server.serve(fd);
}

Status ask(const Options& options, int fd, pid_t server) {
  pin(options.client_cpu);
  TARN_ASSIGN_OR_RETURN(const auto node, wire_up(options.node, fd));
  Client client(*node, options.pool_mib << 20, server);
  TARN_RETURN_IF_ERROR(node->register_memory(client.pool()));
  std::string line;
  while (std::getline(std::cin, line)) {
    const auto run = tarn::report::parse_run(line);
    if (!run) {
      std::cout << "error run get|put BLOCK_BYTES INFLIGHT crc|nocrc MILLIS\n" << std::flush;
      continue;
    }
    const auto slice = client.run(*run);
    std::cout << (slice ? "slice " + slice->to_line() : "error " + slice.error().to_string())
              << '\n'
              << std::flush;
  }
  return Status::ok();
}

int say(const Status& status) {
  if (!status.is_ok()) std::cerr << "tarn-bench-ucx: " << status.to_string() << '\n';
  return status.is_ok() ? 0 : 1;
}

int run(const Options& options) {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) return 1;
  const pid_t server = fork();
  if (server < 0) return say(tarn::unavailable("fork"));
  if (server == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(ends[0]);
    return say(serve(options, ends[1]));
  }
  close(ends[1]);
  const int result = say(ask(options, ends[0], server));
  close(ends[0]);
  waitpid(server, nullptr, 0);
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  tarn::fabric::prepare_ucx_environment();
  Options options;
  bool is_shm = false;
  CLI::App app("Raw UCX active messages: the limit that Tarn is compared with");
  app.add_flag("--shm", is_shm, "UCX's shared memory instead of TCP");
  app.add_option("--device", options.node.device, "Network interface or RDMA port")
      ->capture_default_str();
  app.add_option("--spin-us", options.node.spin_us, "Look for work so long before sleeping")
      ->capture_default_str();
  app.add_option("--pool-mib", options.pool_mib, "Memory of each side")->capture_default_str();
  app.add_option("--server-cpu", options.server_cpu, "Pin the server to it");
  app.add_option("--client-cpu", options.client_cpu, "Pin the client to it");
  CLI11_PARSE(app, argc, argv);
  if (is_shm) options.node.kind = tarn::fabric::Kind::ucx_shm;
  return run(options);
}
