#include "server/rpc/session_peers.h"

#include <grpcpp/client_context.h>

#include <algorithm>

#include "common/base/check.h"
#include "common/rpc/status.h"

namespace tarn::server {
namespace {

// Where the member is; empty when it is not to be asked.
std::string endpoint_of(const ring::ClusterConfig& config, ServerId id) {
  const ring::Member* member = ring::find_member(config, id);
  const bool answers = member != nullptr && (member->state == ring::MemberState::up ||
                                             member->state == ring::MemberState::draining);
  return answers ? member->control_endpoint : std::string();
}

}  // namespace

void SessionPeers::set_config(const ring::ClusterConfig& config) {
  const MutexLock lock(x_mutex);
  for (const auto& member : config.members)
    x_peers.try_emplace(member.id);
  for (auto& [id, peer] : x_peers) {
    const std::string endpoint = endpoint_of(config, id);
    if (endpoint == peer.endpoint) continue;
    for (grpc::ClientContext* call : peer.running)
      call->TryCancel();
    peer.endpoint = endpoint;
    peer.stub.reset();
  }
}

Result<std::shared_ptr<SessionPeers::Stub>> SessionPeers::begin(ServerId id,
                                                                grpc::ClientContext& context) {
  const MutexLock lock(x_mutex);
  const auto found = x_peers.find(id);
  if (found == x_peers.end() || found->second.endpoint.empty()) {
    return unavailable("server " + std::to_string(id.value) + " is not up in the config");
  }
  Peer& peer = found->second;
  if (!peer.stub) {
    TARN_ASSIGN_OR_RETURN(auto channel,
                          rpc::open_channel(peer.endpoint, auth::Role::server, x_material,
                                            session::kSlotMessageBytesMax));
    peer.stub = v1::SessionStore::NewStub(channel);
  }
  peer.running.insert(&context);
  return peer.stub;
}

void SessionPeers::end(ServerId id, grpc::ClientContext& context) {
  const MutexLock lock(x_mutex);
  const auto found = x_peers.find(id);
  TARN_CHECK(found != x_peers.end());  // peers are never forgotten: ids are few and not reused
  found->second.running.erase(&context);
}

template <typename Request, typename Response, typename Method>
Result<Response> SessionPeers::call(ServerId to, const Request& request, Instant deadline,
                                    Method method) {
  const auto left = std::chrono::duration_cast<Millis>(deadline - system_clock().now());
  if (left.count() <= 0) return deadline_exceeded("no time is left");
  grpc::ClientContext context;
  rpc::set_timeout(context, std::min(left, x_timeout));
  TARN_ASSIGN_OR_RETURN(const auto peer, begin(to, context));
  Response response;
  const Status status = rpc::from_grpc(((*peer).*method)(&context, request, &response));
  end(to, context);
  TARN_RETURN_IF_ERROR(status);
  return response;
}

template <typename Request, typename Response, typename Method>
session::Peers::Call<Request, Response> SessionPeers::call_of(Method method) {
  return [this, method](ServerId to, const Request& request, Instant deadline) {
    return call<Request, Response>(to, request, deadline, method);
  };
}

session::Peers SessionPeers::peers() {
  return {call_of<v1::ReplicateRequest, v1::ReplicateResponse>(&Stub::Replicate),
          call_of<v1::ConfirmRequest, v1::ConfirmResponse>(&Stub::Confirm),
          call_of<v1::ReadLogRequest, v1::ReadLogResponse>(&Stub::ReadLog)};
}

}  // namespace tarn::server
