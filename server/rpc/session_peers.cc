#include "server/rpc/session_peers.h"

#include <algorithm>
#include <utility>

namespace tarn::server {

SessionPeers::SessionPeers(rpc::TlsMaterial material, Millis timeout)
    : x_timeout(timeout), x_members(std::move(material), session::kSlotMessageBytesMax) {}

template <typename Request, typename Response>
session::Peers::Call<Request, Response> SessionPeers::call_of(
    rpc::StoreCalls::Method<Request, Response> method) {
  return [this, method](ServerId to, const Request& request, Instant deadline) {
    const auto left = std::chrono::duration_cast<Millis>(deadline - system_clock().now());
    return x_members.call<Request, Response>(to, request, std::min(left, x_timeout), method);
  };
}

session::Peers SessionPeers::peers() {
  using Stub = rpc::StoreCalls::Stub;
  return {call_of<v1::ReplicateRequest, v1::ReplicateResponse>(&Stub::Replicate),
          call_of<v1::ConfirmRequest, v1::ConfirmResponse>(&Stub::Confirm),
          call_of<v1::ReadLogRequest, v1::ReadLogResponse>(&Stub::ReadLog)};
}

}  // namespace tarn::server
