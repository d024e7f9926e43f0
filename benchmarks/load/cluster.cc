#include "benchmarks/load/cluster.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "benchmarks/load/pattern.h"

namespace tarn::load {
namespace {

constexpr int kToolMs = 30'000;
constexpr int64_t kStartNsMax = 30'000'000'000;

std::string server_name(size_t which) {
  return "server-" + std::to_string(which + 1);
}

// A port that is free now; another may take it before the router does, which then says so.
uint16_t free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  const bool is_bound = bind(fd, any, size) == 0 && getsockname(fd, any, &size) == 0;
  close(fd);
  return is_bound ? ntohs(address.sin_port) : 0;
}

std::string last_lines(const std::string& path) {
  std::ifstream file(path);
  std::string text;
  std::string line;
  while (std::getline(file, line))
    text += line + '\n';
  constexpr size_t kBytesMax = 2000;
  return text.size() > kBytesMax ? text.substr(text.size() - kBytesMax) : text;
}

}  // namespace

Expected<std::unique_ptr<Cluster>> Cluster::start(Stage& stage, const ClusterOptions& options) {
  std::unique_ptr<Cluster> cluster(new Cluster(stage, options));
  auto folder = stage.folder();
  if (!folder) return folder.error();
  cluster->x_folder = folder.value();
  // Where this process and the servers meet for shared memory.
  setenv("TARN_LOCAL_DIR", cluster->path("local").c_str(), 1);
  if (auto made = cluster->make_secrets(); !made) return made.error();
  if (auto started = cluster->start_router(); !started) return started.error();
  for (size_t which = 0; which < options.servers; ++which) {
    if (auto started = cluster->start_server(which); !started) return started.error();
  }
  if (auto whole = cluster->wait_until_whole(); !whole) {
    return Error{whole.error().outcome, whole.error().message + "\nrouter's log:\n" +
                                            last_lines(cluster->path("router-1.log")) +
                                            "server's log:\n" +
                                            last_lines(cluster->path("server-1.log"))};
  }
  return cluster;
}

Expected<Child> Cluster::start_program(const std::string& name,
                                       const std::vector<std::string>& words) {
  ChildOptions options;
  options.words = words;
  options.words[0] = x_options.programs + "/" + words[0];
  options.log = path(name + ".log");
  return Child::start(x_stage, options);
}

Expected<Done> Cluster::run_to_end(const std::vector<std::string>& words) {
  auto child = start_program("tools", words);
  if (!child) return child.error();
  const int status = child->wait_for(kToolMs);
  if (status == 0) return Done{};
  return Error{Outcome::internal, words[0] + " " + words[1] + " ended with " +
                                      std::to_string(status) + ": " +
                                      last_lines(path("tools.log"))};
}

Expected<Done> Cluster::make_secrets() {
  std::vector<std::string> words = {"tarn",   "certs",     "--secrets-dir", path("secrets"),
                                    "--host", "127.0.0.1", "--router",      "router-1"};
  for (size_t which = 0; which < x_options.servers; ++which)
    words.insert(words.end(), {"--server", server_name(which)});
  return run_to_end(words);
}

Expected<Done> Cluster::start_router() {
  x_endpoint = "127.0.0.1:" + std::to_string(free_port());
  auto router =
      start_program("router-1", {"tarn-router", "--name", "router-1", "--listen", x_endpoint,
                                 "--secrets-dir", path("secrets"), "--state-dir", path("router"),
                                 "--authority", "file:" + path("config")});
  if (!router) return router.error();
  x_router.push_back(std::move(router).value());
  return Done{};
}

Expected<Done> Cluster::start_server(size_t which) {
  const std::string name = server_name(which);
  std::vector<std::string> words = {"tarn-server",
                                    "--name",
                                    name,
                                    "--listen",
                                    "127.0.0.1:0",
                                    "--routers",
                                    x_endpoint,
                                    "--data-dir",
                                    path(name),
                                    "--secrets-dir",
                                    path("secrets"),
                                    "--dram-bytes",
                                    std::to_string(x_options.dram_mib << 20)};
  if (x_options.is_polling) words.emplace_back("--polling");
  if (!x_options.lane_cpus.empty()) words.insert(words.end(), {"--lane-cpus", x_options.lane_cpus});
  if (x_options.flash_mib > 0) {
    const std::string folder = x_options.flash_dir.empty() ? x_folder : x_options.flash_dir;
    words.insert(words.end(), {"--flash-paths", folder + "/" + name + ".flash", "--flash-bytes",
                               std::to_string(x_options.flash_mib << 20)});
  }
  if (x_options.is_shm) words.insert(words.end(), {"--ucx-shm", "trusted"});
  auto server = start_program(name, words);
  if (!server) return server.error();
  if (which < x_servers.size()) {
    x_servers[which] = std::move(server).value();
  } else {
    x_servers.push_back(std::move(server).value());
  }
  return Done{};
}

Expected<ClientOptions> Cluster::client(const std::string& worker) {
  ClientOptions options;
  options.endpoint = x_endpoint;
  options.credentials = path("client-" + worker);
  if (std::filesystem::exists(options.credentials)) return options;
  std::vector<std::string> words = {"tarn",
                                    "token",
                                    "create",
                                    "--tenant",
                                    "bench",
                                    "--secrets-dir",
                                    path("secrets"),
                                    "--ttl",
                                    "24h",
                                    "--out",
                                    options.credentials,
                                    "--endpoint",
                                    x_endpoint};
  if (!worker.empty()) words.insert(words.end(), {"--worker", worker});
  if (auto made = run_to_end(words); !made) return made.error();
  return options;
}

std::vector<pid_t> Cluster::server_pids() const {
  std::vector<pid_t> pids;
  for (const Child& server : x_servers)
    pids.push_back(server.pid());
  return pids;
}

size_t Cluster::find(const std::string& server) const {
  size_t which = 0;
  while (which < x_servers.size() && server_name(which) != server)
    ++which;
  return which;
}

Expected<Done> Cluster::put_once(const ClientOptions& options) {
  auto client = Client::connect(options);
  if (!client) return client.error();
  auto space = client->open_space(bench_space("start"));
  if (!space) return space.error();
  CallOptions call;
  call.copies = x_options.servers;
  const std::string bytes(64, 'x');
  const PutItem item{hash_of(fresh_run(), 0), {}, {tarn::Slice::of(bytes.data(), bytes.size())}};
  Transfer transfer = space->put_kv({&item, 1}, call);
  if (auto ended = transfer.wait(); !ended) return ended.error();
  const BlockOutcome& outcome = transfer.outcomes()[0];
  if (outcome.outcome == Outcome::ok) return Done{};
  return Error{outcome.outcome, outcome.message};
}

Expected<Done> Cluster::wait_until_whole() {
  auto options = client();
  if (!options) return options.error();
  options->timeout_ms = 1000;
  const int64_t end_ns = now_ns() + kStartNsMax;
  Expected<Done> put = Done{};
  do {
    put = put_once(*options);
    if (put) return put;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  } while (now_ns() < end_ns);
  return put;
}

}  // namespace tarn::load
