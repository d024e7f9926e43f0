#include "cli/dev_child.h"

#include <algorithm>
#include <csignal>
#include <memory>
#include <string_view>
#include <thread>
#include <vector>

#include <pthread.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/credentials_folder.h"
#include "cli/dev_folder.h"
#include "cli/machine.h"
#include "cli/rpc/admin_client.h"
#include "cli/supervisor.h"
#include "cli/text.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/fault_point.h"
#include "common/base/log.h"
#include "router/router.h"
#include "server/wiring.h"

namespace tarn::cli {
namespace {

constexpr Millis kReadyWithin{30'000};
constexpr Millis kLookEvery{20};
constexpr Millis kLookAfter{200};  // once all are up
constexpr Millis kAskTimeout{1'000};

// All parts of the child, in the order in which they start. One-thread.
struct DevCluster {
  std::unique_ptr<router::Router> router;
  std::vector<std::unique_ptr<server::Server>> servers;

  ~DevCluster() {
    for (const auto& server : servers)
      server->close();
    if (router != nullptr) router->close();
  }
};

// The kernel ends this process with its supervisor, however that ends.
Status follow_parent(pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() == parent) return Status::ok();
  return unavailable("the supervisor of this process is gone");
}

sigset_t block_ends() {
  sigset_t ends;
  ::sigemptyset(&ends);
  ::sigaddset(&ends, SIGTERM);
  ::sigaddset(&ends, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  return ends;
}

// True when a signal to end came within the time; without one, waits for ever.
bool is_ended(const sigset_t& ends, Millis within) {
  const timespec span{0, within.count() * 1'000'000};
  return ::sigtimedwait(&ends, nullptr, &span) > 0;
}

void say(std::string words) {
  std::replace(words.begin(), words.end(), '\n', ' ');
  words += '\n';
  // Nobody reads it after the supervisor's end, and then this process ends too.
  if (::write(kReadyFd, words.data(), words.size()) < 0) log::warn("nobody hears: {}", words);
  ::close(kReadyFd);
}

server::ServerOptions server_options(const DevChildOptions& options, uint32_t index) {
  const DevPaths paths{options.folder};
  const std::string host = options.listen.substr(0, options.listen.rfind(':'));
  server::ServerOptions made;
  made.name = dev_server_name(index);
  made.listen = host + ":0";
  made.routers = {options.listen};
  made.dram_bytes = options.dram_bytes / options.servers;
  made.lanes = std::max(1u, std::thread::hardware_concurrency() / 2 / options.servers);
  made.lanes = std::min(made.lanes, lanes_that_fit(made.dram_bytes));
  made.data_dir = paths.server_state(index);
  made.secrets_dir = paths.secrets();
  made.fabric_device = device_of_host(host);
  return made;
}

Status open_cluster(const DevChildOptions& options, DevCluster& into) {
  const DevPaths paths{options.folder};
  router::RouterOptions made;
  made.name = kDevRouter;
  made.listen = options.listen;
  made.authority = "file:" + paths.authority();
  made.state_dir = paths.router_state();
  made.secrets_dir = paths.secrets();
  TARN_ASSIGN_OR_RETURN(into.router, router::Router::open(made));
  for (uint32_t i = 0; i < options.servers; ++i) {
    if (TARN_FAULT_POINT("dev.server_open")) return unavailable("a server does not start");
    TARN_ASSIGN_OR_RETURN(auto server, server::Server::open(server_options(options, i)));
    into.servers.push_back(std::move(server));
  }
  return Status::ok();
}

size_t servers_up(const RouterReport& report) {
  return static_cast<size_t>(
      std::count_if(report.servers.begin(), report.servers.end(),
                    [](const ServerReport& server) { return server.state == "up"; }));
}

// Asks the router as an operator would until all servers are up, or a signal ends the wait.
Status wait_until_up(const DevChildOptions& options, const sigset_t& ends) {
  TARN_ASSIGN_OR_RETURN(const Proof proof, read_proof(options.folder));
  TARN_CHECK(proof.is_admin);
  TARN_ASSIGN_OR_RETURN(AdminClient client, AdminClient::open(options.listen,
                                                              {proof.ca_pem, proof.certificate_pem,
                                                               proof.key_pem, proof.token},
                                                              kAskTimeout));
  const Instant deadline = system_clock().now() + kReadyWithin;
  while (system_clock().now() < deadline) {
    const auto report = client.status();
    if (report && servers_up(*report) >= options.servers) return Status::ok();
    if (is_ended(ends, kLookEvery)) return cancelled("it was told to stop");
  }
  return deadline_exceeded("the storage servers did not join; see " + options.folder + "/log");
}

Status serve(const DevChildOptions& options, const sigset_t& ends) {
  DevCluster cluster;
  TARN_RETURN_IF_ERROR(open_cluster(options, cluster));
  TARN_RETURN_IF_ERROR(wait_until_up(options, ends));
  say("ready");
  while (!is_ended(ends, kLookAfter)) {
    for (const auto& server : cluster.servers) {
      // The supervisor makes a new start of it, which shows whether the disk is sound.
      const Status failure = server->failure();
      if (!failure.is_ok()) return cancelled(failure.message());
    }
  }
  log::info("ends on a signal");
  return Status::ok();
}

}  // namespace

Status run_dev_child(const DevChildOptions& options) {
  TARN_CHECK(options.servers > 0);
  TARN_RETURN_IF_ERROR(log::start("tarn-dev", "info"));
  TARN_RETURN_IF_ERROR(follow_parent(options.parent));
  ::umask(077);  // whatever the parts write is their owner's alone
  const sigset_t ends = block_ends();
  Status status = serve(options, ends);
  if (status.code() == Code::cancelled) return Status::ok();
  if (!status.is_ok()) {
    log::error("{}", status.to_string());
    say("failed " + std::to_string(static_cast<int>(status.code())) + " " + status.message());
  }
  return status;
}

}  // namespace tarn::cli
