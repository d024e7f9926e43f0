#pragma once

#include <memory>
#include <string>
#include <vector>

#include "benchmarks/load/child.h"

namespace tarn::load {

struct ClusterOptions {
  std::string programs;  // folder of tarn, tarn-router and tarn-server
  uint32_t servers = 1;  // each in a failure domain of its own
  uint64_t dram_mib = 2048;
  bool is_shm = false;
  bool is_polling = false;
  std::string lane_cpus;   // empty: the kernel chooses
  uint64_t flash_mib = 0;  // of each server's drive; 0: none
  std::string flash_dir;   // of the drives' files; empty: the stage's folder
};

// A router and storage servers of this benchmark's own, on loopback, with certificates and data in
// the stage's folder. One-thread. The stage must outlive it.
class Cluster {
 public:
  // Returns once a block can be put with one copy on each server.
  static Expected<std::unique_ptr<Cluster>> start(Stage& stage, const ClusterOptions& options);

  // How a tenant reaches it; or, with a name, a worker of the tenant.
  Expected<ClientOptions> client(const std::string& worker = {});
  std::vector<pid_t> server_pids() const;
  size_t server_count() const { return x_servers.size(); }

  // The place of the server of this name; server_count() for none.
  size_t find(const std::string& server) const;
  void kill_server(size_t which) { x_servers[which].kill_hard(); }
  // Returns: ok; unavailable.
  Expected<Done> start_server(size_t which);
  // Until a block can be put with as many copies as there are servers.
  Expected<Done> wait_until_whole();

 private:
  Cluster(Stage& stage, ClusterOptions options) : x_stage(stage), x_options(std::move(options)) {}

  Expected<Done> make_secrets();
  Expected<Done> run_to_end(const std::vector<std::string>& words);
  Expected<Child> start_program(const std::string& name, const std::vector<std::string>& words);
  Expected<Done> start_router();
  Expected<Done> put_once(const ClientOptions& options);
  std::string path(const std::string& name) const { return x_folder + "/" + name; }

  Stage& x_stage;
  const ClusterOptions x_options;
  std::string x_folder;
  std::string x_endpoint;
  std::vector<Child> x_router;  // one
  std::vector<Child> x_servers;
};

}  // namespace tarn::load
