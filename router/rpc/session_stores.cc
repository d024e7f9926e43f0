#include "router/rpc/session_stores.h"

#include <grpcpp/client_context.h>

#include <utility>

#include "common/base/check.h"
#include "common/rpc/status.h"

namespace tarn::router {
namespace {

// The call itself failed, so nobody decided anything: the client's own credentials and arguments
// are not what a refusal at this level is about.
Status undecided(ServerId server, const Status& status) {
  const std::string message = "server " + std::to_string(server.value) + ": " + status.to_string();
  const bool is_ours =
      status.code() == Code::deadline_exceeded || status.code() == Code::overloaded;
  return is_ours ? Status(status.code(), message) : unavailable(message);
}

}  // namespace

SessionStores::SessionStores(cluster::ConfigView& config, rpc::TlsMaterial tls, const Clock& clock)
    : x_tls(std::move(tls)), x_clock(clock) {
  x_subscription =
      config.subscribe([this](const cluster::ConfigSnapshot& next) { on_config(*next); });
}

SessionStores::~SessionStores() {
  x_subscription = {};
}

void SessionStores::on_config(const ring::ClusterConfig& config) {
  const MutexLock lock(x_mutex);
  for (auto& [server, store] : x_stores) {
    const ring::Member* member = ring::find_member(config, server);
    const bool serves = member != nullptr && (member->state == ring::MemberState::up ||
                                              member->state == ring::MemberState::draining);
    if (serves && member->control_endpoint == store.endpoint) continue;
    for (grpc::ClientContext* call : store.running)
      call->TryCancel();
    store.endpoint.clear();
    store.stub.reset();
  }
  for (const ring::Member& member : config.members) {
    Store& store = x_stores[member.id];
    if (!store.stub) store.endpoint = member.control_endpoint;
  }
}

Result<std::shared_ptr<SessionStores::Stub>> SessionStores::begin(ServerId server,
                                                                  grpc::ClientContext& context) {
  const MutexLock lock(x_mutex);
  const auto found = x_stores.find(server);
  if (found == x_stores.end() || found->second.endpoint.empty()) {
    return unavailable("server " + std::to_string(server.value) + " is not in the config");
  }
  Store& store = found->second;
  if (!store.stub) {
    TARN_ASSIGN_OR_RETURN(auto channel,
                          rpc::open_channel(store.endpoint, auth::Role::server, x_tls));
    store.stub = v1::SessionStore::NewStub(channel);
  }
  store.running.insert(&context);
  return store.stub;
}

void SessionStores::end(ServerId server, grpc::ClientContext& context) {
  const MutexLock lock(x_mutex);
  const auto found = x_stores.find(server);
  TARN_CHECK(found != x_stores.end());  // stores are never forgotten: ids are few and not reused
  found->second.running.erase(&context);
}

template <typename Request, typename Response, typename Method>
Result<Response> SessionStores::call(ServerId to, const Request& request, Instant deadline,
                                     Method method) {
  const auto left = std::chrono::duration_cast<Millis>(deadline - x_clock.now());
  if (left.count() <= 0) return deadline_exceeded("no time is left");
  grpc::ClientContext context;
  rpc::set_timeout(context, left);
  TARN_ASSIGN_OR_RETURN(const auto stub, begin(to, context));
  Response response;
  const Status status = rpc::from_grpc(((*stub).*method)(&context, request, &response));
  end(to, context);
  if (!status.is_ok()) return undecided(to, status);
  return response;
}

session::StoreCalls SessionStores::calls() {
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
