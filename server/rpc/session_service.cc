#include "server/rpc/session_service.h"

#include "common/rpc/status.h"

namespace tarn::server {

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
  *result = x_store.execute(*command);
  return grpc::Status::OK;
}

grpc::Status SessionService::List(grpc::ServerContext* context, const v1::ListSlotRequest* request,
                                  v1::ListSessionsResponse* response) {
  if (const Status status = require(*context, auth::Role::router); !status.is_ok()) {
    return rpc::to_grpc(status);
  }
  auto list = x_store.list(*request);
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
