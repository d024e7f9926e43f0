#pragma once

#include <grpcpp/server.h>

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "common/fabric/grpc_bulk_service.h"
#include "common/fabric/grpc_port.h"
#include "common/fabric/ucx_port.h"
#include "common/ring/config.h"
#include "common/ring/extent.h"
#include "common/wire/request_guard.h"
#include "proto/tarn/v1/cluster.grpc.pb.h"
#include "proto/tarn/v1/router.grpc.pb.h"
#include "proto/tarn/v1/sessions.grpc.pb.h"
#include "proto/tarn/v1/storage.grpc.pb.h"
#include "tarn/tarn.h"

namespace tarn::sdk {

inline constexpr const char* kTenant = "acme";

// A router and storage servers that keep what they are given, in this process, over real gRPC on
// loopback: what the SDK is tested against. Their oddities are set by the tests.

// What the routers of one cluster agree on. Thread-safe.
struct ClusterState {
  std::mutex mutex;
  ring::ClusterConfig config;
  std::map<std::string, v1::Manifest> sessions;
  std::map<std::string, uint64_t> applied;  // request id to version
  std::map<std::string, v1::Located> located;
  uint32_t locates = 0;
  std::multimap<std::string, uint32_t> missed;  // as reported: hash to server
  uint32_t tickets = 0;
  uint32_t appends = 0;
  std::map<std::string, v1::WorkerBeat> workers;
  uint32_t registrations = 0;
  uint32_t lose_answers = 0;  // of appends: applied, but answered with unavailable
  bool drains_workers = false;
};

class FakeRouter {
 public:
  explicit FakeRouter(ClusterState& state);
  ~FakeRouter();

  std::string endpoint() const { return "plain://127.0.0.1:" + std::to_string(x_port); }
  void stop();

 private:
  struct Services;
  std::unique_ptr<Services> x_services;
  std::unique_ptr<grpc::Server> x_server;
  int x_port = 0;
};

class FakeServer {
 public:
  struct Options {
    std::string name = "s1";
    uint32_t lanes = 2;
    bool has_ucx = false;
  };
  explicit FakeServer(Options options);
  ~FakeServer();

  ring::Member member(uint32_t id) const;
  // Ends the process, as far as a client can tell.
  void stop();
  // Stops answering (and reading), as SIGSTOP does; and goes on.
  void hang(bool hangs) { x_hangs.store(hangs); }

  size_t block_count() const;
  bool has(const std::string& hash) const;
  void corrupt(const std::string& hash);
  // The anchor that a block was put under.
  std::string anchor_of(const std::string& hash) const;
  uint32_t connects() const { return x_connects.load(); }
  uint32_t disconnects() const { return x_disconnects.load(); }

  // The next so many requests are answered with this code.
  void refuse(Code code, uint32_t times);
  std::atomic<uint32_t> refusals_left{0};

 private:
  friend struct FakeControl;
  struct Lane;
  struct Block {
    std::string bytes;
    std::string anchor;
    uint32_t crc = 0;
  };

  void run();
  void connect(const v1::ConnectRequest& request, v1::ConnectResponse& answer);
  void serve(Lane& lane, const wire::Admitted& admitted, fabric::Payload& payload);
  void put(Lane& lane, wire::Route route, const wire::PutRequest& put, fabric::Payload& payload);
  void get(Lane& lane, wire::Route route, const wire::GetRequest& get);
  void exists(Lane& lane, wire::Route route, const wire::ExistsRequest& exists);
  template <typename Message>
  void send(Lane& lane, wire::Route route, const Message& message, fabric::Bytes payload = {});
  bool take_refusal();
  std::string key_of(const wire::BlockItem& item) const;

  const Options x_options;
  std::atomic<bool> x_hangs{false};
  std::atomic<bool> x_stopped{false};
  std::atomic<uint32_t> x_connects{0};
  std::atomic<uint32_t> x_disconnects{0};
  std::atomic<Code> x_refusal{Code::ok};
  mutable std::mutex x_mutex;
  std::deque<std::function<void()>> x_jobs;
  std::map<std::string, Block> x_blocks;
  ring::ExtentTable x_extents{1000};
  std::vector<std::unique_ptr<Lane>> x_lanes;
  std::unique_ptr<fabric::GrpcBulkService> x_bulk;
  std::unique_ptr<v1::StorageControl::Service> x_control;
  std::unique_ptr<grpc::Server> x_server;
  std::thread x_thread;
  int x_port = 0;
  uint64_t x_next_connection = 1;
};

// A cluster with a router and so many servers, and what a client needs to reach it.
class FakeCluster {
 public:
  explicit FakeCluster(size_t servers, bool has_ucx = false);

  ClientOptions options() const;
  FakeServer& server(size_t i) { return *x_servers.at(i); }
  ClusterState& state() { return x_state; }
  // A config in which the i-th server is down.
  void declare_down(size_t i);
  void add_router();
  FakeRouter& router(size_t i) { return *x_routers.at(i); }

 private:
  ClusterState x_state;
  std::vector<std::unique_ptr<FakeServer>> x_servers;
  std::vector<std::unique_ptr<FakeRouter>> x_routers;
  std::string x_token;
};

}  // namespace tarn::sdk
