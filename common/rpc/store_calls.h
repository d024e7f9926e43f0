#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include <grpcpp/client_context.h>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/ring/config.h"
#include "common/rpc/credentials.h"
#include "common/rpc/status.h"
#include "proto/tarn/v1/sessions.grpc.pb.h"

namespace tarn::rpc {

// Calls to the SessionStore of storage servers, over gRPC with one channel for each. A call ends at
// once, cancelled, when a config says that its server is neither up nor draining, or is elsewhere:
// a stopped process would keep it until its deadline. Thread-safe.
class StoreCalls {
 public:
  using Stub = v1::SessionStore::Stub;
  template <typename Request, typename Response>
  using Method = grpc::Status (Stub::*)(grpc::ClientContext*, const Request&, Response*);

  explicit StoreCalls(TlsMaterial tls, int message_bytes_max = kControlMessageBytesMax)
      : x_tls(std::move(tls)), x_message_bytes_max(message_bytes_max) {}

  // Where the servers are, and which of them answer.
  void set_config(const ring::ClusterConfig& config);

  // Waits for the answer. Returns: ok, unavailable (also: no such server is up in the config),
  // deadline_exceeded, or what the server said.
  template <typename Request, typename Response>
  Result<Response> call(ServerId to, const Request& request, Millis timeout,
                        Method<Request, Response> method) {
    if (timeout.count() <= 0) return deadline_exceeded("no time is left");
    grpc::ClientContext context;
    set_timeout(context, timeout);
    TARN_ASSIGN_OR_RETURN(const auto stub, begin(to, context));
    Response response;
    const Status status = from_grpc(((*stub).*method)(&context, request, &response));
    end(to, context);
    if (!status.is_ok()) return Status(status.code(), name_of(to) + ": " + status.message());
    return response;
  }

 private:
  struct Store {
    std::string endpoint;  // empty: it does not answer
    std::shared_ptr<Stub> stub;
    std::set<grpc::ClientContext*> running;
  };

  static std::string name_of(ServerId server) { return "server " + std::to_string(server.value); }
  Result<std::shared_ptr<Stub>> begin(ServerId server, grpc::ClientContext& context);
  void end(ServerId server, grpc::ClientContext& context);

  const TlsMaterial x_tls;
  const int x_message_bytes_max;
  Mutex x_mutex;
  std::map<ServerId, Store> x_stores TARN_GUARDED_BY(x_mutex);
};

}  // namespace tarn::rpc
