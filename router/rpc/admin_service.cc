#include <algorithm>
#include <map>
#include <string>

#include "common/base/check.h"
#include "common/rpc/convert.h"
#include "common/rpc/status.h"
#include "proto/tarn/v1/router.grpc.pb.h"
#include "router/rpc/services.h"
#include "router/rpc/worker_text.h"

namespace tarn::router {
namespace {

using auth::Role;

uint32_t count_if(const ring::ClusterConfig& config, ServerId id, bool primaries) {
  return static_cast<uint32_t>(
      std::count_if(config.slots.begin(), config.slots.end(), [&](const ring::SlotEntry& slot) {
        const bool is_synced =
            std::find(slot.synced.begin(), slot.synced.end(), id) != slot.synced.end();
        return is_synced && (!primaries || slot.primary == id);
      }));
}

// Calls may wait for the authority, so all are synchronous.
class AdminService : public v1::Admin::Service {
 public:
  explicit AdminService(RouterContext& context) : x_context(context) {}

  grpc::Status GetStatus(grpc::ServerContext* call, const v1::GetStatusRequest*,
                         v1::GetStatusResponse* response) override {
    const auto caller = x_context.authenticator.caller(*call);
    if (!caller) return rpc::to_grpc(caller.error());
    if (caller->tenant.empty()) {
      show_all(response);
    } else {
      show_to_tenant(caller->tenant, response);
    }
    return grpc::Status::OK;
  }

  grpc::Status DrainServer(grpc::ServerContext* call, const v1::DrainServerRequest* request,
                           v1::DrainServerResponse*) override {
    const auto caller = require(x_context, *call, {Role::admin});
    if (!caller) return rpc::to_grpc(caller.error());
    const auto changed = x_context.controller.change(
        [&](ring::ClusterConfig& config) { return drain(request->name(), config); });
    return rpc::to_grpc(changed.status());
  }

  grpc::Status RevokeTenant(grpc::ServerContext* call, const v1::RevokeTenantRequest* request,
                            v1::RevokeTenantResponse* response) override {
    const auto caller = require(x_context, *call, {Role::admin});
    if (!caller) return rpc::to_grpc(caller.error());
    const auto tenant = auth::make_identity(Role::tenant, request->tenant());
    if (!tenant) return rpc::to_grpc(tenant.error());
    uint64_t revocation = 0;
    const auto changed = x_context.controller.change([&](ring::ClusterConfig& config) {
      revocation = ++config.revocations[tenant->name];
      return Status::ok();
    });
    if (changed) response->set_revocation(revocation);
    return rpc::to_grpc(changed.status());
  }

 private:
  static Status drain(const std::string& name, ring::ClusterConfig& config) {
    for (ring::Member& member : config.members) {
      if (member.name != name) continue;
      if (member.state == ring::MemberState::down) return unavailable(name + " is down");
      member.state = ring::MemberState::draining;
      return Status::ok();
    }
    return not_found("no storage server " + name);
  }

  void show_all(v1::GetStatusResponse* response) const {
    const auto config = x_context.config.current();
    const IndexStatus index = x_context.questions.index_status();
    response->set_router(x_context.router);
    response->set_controller(x_context.controller.is_controller());
    response->set_authority(x_context.authority.describe());
    response->set_authority_reachable(x_context.authority.reachable());
    response->set_pending_change(x_context.controller.pending_change());
    response->set_indexed_blocks(index.blocks);
    response->set_index_synced(index.is_synced);
    for (const auto& worker : x_context.workers.list(""))
      show_worker(worker, response->add_workers());
    if (config == nullptr) return;
    response->set_epoch(config->epoch.value);
    show_servers(*config, index, response);
  }

  void show_servers(const ring::ClusterConfig& config, const IndexStatus& index,
                    v1::GetStatusResponse* response) const {
    std::map<std::string, cluster::HeardServer> heard;
    for (const auto& server : x_context.servers.all())
      heard.emplace(server.beat.name, server);
    for (const ring::Member& member : config.members) {
      v1::ServerStatus* const status = response->add_servers();
      status->set_id(member.id.value);
      status->set_name(member.name);
      status->set_control_endpoint(member.control_endpoint);
      status->set_domain(ring::domain_of(member));
      status->set_state(std::string(ring::member_state_name(member.state)));
      status->set_index_synced(index.synced_servers.contains(member.id.value));
      status->set_slots_primary(count_if(config, member.id, true));
      status->set_slots_synced(count_if(config, member.id, false));
      const auto found = heard.find(member.name);
      if (found != heard.end()) show_beat(found->second, status);
    }
  }

  void show_beat(const cluster::HeardServer& heard, v1::ServerStatus* status) const {
    const Nanos silent = x_context.clock.now() - heard.last_heard;
    status->set_silent_ms(
        static_cast<uint32_t>(std::chrono::duration_cast<Millis>(silent).count()));
    const cluster::ServerLoad& load = heard.beat.load;
    status->set_dram_bytes(load.dram_bytes);
    status->set_dram_used_bytes(load.dram_used_bytes);
    status->set_stored_payload_bytes(load.stored_payload_bytes);
    status->set_blocks(load.blocks);
  }

  // What it uses anyway, and no numbers that other tenants have a part in.
  void show_to_tenant(const std::string& tenant, v1::GetStatusResponse* response) const {
    response->set_router(x_context.router);
    for (const auto& worker : x_context.workers.list(tenant))
      show_worker(worker, response->add_workers());
    const auto config = x_context.config.current();
    if (config == nullptr) return;
    response->set_epoch(config->epoch.value);
    for (const ring::Member& member : config->members) {
      v1::ServerStatus* const status = response->add_servers();
      status->set_id(member.id.value);
      status->set_name(member.name);
      status->set_state(std::string(ring::member_state_name(member.state)));
    }
  }

  RouterContext& x_context;
};

}  // namespace

std::shared_ptr<grpc::Service> make_admin_service(RouterContext& context) {
  return std::make_shared<AdminService>(context);
}

}  // namespace tarn::router
