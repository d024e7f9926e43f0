#pragma once

#include "common/rpc/credentials.h"
#include "proto/tarn/v1/sessions.grpc.pb.h"
#include "server/session/slot_store.h"

namespace tarn::server {

// SessionStore over gRPC: commands from routers, replication from storage servers, nothing for
// anybody else. Thread-safe; a command waits for the slot's other members.
class SessionService final : public v1::SessionStore::Service {
 public:
  SessionService(session::SlotStore& store, const rpc::Authenticator& authenticator)
      : x_store(store), x_authenticator(authenticator) {}

  grpc::Status Execute(grpc::ServerContext* context, const v1::SessionCommand* command,
                       v1::SessionResult* result) override;
  grpc::Status List(grpc::ServerContext* context, const v1::ListSlotRequest* request,
                    v1::ListSessionsResponse* response) override;
  grpc::Status Replicate(grpc::ServerContext* context, const v1::ReplicateRequest* request,
                         v1::ReplicateResponse* response) override;
  grpc::Status Confirm(grpc::ServerContext* context, const v1::ConfirmRequest* request,
                       v1::ConfirmResponse* response) override;
  grpc::Status ReadLog(grpc::ServerContext* context, const v1::ReadLogRequest* request,
                       v1::ReadLogResponse* response) override;

 private:
  Status require(const grpc::ServerContext& context, auth::Role role) const;

  session::SlotStore& x_store;
  const rpc::Authenticator& x_authenticator;
};

}  // namespace tarn::server
