#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/server.h>

#include <memory>
#include <string>

#include "common/fabric/grpc_bulk_service.h"
#include "common/fabric/grpc_port.h"
#include "tests/unit/fabric/fabric_pair.h"

namespace tarn::fabric {

// The bulk service on a loopback port of its own.
class GrpcServerOfTests {
 public:
  explicit GrpcServerOfTests(GrpcBulkService::Admit admit = {});
  ~GrpcServerOfTests();

  GrpcBulkService& service() { return *x_service; }
  std::shared_ptr<grpc::Channel> new_channel() const;
  void stop();

 private:
  std::unique_ptr<GrpcBulkService> x_service;
  std::unique_ptr<grpc::Server> x_server;
  std::string x_target;
};

}  // namespace tarn::fabric
