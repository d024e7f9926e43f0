#include "common/rpc/store_calls.h"

#include "common/base/check.h"

namespace tarn::rpc {
namespace {

// Where the server is; empty when it is not to be asked.
std::string endpoint_of(const ring::ClusterConfig& config, ServerId id) {
  const ring::Member* member = ring::find_member(config, id);
  const bool answers = member != nullptr && (member->state == ring::MemberState::up ||
                                             member->state == ring::MemberState::draining);
  return answers ? member->control_endpoint : std::string();
}

}  // namespace

void StoreCalls::set_config(const ring::ClusterConfig& config) {
  const MutexLock lock(x_mutex);
  for (const auto& member : config.members)
    x_stores.try_emplace(member.id);
  for (auto& [id, store] : x_stores) {
    const std::string endpoint = endpoint_of(config, id);
    if (endpoint == store.endpoint) continue;
    for (grpc::ClientContext* call : store.running)
      call->TryCancel();
    store.endpoint = endpoint;
    store.stub.reset();
  }
}

Result<std::shared_ptr<StoreCalls::Stub>> StoreCalls::begin(ServerId server,
                                                            grpc::ClientContext& context) {
  const MutexLock lock(x_mutex);
  const auto found = x_stores.find(server);
  if (found == x_stores.end() || found->second.endpoint.empty()) {
    return unavailable(name_of(server) + " is not up in the config");
  }
  Store& store = found->second;
  if (!store.stub) {
    TARN_ASSIGN_OR_RETURN(
        auto channel, open_channel(store.endpoint, auth::Role::server, x_tls, x_message_bytes_max));
    store.stub = v1::SessionStore::NewStub(channel);
  }
  store.running.insert(&context);
  return store.stub;
}

void StoreCalls::end(ServerId server, grpc::ClientContext& context) {
  const MutexLock lock(x_mutex);
  const auto found = x_stores.find(server);
  TARN_CHECK(found != x_stores.end());  // stores are never forgotten: ids are few and not reused
  found->second.running.erase(&context);
}

}  // namespace tarn::rpc
