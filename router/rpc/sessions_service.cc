#include "router/rpc/sessions_service.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "common/base/check.h"
#include "common/rpc/convert.h"
#include "common/rpc/status.h"
#include "proto/tarn/v1/sessions.grpc.pb.h"

namespace tarn::router {
namespace {

using session::SessionCaller;

class SessionsService final : public v1::Sessions::Service {
 public:
  explicit SessionsService(SessionsOptions options) : x_options(options) {
    TARN_CHECK(x_options.front != nullptr && x_options.authenticator != nullptr);
  }

  grpc::Status CreateSession(grpc::ServerContext* call, const v1::CreateSessionRequest* request,
                             v1::Manifest* response) override {
    return answer(*call, response, [&](const SessionCaller& caller) {
      return x_options.front->create(caller, *request);
    });
  }
  grpc::Status AppendSession(grpc::ServerContext* call, const v1::AppendSessionRequest* request,
                             v1::AppendSessionResponse* response) override {
    return answer(*call, response, [&](const SessionCaller& caller) {
      return x_options.front->append(caller, *request);
    });
  }
  grpc::Status ResolveSession(grpc::ServerContext* call, const v1::ResolveSessionRequest* request,
                              v1::Manifest* response) override {
    return answer(*call, response, [&](const SessionCaller& caller) {
      return x_options.front->resolve(caller, *request);
    });
  }
  grpc::Status ForkSession(grpc::ServerContext* call, const v1::ForkSessionRequest* request,
                           v1::Manifest* response) override {
    return answer(*call, response, [&](const SessionCaller& caller) {
      return x_options.front->fork(caller, *request);
    });
  }
  grpc::Status TruncateSession(grpc::ServerContext* call, const v1::TruncateSessionRequest* request,
                               v1::AppendSessionResponse* response) override {
    return answer(*call, response, [&](const SessionCaller& caller) {
      return x_options.front->truncate(caller, *request);
    });
  }
  grpc::Status UpdateSession(grpc::ServerContext* call, const v1::UpdateSessionRequest* request,
                             v1::AppendSessionResponse* response) override {
    return answer(*call, response, [&](const SessionCaller& caller) {
      return x_options.front->update(caller, *request);
    });
  }
  grpc::Status DeleteSession(grpc::ServerContext* call, const v1::DeleteSessionRequest* request,
                             v1::DeleteSessionResponse* response) override {
    return answer(*call, response, [&](const SessionCaller& caller) {
      return x_options.front->remove(caller, *request);
    });
  }
  grpc::Status ListSessions(grpc::ServerContext* call, const v1::ListSessionsRequest* request,
                            v1::ListSessionsResponse* response) override {
    const auto caller = identify(*call);
    if (!caller.has_value()) return rpc::to_grpc(caller.error());
    auto listed = x_options.front->list(*caller, *request);
    if (!listed.has_value()) return rpc::to_grpc(listed.error());
    *response = std::move(*listed);
    return grpc::Status::OK;
  }

 private:
  Result<SessionCaller> identify(const grpc::ServerContext& call) const {
    TARN_ASSIGN_OR_RETURN(const auto caller, x_options.authenticator->caller(call));
    if (caller.role != auth::Role::tenant && caller.role != auth::Role::worker) {
      return permission_denied("Sessions: for tenants and their workers, not for " +
                               auth::identity_uri(caller));
    }
    // gRPC's deadlines are points of real time; a call without one has the end of time.
    const auto left = call.deadline() - std::chrono::system_clock::now();
    const Nanos usual = kSessionTimeoutDefault;
    const bool is_set = call.deadline() != std::chrono::system_clock::time_point::max();
    const Nanos span = is_set ? std::chrono::duration_cast<Nanos>(left) : usual;
    return SessionCaller{caller.tenant, x_options.clock->now() + std::min(span, kSessionTimeoutMax),
                         [&call] { return call.IsCancelled(); }};
  }

  static void take(v1::SessionResult result, v1::Manifest* response) {
    *response = std::move(*result.mutable_manifest());
  }
  static void take(const v1::SessionResult& result, v1::AppendSessionResponse* response) {
    response->set_version(result.version());
    response->set_block_count(result.block_count());
  }
  static void take(const v1::SessionResult&, v1::DeleteSessionResponse*) {}

  template <typename Response, typename Ask>
  grpc::Status answer(grpc::ServerContext& call, Response* response, Ask ask) {
    const auto caller = identify(call);
    if (!caller.has_value()) return rpc::to_grpc(caller.error());
    v1::SessionResult result = ask(*caller);
    const Code code = rpc::from_outcome(result.outcome());
    if (code == Code::ok) {
      take(std::move(result), response);
      return grpc::Status::OK;
    }
    if (code == Code::conflict) {
      call.AddTrailingMetadata(kVersionMetadata, std::to_string(result.version()));
    }
    return rpc::to_grpc({code, result.message()});
  }

  const SessionsOptions x_options;
};

}  // namespace

std::unique_ptr<grpc::Service> make_sessions_service(SessionsOptions options) {
  return std::make_unique<SessionsService>(options);
}

}  // namespace tarn::router
