#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/ring/slots.h"
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

uint32_t count_slots(const ring::ClusterConfig& config, ring::SlotState state) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < config.slots.size(); ++i)
    count += ring::slot_state(config, SlotId{i}) == state ? 1 : 0;
  return count;
}

// A config that is not valid may name a server that it does not have.
std::string name_of(const ring::ClusterConfig& config, ServerId id) {
  const ring::Member* const member = ring::find_member(config, id);
  return member == nullptr ? std::string() : member->name;
}

void show_slot(const ring::ClusterConfig& config, SlotId slot, v1::SlotStatus* status) {
  const ring::SlotEntry& entry = config.slots[slot.value];
  status->set_state(std::string(ring::slot_state_name(ring::slot_state(config, slot))));
  status->set_primary(name_of(config, entry.primary));
  for (const ServerId id : entry.synced)
    status->add_synced(name_of(config, id));
  for (const ServerId id : entry.learners)
    status->add_learners(name_of(config, id));
}

std::string list_of(const v1::AbandonSlotsRequest& request) {
  std::string text;
  for (const uint32_t slot : request.slots())
    text += (text.empty() ? "" : ", ") + std::to_string(slot);
  return text;
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

  grpc::Status ListSlots(grpc::ServerContext* call, const v1::ListSlotsRequest*,
                         v1::ListSlotsResponse* response) override {
    const auto caller = require(x_context, *call, {Role::admin});
    if (!caller) return rpc::to_grpc(caller.error());
    const auto config = x_context.config.current();
    if (config == nullptr) return rpc::to_grpc(unavailable("the cluster has no config yet"));
    response->set_epoch(config->epoch.value);
    for (uint32_t i = 0; i < config->slots.size(); ++i)
      show_slot(*config, SlotId{i}, response->add_slots());
    return grpc::Status::OK;
  }

  grpc::Status AbandonSlots(grpc::ServerContext* call, const v1::AbandonSlotsRequest* request,
                            v1::AbandonSlotsResponse* response) override {
    const auto caller = require(x_context, *call, {Role::admin});
    if (!caller) return rpc::to_grpc(caller.error());
    const auto changed = x_context.controller.change(
        [&](ring::ClusterConfig& config) { return abandon(*request, config); });
    if (!changed) return rpc::to_grpc(changed.error());
    response->set_epoch(changed->value);
    log::warn("audit: {} gave up all sessions of the slots {} in epoch {}{}",
              auth::identity_uri(*caller), list_of(*request), changed->value,
              request->even_waiting() ? ", even if a server that is down had them" : "");
    return grpc::Status::OK;
  }

 private:
  static Status abandon(const v1::AbandonSlotsRequest& request, ring::ClusterConfig& config) {
    std::vector<SlotId> slots;
    for (const uint32_t slot : request.slots())
      slots.push_back(SlotId{slot});
    std::sort(slots.begin(), slots.end());
    slots.erase(std::unique(slots.begin(), slots.end()), slots.end());
    // The epoch that Controller::change() will give it.
    const Epoch next{config.epoch.value + 1};
    TARN_ASSIGN_OR_RETURN(
        config.slots,
        ring::abandon_slots(config, slots, next, {.even_waiting = request.even_waiting()}));
    return Status::ok();
  }

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
    response->set_slots_waiting(count_slots(*config, ring::SlotState::waiting));
    response->set_slots_lost(count_slots(*config, ring::SlotState::lost));
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
