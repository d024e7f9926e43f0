#include "router/rpc/session_stores.h"

#include <utility>

namespace tarn::router {
namespace {

// The call itself failed, so nobody decided anything: the client's own credentials and arguments
// are not what a refusal at this level is about.
Status undecided(const Status& status) {
  const bool is_ours = status.code() == Code::deadline_exceeded ||
                       status.code() == Code::overloaded || status.code() == Code::unavailable;
  return is_ours ? status : unavailable(status.to_string());
}

}  // namespace

SessionStores::SessionStores(cluster::ConfigView& config, rpc::TlsMaterial tls, const Clock& clock)
    : x_clock(clock), x_stores(std::move(tls)) {
  x_subscription =
      config.subscribe([this](const cluster::ConfigSnapshot& next) { x_stores.set_config(*next); });
}

SessionStores::~SessionStores() {
  x_subscription = {};
}

template <typename Request, typename Response>
Result<Response> SessionStores::call(ServerId to, const Request& request, Instant deadline,
                                     rpc::StoreCalls::Method<Request, Response> method) {
  const auto left = std::chrono::duration_cast<Millis>(deadline - x_clock.now());
  auto answer = x_stores.call<Request, Response>(to, request, left, method);
  if (!answer) return undecided(answer.status());
  return answer;
}

session::StoreCalls SessionStores::calls() {
  using Stub = rpc::StoreCalls::Stub;
  session::StoreCalls calls;
  calls.execute = [this](ServerId to, const v1::SessionCommand& command, Instant deadline) {
    return call<v1::SessionCommand, v1::SessionResult>(to, command, deadline, &Stub::Execute);
  };
  calls.list = [this](ServerId to, const v1::ListSlotRequest& request, Instant deadline) {
    return call<v1::ListSlotRequest, v1::ListSessionsResponse>(to, request, deadline, &Stub::List);
  };
  return calls;
}

}  // namespace tarn::router
