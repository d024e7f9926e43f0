#include "server/rpc/session_peers.h"

#include <grpcpp/client_context.h>

#include "common/rpc/status.h"

namespace tarn::server {

void SessionPeers::set_config(const ring::ClusterConfig& config) {
  const std::lock_guard lock(x_mutex);
  std::map<ServerId, Peer> next;
  for (const auto& member : config.members) {
    const auto old = x_peers.find(member.id);
    const bool is_same = old != x_peers.end() && old->second.endpoint == member.control_endpoint;
    next[member.id] = is_same ? old->second : Peer{member.control_endpoint, nullptr};
  }
  x_peers = std::move(next);
}

Result<std::shared_ptr<SessionPeers::Stub>> SessionPeers::stub(ServerId id) {
  const std::lock_guard lock(x_mutex);
  const auto found = x_peers.find(id);
  if (found == x_peers.end()) {
    return unavailable("server " + std::to_string(id.value) + " is not in the config");
  }
  if (!found->second.stub) {
    TARN_ASSIGN_OR_RETURN(
        auto channel, rpc::open_channel(found->second.endpoint, auth::Role::server, x_material));
    found->second.stub = v1::SessionStore::NewStub(channel);
  }
  return found->second.stub;
}

template <typename Request, typename Response, typename Method>
Result<Response> SessionPeers::call(ServerId to, const Request& request, Method method) {
  TARN_ASSIGN_OR_RETURN(const auto peer, stub(to));
  grpc::ClientContext context;
  rpc::set_timeout(context, x_timeout);
  Response response;
  TARN_RETURN_IF_ERROR(rpc::from_grpc(((*peer).*method)(&context, request, &response)));
  return response;
}

session::Peers SessionPeers::peers() {
  session::Peers peers;
  peers.replicate = [this](ServerId to, const v1::ReplicateRequest& request) {
    return call<v1::ReplicateRequest, v1::ReplicateResponse>(to, request, &Stub::Replicate);
  };
  peers.confirm = [this](ServerId to, const v1::ConfirmRequest& request) {
    return call<v1::ConfirmRequest, v1::ConfirmResponse>(to, request, &Stub::Confirm);
  };
  peers.read_log = [this](ServerId to, const v1::ReadLogRequest& request) {
    return call<v1::ReadLogRequest, v1::ReadLogResponse>(to, request, &Stub::ReadLog);
  };
  return peers;
}

}  // namespace tarn::server
