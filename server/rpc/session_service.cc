#include "server/rpc/session_service.h"

#include <algorithm>
#include <chrono>

#include "common/rpc/status.h"

namespace tarn::server {
namespace {

// A caller without a deadline, or with one far away, keeps its thread no longer.
constexpr Nanos kCommandMax = std::chrono::seconds(60);

Instant deadline_of(const grpc::ServerContext& context) {
  // gRPC's deadlines are points of real time; a call without one has the end of time.
  const bool is_set = context.deadline() != std::chrono::system_clock::time_point::max();
  const auto left = context.deadline() - std::chrono::system_clock::now();
  const Nanos span = is_set ? std::chrono::duration_cast<Nanos>(left) : kCommandMax;
  return system_clock().now() + std::min(span, kCommandMax);
}

}  // namespace

Status SessionService::require(const grpc::ServerContext& context, auth::Role role) const {
  TARN_ASSIGN_OR_RETURN(const auto caller, x_authenticator.caller(context));
  if (caller.role == role) return Status::ok();
  return permission_denied("SessionStore: only for a " + std::string(auth::role_name(role)) +
                           ", not for " + auth::identity_uri(caller));
}

grpc::Status SessionService::Execute(grpc::ServerContext* context,
                                     const v1::SessionCommand* command, v1::SessionResult* result) {
  if (const Status status = require(*context, auth::Role::router); !status.is_ok()) {
    return rpc::to_grpc(status);
  }
  *result = x_store.execute(*command, deadline_of(*context));
  return grpc::Status::OK;
}

grpc::Status SessionService::List(grpc::ServerContext* context, const v1::ListSlotRequest* request,
                                  v1::ListSessionsResponse* response) {
  if (const Status status = require(*context, auth::Role::router); !status.is_ok()) {
    return rpc::to_grpc(status);
  }
  auto list = x_store.list(*request, deadline_of(*context));
  if (!list.has_value()) return rpc::to_grpc(list.error());
  *response = std::move(*list);
  return grpc::Status::OK;
}

grpc::Status SessionService::Replicate(grpc::ServerContext* context,
                                       const v1::ReplicateRequest* request,
                                       v1::ReplicateResponse* response) {
  if (const Status status = require(*context, auth::Role::server); !status.is_ok()) {
    return rpc::to_grpc(status);
  }
  *response = x_store.replicate(*request);
  return grpc::Status::OK;
}

grpc::Status SessionService::Confirm(grpc::ServerContext* context,
                                     const v1::ConfirmRequest* request,
                                     v1::ConfirmResponse* response) {
  if (const Status status = require(*context, auth::Role::server); !status.is_ok()) {
    return rpc::to_grpc(status);
  }
  *response = x_store.confirm(*request);
  return grpc::Status::OK;
}

grpc::Status SessionService::ReadLog(grpc::ServerContext* context,
                                     const v1::ReadLogRequest* request,
                                     v1::ReadLogResponse* response) {
  if (const Status status = require(*context, auth::Role::server); !status.is_ok()) {
    return rpc::to_grpc(status);
  }
  *response = x_store.read_log(*request);
  return grpc::Status::OK;
}

}  // namespace tarn::server
