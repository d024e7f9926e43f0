#include "server/rpc/rpc_server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <chrono>
#include <mutex>

#include "common/fabric/grpc_bulk_service.h"
#include "server/rpc/storage_service.h"
#include "server/session/slot_store.h"

namespace tarn::server {
namespace {

// Session commands and streams of events hold a thread while they wait; what other servers ask in
// the meantime is quick, and needs the rest.
constexpr int kSyncThreadsMax = session::kCommandsMax + StorageService::kStreamsMax + 96;
constexpr auto kCloseGrace = std::chrono::milliseconds(500);

// Once in a process, before its first server.
void add_standard_services() {
  static std::once_flag once;
  std::call_once(once, [] {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  });
}

}  // namespace

Result<std::unique_ptr<RpcServer>> RpcServer::open(const RpcServerOptions& options) {
  if (options.material.insecure_loopback && !rpc::is_loopback(options.listen)) {
    return invalid_argument("listen: " + options.listen +
                            " is not a loopback address, and insecure_loopback is on");
  }
  TARN_ASSIGN_OR_RETURN(auto credentials, rpc::server_credentials(options.material));
  add_standard_services();
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(options.listen, credentials, &port);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  fabric::set_bulk_limits(builder);
  grpc::ResourceQuota quota("server");
  quota.SetMaxThreads(kSyncThreadsMax);
  builder.SetResourceQuota(quota);
  for (grpc::Service* service : options.services)
    builder.RegisterService(service);
  auto server = builder.BuildAndStart();
  if (server == nullptr || port == 0) return unavailable("cannot listen on " + options.listen);
  return std::unique_ptr<RpcServer>(new RpcServer(std::move(server), port));
}

RpcServer::RpcServer(std::unique_ptr<grpc::Server> server, int port)
    : x_server(std::move(server)), x_port(static_cast<uint16_t>(port)) {}

RpcServer::~RpcServer() {
  close();
}

void RpcServer::set_draining() {
  x_server->GetHealthCheckService()->SetServingStatus(false);
}

void RpcServer::close() {
  x_server->Shutdown(std::chrono::system_clock::now() + kCloseGrace);
  x_server->Wait();
}

}  // namespace tarn::server
