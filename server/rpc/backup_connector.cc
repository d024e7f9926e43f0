#include "server/rpc/backup_connector.h"

#include <grpcpp/client_context.h>

#include <cstring>
#include <utility>

#include "common/auth/ticket.h"
#include "common/base/check.h"
#include "common/base/thread_name.h"
#include "common/fabric/grpc_port.h"
#include "common/rpc/status.h"
#include "proto/tarn/v1/storage.grpc.pb.h"

namespace tarn::server {
namespace {

constexpr Millis kConnectTimeout{1000};
constexpr int64_t kTicketLifeMs = 24 * 3'600'000;

Result<auth::SealedTicket> make_ticket(const auth::Identity& self, const lane::ClusterView& view,
                                       int64_t now_ms) {
  const TicketKey* newest = nullptr;
  for (const TicketKey& key : view.config.ticket_keys) {
    const bool is_live = key.not_after_ms == 0 || key.not_after_ms > now_ms;
    if (is_live && (newest == nullptr || key.id > newest->id)) newest = &key;
  }
  if (newest == nullptr) return unavailable("the config has no live ticket key");
  auth::Ticket ticket;
  ticket.holder = self;
  ticket.rights = auth::right::kRead | auth::right::kWrite | auth::right::kReplicate;
  ticket.issued_ms = now_ms;
  ticket.expires_ms = now_ms + kTicketLifeMs;
  return auth::seal_ticket(std::move(ticket), *newest);
}

void add_offer(const FabricTerms& terms, const lane::Lane::PortInfo& port,
               v1::ConnectRequest& request) {
  const bool is_shm = port.kind == fabric::Kind::ucx_shm;
  if (!is_shm && port.kind != fabric::Kind::ucx) return;
  v1::FabricOffer* offer = request.add_offers();
  offer->set_kind(is_shm ? v1::FABRIC_KIND_UCX_SHM : v1::FABRIC_KIND_UCX);
  offer->set_version(terms.ucx_version);
  offer->set_settings(is_shm ? terms.ucx_shm_settings : terms.ucx_settings);
  offer->set_address(port.address);
  offer->set_host(terms.host);
}

Result<lane::BackupWiring> read(const v1::ConnectResponse& response, std::string client_key) {
  lane::BackupWiring wiring;
  if (response.nonce().size() != wiring.identity.nonce.size() || response.lanes() == 0 ||
      response.lanes() > ring::kLanesMax) {
    return invalid_argument("nonce, lanes: not as a server would answer");
  }
  std::memcpy(wiring.identity.nonce.data(), response.nonce().data(), response.nonce().size());
  wiring.identity.connection_id = response.connection_id();
  wiring.identity.incarnation = {response.incarnation()};
  wiring.identity.credits = response.credits();
  wiring.identity.credit_bytes = response.credit_bytes();
  wiring.client_key = std::move(client_key);
  wiring.lanes = response.lanes();
  for (const std::string& address : response.lane_addresses())
    wiring.lane_addresses.push_back(address);
  return wiring;
}

}  // namespace

BackupConnector::BackupConnector(BackupConnectorOptions options)
    : x_options(std::move(options)), x_thread([this] { run(); }) {}

void BackupConnector::set_view(lane::ClusterViewPtr view) {
  const MutexLock lock(x_mutex);
  x_view = std::move(view);
}

lane::WireUp BackupConnector::wire_up_for(std::function<lane::Lane*()> lane) {
  return [this, lane = std::move(lane)](ServerId to, Done done) {
    submit({lane(), to, std::move(done)});
  };
}

void BackupConnector::submit(Job job) {
  {
    const MutexLock lock(x_mutex);
    if (!x_stopping && x_jobs.size() < kWaitingMax) {
      x_jobs.push_back(std::move(job));
      x_wake.notify_all();
      return;
    }
  }
  (void)job.lane->post_news(
      [done = std::move(job.done)] { done(overloaded("too many wire-ups")); });
}

void BackupConnector::close() {
  {
    const MutexLock lock(x_mutex);
    x_stopping = true;
    x_jobs.clear();
    x_wake.notify_all();
  }
  if (x_thread.joinable()) x_thread.join();
}

void BackupConnector::run() {
  set_thread_name("tarn-wire-up");
  while (true) {
    Job job;
    lane::ClusterViewPtr view;
    {
      const MutexLock lock(x_mutex);
      while (x_jobs.empty() && !x_stopping)
        x_wake.wait(x_mutex);
      if (x_stopping) return;
      job = std::move(x_jobs.front());
      x_jobs.pop_front();
      view = x_view;
    }
    auto wiring = std::make_shared<Result<lane::BackupWiring>>(
        view == nullptr ? Result<lane::BackupWiring>(unavailable("no config yet"))
                        : connect(job, *view));
    (void)job.lane->post_news([done = std::move(job.done), wiring] { done(std::move(*wiring)); });
  }
}

Result<lane::BackupWiring> BackupConnector::connect(const Job& job, const lane::ClusterView& view) {
  const ring::Member* member = ring::find_member(view.config, job.to);
  if (member == nullptr) return unavailable("the config does not know the server");
  TARN_ASSIGN_OR_RETURN(const auto ticket,
                        make_ticket(x_options.self, view, x_options.clock->unix_ms()));
  TARN_ASSIGN_OR_RETURN(auto channel, rpc::open_channel(member->control_endpoint,
                                                        auth::Role::server, x_options.material));
  TARN_ASSIGN_OR_RETURN(auto grpc_port, fabric::GrpcPort::open_client(channel));
  v1::ConnectRequest request;
  request.set_ticket(ticket.bytes);
  for (const auto& port : job.lane->ports())
    add_offer(x_options.terms, port, request);
  v1::FabricOffer* fallback = request.add_offers();
  fallback->set_kind(v1::FABRIC_KIND_GRPC);
  fallback->set_address(grpc_port->address());
  grpc::ClientContext context;
  rpc::set_timeout(context, kConnectTimeout);
  v1::ConnectResponse response;
  const auto stub = v1::StorageControl::NewStub(channel);
  TARN_RETURN_IF_ERROR(rpc::from_grpc(stub->Connect(&context, request, &response)));
  TARN_ASSIGN_OR_RETURN(lane::BackupWiring wiring, read(response, ticket.client_key));
  if (response.fabric() == v1::FABRIC_KIND_UCX_SHM) {
    wiring.fabric = fabric::Kind::ucx_shm;
  } else if (response.fabric() == v1::FABRIC_KIND_UCX) {
    wiring.fabric = fabric::Kind::ucx;
  } else {
    wiring.fabric = fabric::Kind::grpc;
    wiring.port = std::move(grpc_port);
    wiring.lane_addresses.clear();
    for (uint32_t lane = 0; lane < wiring.lanes; ++lane)
      wiring.lane_addresses.push_back(std::to_string(lane));
  }
  return wiring;
}

}  // namespace tarn::server
