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

namespace tarn::server {

struct RpcServerOptions {
  std::string listen;  // HOST:PORT, port 0: any
  rpc::TlsMaterial material;
  std::vector<grpc::Service*> services;  // outlive the server
};

// The gRPC server of one storage server: its services, health checking and reflection, limits for
// whole blocks. Thread-safe. Life: open (listens), close, destroy.
class RpcServer {
 public:
  // Returns: the server, invalid_argument (credentials, plain TCP off loopback), unavailable (the
  // address cannot be had).
  static Result<std::unique_ptr<RpcServer>> open(const RpcServerOptions& options);
  ~RpcServer();

  uint16_t port() const { return x_port; }

  // Health says that calls should go elsewhere.
  void set_draining();

  // Refuses new calls and cancels those in progress after half a second. Idempotent.
  void close();

 private:
  RpcServer(std::unique_ptr<grpc::Server> server, int port);

  std::unique_ptr<grpc::Server> x_server;
  const uint16_t x_port;
};

}  // namespace tarn::server
