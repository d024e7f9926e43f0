#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/rpc/credentials.h"

namespace grpc {
class Server;
class Service;
}  // namespace grpc

namespace tarn::router {

// Threads of synchronous calls; more callers wait in gRPC's queue until their deadlines.
inline constexpr int kSyncThreadsMax = 64;
// How long close() lets calls end by themselves.
inline constexpr Millis kClosePatience{100};

// The router's gRPC server, with health checking and reflection. Life: open, close (or the
// destructor). Immutable in between, thread-safe.
class Front {
 public:
  // Serves on `listen` (HOST:PORT; port 0 takes a free one). Returns: the front; invalid_argument
  // for credentials that are none; unavailable when the port cannot be had.
  static Result<std::unique_ptr<Front>> open(const std::string& listen, const rpc::TlsMaterial& tls,
                                             std::vector<std::shared_ptr<grpc::Service>> services);
  ~Front();

  uint16_t port() const { return x_port; }
  // Refuses new calls, cancels streams, waits until the last call has ended.
  void close();

 private:
  Front();

  std::vector<std::shared_ptr<grpc::Service>> x_services;
  std::unique_ptr<grpc::Server> x_server;
  uint16_t x_port = 0;
};

}  // namespace tarn::router
