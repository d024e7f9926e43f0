#include <grpcpp/server_builder.h>

#include "common/auth/token.h"
#include "common/block/space.h"
#include "common/rpc/convert.h"
#include "common/rpc/status.h"
#include "tests/unit/sdk/fake_cluster.h"

namespace tarn::sdk {
namespace {

struct FakeConfig : v1::Cluster::Service {
  explicit FakeConfig(ClusterState& s) : state(s) {}
  grpc::Status GetConfig(grpc::ServerContext*, const v1::GetConfigRequest*,
                         v1::ClusterConfig* answer) override {
    const std::lock_guard lock(state.mutex);
    *answer = rpc::to_proto(state.config);
    return grpc::Status::OK;
  }
  ClusterState& state;
};

struct FakeSpaces : v1::Spaces::Service {
  grpc::Status OpenSpace(grpc::ServerContext*, const v1::OpenSpaceRequest* request,
                         v1::OpenSpaceResponse* answer) override {
    answer->set_space(rpc::to_bytes(block::space_id(rpc::from_proto(request->spec()))));
    return grpc::Status::OK;
  }
};

struct FakeLookup : v1::Lookup::Service {
  explicit FakeLookup(ClusterState& s) : state(s) {}
  grpc::Status Locate(grpc::ServerContext*, const v1::LocateRequest* request,
                      v1::LocateResponse* answer) override {
    const std::lock_guard lock(state.mutex);
    ++state.locates;
    for (const std::string& hash : request->hashes())
      *answer->add_blocks() = state.located.contains(hash) ? state.located[hash] : v1::Located();
    return grpc::Status::OK;
  }
  grpc::Status ReportMisses(grpc::ServerContext*, const v1::ReportMissesRequest* request,
                            v1::ReportMissesResponse*) override {
    const std::lock_guard lock(state.mutex);
    for (const v1::MissedBlock& each : request->missed())
      state.missed.emplace(each.hash(), each.server());
    return grpc::Status::OK;
  }
  grpc::Status Match(grpc::ServerContext*, const v1::MatchRequest* request,
                     v1::MatchResponse* answer) override {
    const std::lock_guard lock(state.mutex);
    for (const std::string& hash : request->hashes()) {
      if (!state.located.contains(hash)) break;
      const uint32_t i = answer->matched();
      answer->set_matched(i + 1);
      v1::MatchRun& run = *answer->add_runs();
      run.set_first(i);
      run.set_count(1);
      run.set_anchor(state.located[hash].anchor());
      run.set_first_index(state.located[hash].index());
      run.add_holders(1);
      run.set_tier(v1::TIER_DRAM);
      run.set_estimated_us(5);
    }
    return grpc::Status::OK;
  }
  ClusterState& state;
};

struct FakeTickets : v1::Tickets::Service {
  explicit FakeTickets(ClusterState& s) : state(s) {}
  grpc::Status IssueTicket(grpc::ServerContext*, const v1::IssueTicketRequest*,
                           v1::IssueTicketResponse* answer) override {
    const std::lock_guard lock(state.mutex);
    answer->set_ticket("ticket " + std::to_string(++state.tickets));
    answer->set_client_key(std::string(32, 'k'));
    answer->set_expires_unix_ms(system_clock().unix_ms() + 60'000);
    return grpc::Status::OK;
  }
  ClusterState& state;
};

struct FakeWorkers : v1::Workers::Service {
  explicit FakeWorkers(ClusterState& s) : state(s) {}
  grpc::Status Register(grpc::ServerContext*,
                        grpc::ServerReaderWriter<v1::WorkerAck, v1::WorkerBeat>* stream) override {
    v1::WorkerBeat beat;
    std::string name;
    while (stream->Read(&beat)) {
      v1::WorkerAck ack;
      {
        const std::lock_guard lock(state.mutex);
        state.registrations += name.empty() ? 1 : 0;
        name = beat.name();
        state.workers[name] = beat;
        ack.set_interval_ms(10);
        ack.set_dead_after_ms(1000);
        ack.set_drain(state.drains_workers);
      }
      if (!stream->Write(ack)) break;
    }
    const std::lock_guard lock(state.mutex);
    state.workers.erase(name);
    return grpc::Status::OK;
  }
  grpc::Status Route(grpc::ServerContext*, const v1::RouteRequest* request,
                     v1::RouteResponse* answer) override {
    const std::lock_guard lock(state.mutex);
    for (const auto& [name, beat] : state.workers) {
      if (!request->exclude().empty() && request->exclude(0) == name) continue;
      answer->set_worker(name);
      answer->set_endpoint(beat.endpoint());
      return grpc::Status::OK;
    }
    return rpc::to_grpc(unavailable("no worker is alive"));
  }
  ClusterState& state;
};

struct FakeSessions : v1::Sessions::Service {
  explicit FakeSessions(ClusterState& s) : state(s) {}

  grpc::Status CreateSession(grpc::ServerContext*, const v1::CreateSessionRequest* request,
                             v1::Manifest* answer) override {
    const std::lock_guard lock(state.mutex);
    if (state.sessions.contains(request->session_id())) {
      return rpc::to_grpc(already_exists("taken"));
    }
    v1::Manifest& made = state.sessions[request->session_id()];
    made.set_session_id(request->session_id());
    made.set_space(request->space());
    made.set_version(1);
    *answer = made;
    return grpc::Status::OK;
  }
  grpc::Status AppendSession(grpc::ServerContext*, const v1::AppendSessionRequest* request,
                             v1::AppendSessionResponse* answer) override {
    const std::lock_guard lock(state.mutex);
    v1::Manifest* const manifest = find(request->session_id());
    if (manifest == nullptr) return rpc::to_grpc(not_found("no such session"));
    if (const auto again = state.applied.find(request->request_id());
        again != state.applied.end()) {
      answer->set_version(again->second);
      return grpc::Status::OK;
    }
    if (manifest->version() != request->expected_version()) return rpc::to_grpc(conflict("other"));
    ++state.appends;
    for (const v1::BlockRef& block : request->blocks()) {
      v1::ExtentRun& run = *manifest->add_runs();
      run.set_anchor(block.anchor());
      run.set_first_index(block.index());
      run.add_hashes(block.hash());
    }
    manifest->set_token_count(request->token_count());
    manifest->set_tail(request->tail());
    manifest->set_version(manifest->version() + 1);
    state.applied[request->request_id()] = manifest->version();
    if (state.lose_answers > 0) {
      --state.lose_answers;
      return {grpc::StatusCode::UNAVAILABLE, "the answer is lost"};
    }
    answer->set_version(manifest->version());
    return grpc::Status::OK;
  }
  grpc::Status ResolveSession(grpc::ServerContext*, const v1::ResolveSessionRequest* request,
                              v1::Manifest* answer) override {
    const std::lock_guard lock(state.mutex);
    v1::Manifest* const manifest = find(request->session_id());
    if (manifest == nullptr) return rpc::to_grpc(not_found("no such session"));
    *answer = *manifest;
    return grpc::Status::OK;
  }
  grpc::Status ForkSession(grpc::ServerContext*, const v1::ForkSessionRequest* request,
                           v1::Manifest* answer) override {
    const std::lock_guard lock(state.mutex);
    v1::Manifest* const manifest = find(request->session_id());
    if (manifest == nullptr) return rpc::to_grpc(not_found("no such session"));
    v1::Manifest copy = *manifest;
    copy.set_session_id(request->new_session_id());
    copy.set_parent(request->session_id());
    copy.set_version(1);
    *answer = state.sessions[request->new_session_id()] = copy;
    return grpc::Status::OK;
  }
  grpc::Status TruncateSession(grpc::ServerContext*, const v1::TruncateSessionRequest* request,
                               v1::AppendSessionResponse* answer) override {
    const std::lock_guard lock(state.mutex);
    v1::Manifest* const manifest = find(request->session_id());
    if (manifest == nullptr) return rpc::to_grpc(not_found("no such session"));
    manifest->mutable_runs()->DeleteSubrange(
        static_cast<int>(request->block_count()),
        manifest->runs_size() - static_cast<int>(request->block_count()));
    manifest->set_version(manifest->version() + 1);
    answer->set_version(manifest->version());
    return grpc::Status::OK;
  }
  grpc::Status UpdateSession(grpc::ServerContext*, const v1::UpdateSessionRequest* request,
                             v1::AppendSessionResponse* answer) override {
    const std::lock_guard lock(state.mutex);
    v1::Manifest* const manifest = find(request->session_id());
    if (manifest == nullptr) return rpc::to_grpc(not_found("no such session"));
    if (request->has_pinned()) manifest->set_pinned(request->pinned());
    if (request->has_ttl_ms()) manifest->set_expires_unix_ms(request->ttl_ms());
    answer->set_version(manifest->version());
    return grpc::Status::OK;
  }
  grpc::Status DeleteSession(grpc::ServerContext*, const v1::DeleteSessionRequest* request,
                             v1::DeleteSessionResponse*) override {
    const std::lock_guard lock(state.mutex);
    state.sessions.erase(request->session_id());
    return grpc::Status::OK;
  }
  // Pages of one.
  grpc::Status ListSessions(grpc::ServerContext*, const v1::ListSessionsRequest* request,
                            v1::ListSessionsResponse* answer) override {
    const std::lock_guard lock(state.mutex);
    for (const auto& [id, manifest] : state.sessions) {
      if (!id.starts_with(request->prefix()) || id <= request->after()) continue;
      v1::SessionSummary& summary = *answer->add_sessions();
      summary.set_session_id(id);
      summary.set_space(manifest.space());
      summary.set_version(manifest.version());
      answer->set_next(id);
      break;
    }
    return grpc::Status::OK;
  }

  v1::Manifest* find(const std::string& id) {
    const auto found = state.sessions.find(id);
    return found == state.sessions.end() ? nullptr : &found->second;
  }
  ClusterState& state;
};

}  // namespace

struct FakeRouter::Services {
  explicit Services(ClusterState& state)
      : config(state), lookup(state), tickets(state), workers(state), sessions(state) {}
  FakeConfig config;
  FakeSpaces spaces;
  FakeLookup lookup;
  FakeTickets tickets;
  FakeWorkers workers;
  FakeSessions sessions;
};

FakeRouter::FakeRouter(ClusterState& state) : x_services(std::make_unique<Services>(state)) {
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &x_port);
  builder.RegisterService(&x_services->config);
  builder.RegisterService(&x_services->spaces);
  builder.RegisterService(&x_services->lookup);
  builder.RegisterService(&x_services->tickets);
  builder.RegisterService(&x_services->workers);
  builder.RegisterService(&x_services->sessions);
  x_server = builder.BuildAndStart();
}

FakeRouter::~FakeRouter() {
  stop();
}

void FakeRouter::stop() {
  if (x_server == nullptr) return;
  x_server->Shutdown(std::chrono::system_clock::now());
  x_server.reset();
}

FakeCluster::FakeCluster(size_t servers, bool has_ucx) {
  x_state.config.epoch = Epoch{1};
  x_state.config.cluster = "test";
  for (size_t i = 0; i < servers; ++i) {
    const std::string name = "s" + std::to_string(i + 1);
    x_servers.push_back(
        std::make_unique<FakeServer>(FakeServer::Options{name, i == 0 ? 2u : 1u, has_ucx}));
    x_state.config.members.push_back(x_servers.back()->member(static_cast<uint32_t>(i + 1)));
  }
  add_router();
  const auto keys = auth::make_token_keys().value();
  const auto signer = auth::TokenSigner::open(keys.private_pem).value();
  x_token =
      signer.sign(auth::make_identity(auth::Role::tenant, kTenant).value(), INT64_MAX).value();
}

void FakeCluster::add_router() {
  x_routers.push_back(std::make_unique<FakeRouter>(x_state));
}

ClientOptions FakeCluster::options() const {
  ClientOptions options;
  for (const auto& router : x_routers)
    options.endpoint += (options.endpoint.empty() ? "" : ",") + router->endpoint();
  options.credentials = "/nonexistent";
  options.token = x_token;
  options.transport = Transport::grpc;
  return options;
}

void FakeCluster::declare_down(size_t i) {
  const std::lock_guard lock(x_state.mutex);
  x_state.config.members.at(i).state = ring::MemberState::down;
  ++x_state.config.epoch.value;
}

}  // namespace tarn::sdk
