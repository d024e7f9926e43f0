#include "router/rpc/front.h"

#include <chrono>
#include <mutex>
#include <utility>

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include "common/base/check.h"

namespace tarn::router {
namespace {

// A peer that was stopped leaves its connection open; it is closed when it answers no ping.
constexpr int kKeepaliveMs = 5000;
constexpr int kKeepaliveTimeoutMs = 5000;

void enable_plugins() {
  static std::once_flag once;
  std::call_once(once, [] {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  });
}

void configure(grpc::ServerBuilder& builder) {
  grpc::ResourceQuota quota("router");
  // Beside the callers, gRPC keeps a few threads that wait for calls.
  quota.SetMaxThreads(kSyncThreadsMax + 8);
  builder.SetResourceQuota(quota);
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 4);
  builder.SetMaxReceiveMessageSize(rpc::kControlMessageBytesMax);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 500);
  // Two routers on one port would each get half of the calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
}

}  // namespace

Result<std::unique_ptr<Front>> Front::open(const std::string& listen, const rpc::TlsMaterial& tls,
                                           std::vector<std::shared_ptr<grpc::Service>> services) {
  if (tls.insecure_loopback && !rpc::is_loopback(listen)) {
    return invalid_argument("insecure_loopback: " + listen + " is not a loopback address");
  }
  TARN_ASSIGN_OR_RETURN(const auto credentials, rpc::server_credentials(tls));
  enable_plugins();
  grpc::ServerBuilder builder;
  configure(builder);
  int port = 0;
  builder.AddListeningPort(listen, credentials, &port);
  std::unique_ptr<Front> front(new Front());
  front->x_services = std::move(services);
  for (const auto& service : front->x_services) {
    TARN_CHECK(service != nullptr);
    builder.RegisterService(service.get());
  }
  front->x_server = builder.BuildAndStart();
  if (front->x_server == nullptr || port <= 0) {
    return unavailable("cannot listen on " + listen + ": is the port taken?");
  }
  front->x_port = static_cast<uint16_t>(port);
  return front;
}

Front::Front() = default;

Front::~Front() {
  close();
}

void Front::close() {
  if (x_server == nullptr) return;
  x_server->Shutdown(std::chrono::system_clock::now() + kClosePatience);
  x_server->Wait();
  x_server.reset();
}

}  // namespace tarn::router
