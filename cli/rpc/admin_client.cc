#include "cli/rpc/admin_client.h"

#include <utility>

#include "cli/rpc/router_line.h"
#include "common/base/check.h"
#include "proto/tarn/v1/router.grpc.pb.h"

namespace tarn::cli {
namespace {

ServerReport from_proto(const v1::ServerStatus& server) {
  ServerReport report;
  report.id = server.id();
  report.name = server.name();
  report.endpoint = server.control_endpoint();
  report.domain = server.domain();
  report.state = server.state();
  report.silent_ms = server.silent_ms();
  report.dram_bytes = server.dram_bytes();
  report.dram_used_bytes = server.dram_used_bytes();
  report.stored_payload_bytes = server.stored_payload_bytes();
  report.blocks = server.blocks();
  report.index_synced = server.index_synced();
  report.slots_primary = server.slots_primary();
  report.slots_synced = server.slots_synced();
  return report;
}

WorkerReport from_proto(const v1::WorkerState& worker) {
  WorkerReport report;
  report.name = worker.beat().name();
  report.endpoint = worker.beat().endpoint();
  report.host = worker.beat().host();
  report.capacity = worker.beat().capacity();
  report.running = worker.beat().running();
  report.queued = worker.beat().queued();
  report.is_draining = worker.beat().draining();
  report.is_alive = worker.alive();
  report.silent_ms = worker.silent_ms();
  return report;
}

RouterReport from_proto(const v1::GetStatusResponse& status) {
  RouterReport report;
  report.name = status.router();
  report.epoch = status.epoch();
  report.is_controller = status.controller();
  report.authority = status.authority();
  report.authority_reachable = status.authority_reachable();
  report.pending_change = status.pending_change();
  report.indexed_blocks = status.indexed_blocks();
  report.index_synced = status.index_synced();
  report.slots_waiting = status.slots_waiting();
  report.slots_lost = status.slots_lost();
  for (const auto& server : status.servers())
    report.servers.push_back(from_proto(server));
  for (const auto& worker : status.workers())
    report.workers.push_back(from_proto(worker));
  return report;
}

}  // namespace

struct AdminClient::State {
  RouterLine line;
  std::unique_ptr<v1::Admin::Stub> admin;
  std::unique_ptr<v1::Workers::Stub> workers;
};

Result<AdminClient> AdminClient::open(const std::string& endpoint,
                                      const RouterCredentials& credentials, Millis timeout) {
  TARN_ASSIGN_OR_RETURN(RouterLine line, RouterLine::open(endpoint, credentials, timeout));
  auto admin = v1::Admin::NewStub(line.channel());
  auto workers = v1::Workers::NewStub(line.channel());
  return AdminClient(
      std::make_unique<State>(State{std::move(line), std::move(admin), std::move(workers)}));
}

AdminClient::AdminClient(std::unique_ptr<State> state) : x_state(std::move(state)) {
  TARN_CHECK(x_state->admin != nullptr);
}
AdminClient::AdminClient(AdminClient&& other) noexcept = default;
AdminClient::~AdminClient() = default;

Result<RouterReport> AdminClient::status() {
  v1::GetStatusResponse response;
  TARN_RETURN_IF_ERROR(x_state->line.call([&](grpc::ClientContext& context) {
    return x_state->admin->GetStatus(&context, {}, &response);
  }));
  RouterReport report = from_proto(response);
  report.endpoint = x_state->line.endpoint();
  return report;
}

Status AdminClient::drain_server(const std::string& name) {
  v1::DrainServerRequest request;
  request.set_name(name);
  return x_state->line.call([&](grpc::ClientContext& context) {
    v1::DrainServerResponse response;
    return x_state->admin->DrainServer(&context, request, &response);
  });
}

Status AdminClient::drain_worker(const std::string& name) {
  v1::DrainWorkerRequest request;
  request.set_name(name);
  return x_state->line.call([&](grpc::ClientContext& context) {
    v1::DrainWorkerResponse response;
    return x_state->workers->DrainWorker(&context, request, &response);
  });
}

Result<uint64_t> AdminClient::revoke_tenant(const std::string& tenant) {
  v1::RevokeTenantRequest request;
  request.set_tenant(tenant);
  v1::RevokeTenantResponse response;
  TARN_RETURN_IF_ERROR(x_state->line.call([&](grpc::ClientContext& context) {
    return x_state->admin->RevokeTenant(&context, request, &response);
  }));
  return response.revocation();
}

Result<std::vector<SlotReport>> AdminClient::slots() {
  v1::ListSlotsResponse response;
  TARN_RETURN_IF_ERROR(x_state->line.call([&](grpc::ClientContext& context) {
    return x_state->admin->ListSlots(&context, {}, &response);
  }));
  std::vector<SlotReport> reports;
  for (const v1::SlotStatus& slot : response.slots()) {
    reports.push_back({slot.state(),
                       slot.primary(),
                       {slot.synced().begin(), slot.synced().end()},
                       {slot.learners().begin(), slot.learners().end()}});
  }
  return reports;
}

Result<uint64_t> AdminClient::abandon_slots(const std::vector<uint32_t>& slots, bool even_waiting) {
  v1::AbandonSlotsRequest request;
  request.mutable_slots()->Add(slots.begin(), slots.end());
  request.set_even_waiting(even_waiting);
  v1::AbandonSlotsResponse response;
  TARN_RETURN_IF_ERROR(x_state->line.call([&](grpc::ClientContext& context) {
    return x_state->admin->AbandonSlots(&context, request, &response);
  }));
  return response.epoch();
}

}  // namespace tarn::cli
