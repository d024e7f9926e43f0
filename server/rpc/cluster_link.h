#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/base/mutex.h"
#include "common/ring/config.h"
#include "common/rpc/credentials.h"
#include "proto/tarn/v1/cluster.grpc.pb.h"

namespace tarn::server {

struct ClusterLinkOptions {
  std::vector<std::string> routers;  // HOST:PORT
  rpc::TlsMaterial material;
  // Fills in the beat: who this server is and how it does. Thread-safe.
  std::function<void(v1::HeartbeatRequest&)> fill_beat;
  // A new config, in rising epochs; on one of the link's threads.
  std::function<void(ring::ClusterConfig)> on_config;
  // The routers were lost, or found again.
  std::function<void(bool reachable)> on_contact;
};

// A storage server's tie to the routers: a heartbeat stream to each of them, and the config from
// any one of them. Without routers everything goes on under the last config. Thread-safe. Life:
// open (starts a thread for each router and one for the config), close (joins them).
class ClusterLink {
 public:
  // Returns: the link, invalid_argument (a router's address).
  static Result<std::unique_ptr<ClusterLink>> open(ClusterLinkOptions options);
  ~ClusterLink() { close(); }
  ClusterLink(const ClusterLink&) = delete;
  ClusterLink& operator=(const ClusterLink&) = delete;

  // Sends the next beats now: something that they say has changed.
  void beat_now();

  // From now on this server counts as dead. The config is followed all the same.
  void stop_beating();

  bool is_reachable() const { return x_alive.load() > 0; }

  void close();

 private:
  struct Router {
    std::string endpoint;
    std::shared_ptr<v1::Cluster::Stub> stub;
    std::thread thread;
  };

  explicit ClusterLink(ClusterLinkOptions options) : x_options(std::move(options)) {}
  void beat_to(Router& router);
  void beat_until_lost(Router& router);
  void watch();
  void watch_one(Router& router);
  void take(const v1::ClusterConfig& config);
  void note_epoch(uint64_t epoch);
  void set_alive(int by);
  // False when it is time to leave.
  bool wait(Millis span);
  // The call in progress of a thread, so that close() can cancel it.
  void enter(grpc::ClientContext& context);
  void leave(grpc::ClientContext& context);

  const ClusterLinkOptions x_options;
  std::vector<std::unique_ptr<Router>> x_routers;
  std::thread x_watcher;
  std::atomic<int> x_alive{0};
  std::atomic<bool> x_is_silent{false};

  mutable Mutex x_mutex;
  CondVar x_wake;
  bool x_stopping TARN_GUARDED_BY(x_mutex) = false;
  uint64_t x_beat TARN_GUARDED_BY(x_mutex) = 0;  // rises with beat_now
  uint64_t x_epoch TARN_GUARDED_BY(x_mutex) = 0;
  Instant x_behind_since TARN_GUARDED_BY(x_mutex) = kNever;
  std::vector<grpc::ClientContext*> x_calls TARN_GUARDED_BY(x_mutex);
  grpc::ClientContext* x_watching TARN_GUARDED_BY(x_mutex) = nullptr;
};

}  // namespace tarn::server
