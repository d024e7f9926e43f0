#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <chrono>
#include <thread>

#include "common/auth/token.h"
#include "common/block/space.h"
#include "common/rpc/convert.h"
#include "common/rpc/session_command.h"
#include "common/rpc/status.h"
#include "proto/tarn/v1/cluster.grpc.pb.h"
#include "proto/tarn/v1/router.grpc.pb.h"
#include "proto/tarn/v1/sessions.grpc.pb.h"
#include "tests/unit/sdk/fake_cluster.h"

namespace tarn::sdk {
namespace {

using std::chrono::milliseconds;

// What all calls of one router go through.
struct Door {
  ClusterState& state;
  std::atomic<bool> hangs{false};
  std::atomic<bool> stopped{false};

  grpc::Status enter(const grpc::ServerContext& call) {
    while (hangs && !stopped && !call.IsCancelled())
      std::this_thread::sleep_for(milliseconds(1));
    const std::lock_guard lock(state.mutex);
    if (state.only_token.empty()) return grpc::Status::OK;
    const auto shown = call.client_metadata().find("authorization");
    const bool is_known =
        shown != call.client_metadata().end() &&
        std::string(shown->second.data(), shown->second.size()) == "Bearer " + state.only_token;
    return is_known ? grpc::Status::OK : rpc::to_grpc(unauthenticated("the token has expired"));
  }
};

struct FakeConfig : v1::Cluster::Service {
  FakeConfig(ClusterState& s, Door& d) : state(s), door(d) {}
  grpc::Status GetConfig(grpc::ServerContext* call, const v1::GetConfigRequest*,
                         v1::ClusterConfig* answer) override {
    if (grpc::Status in = door.enter(*call); !in.ok()) return in;
    const std::lock_guard lock(state.mutex);
    ++state.configs;
    *answer = rpc::to_proto(state.config);
    return grpc::Status::OK;
  }
  grpc::Status WatchConfig(grpc::ServerContext* call, const v1::GetConfigRequest* request,
                           grpc::ServerWriter<v1::ClusterConfig>* writer) override {
    uint64_t known = request->known_epoch();
    std::unique_lock lock(state.mutex);
    if (!state.has_watch) return {grpc::StatusCode::UNIMPLEMENTED, "no such method"};
    ++state.watches;
    while (!door.stopped && !call->IsCancelled()) {
      if (state.config.epoch.value > known && !door.hangs) {
        known = state.config.epoch.value;
        if (!writer->Write(rpc::to_proto(state.config))) break;
      }
      state.changed.wait_for(lock, milliseconds(5));
    }
    return {grpc::StatusCode::UNAVAILABLE, "the router stops"};
  }
  ClusterState& state;
  Door& door;
};

struct FakeSpaces : v1::Spaces::Service {
  grpc::Status OpenSpace(grpc::ServerContext*, const v1::OpenSpaceRequest* request,
                         v1::OpenSpaceResponse* answer) override {
    answer->set_space(rpc::to_bytes(block::space_id(rpc::from_proto(request->spec()))));
    return grpc::Status::OK;
  }
};

struct FakeLookup : v1::Lookup::Service {
  FakeLookup(ClusterState& s, Door& d) : state(s), door(d) {}
  grpc::Status Locate(grpc::ServerContext* call, const v1::LocateRequest* request,
                      v1::LocateResponse* answer) override {
    if (grpc::Status in = door.enter(*call); !in.ok()) return in;
    const std::lock_guard lock(state.mutex);
    ++state.locates;
    for (const std::string& hash : request->hashes()) {
      v1::Located& located = *answer->add_blocks();
      const auto known = state.located.find(hash);
      if (known == state.located.end()) continue;
      located.set_anchor(known->second.anchor);
      located.set_index(known->second.index);
      located.set_last(known->second.is_last);
    }
    return grpc::Status::OK;
  }
  grpc::Status ReportMisses(grpc::ServerContext*, const v1::ReportMissesRequest* request,
                            v1::ReportMissesResponse*) override {
    const std::lock_guard lock(state.mutex);
    for (const v1::MissedBlock& each : request->missed())
      state.missed.emplace(each.hash(), each.server());
    return grpc::Status::OK;
  }
  grpc::Status Match(grpc::ServerContext* call, const v1::MatchRequest* request,
                     v1::MatchResponse* answer) override {
    if (grpc::Status in = door.enter(*call); !in.ok()) return in;
    const std::lock_guard lock(state.mutex);
    for (const std::string& hash : request->hashes()) {
      if (!state.located.contains(hash)) break;
      const uint32_t i = answer->matched();
      answer->set_matched(i + 1);
      v1::MatchRun& run = *answer->add_runs();
      run.set_first(i);
      run.set_count(1);
      run.set_anchor(state.located[hash].anchor);
      run.set_first_index(state.located[hash].index);
      run.add_holders(1);
      run.set_tier(v1::TIER_DRAM);
      run.set_estimated_us(5);
    }
    return grpc::Status::OK;
  }
  ClusterState& state;
  Door& door;
};

struct FakeTickets : v1::Tickets::Service {
  FakeTickets(ClusterState& s, Door& d) : state(s), door(d) {}
  grpc::Status IssueTicket(grpc::ServerContext* call, const v1::IssueTicketRequest*,
                           v1::IssueTicketResponse* answer) override {
    if (grpc::Status in = door.enter(*call); !in.ok()) return in;
    const std::lock_guard lock(state.mutex);
    if (!state.issues_tickets) return rpc::to_grpc(unavailable("no ticket today"));
    answer->set_ticket("ticket " + std::to_string(++state.tickets));
    answer->set_client_key(std::string(32, 'k'));
    answer->set_expires_unix_ms(system_clock().unix_ms() + state.ticket_life_ms);
    return grpc::Status::OK;
  }
  ClusterState& state;
  Door& door;
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
        state.workers[name] = {beat.endpoint(), beat.queued(), beat.draining()};
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
      answer->set_endpoint(beat.endpoint);
      return grpc::Status::OK;
    }
    return rpc::to_grpc(unavailable("no worker is alive"));
  }
  ClusterState& state;
};

using Manifests = std::map<std::string, v1::Manifest>;

// Of one cluster, whichever router is asked.
Manifests& all_sessions(ClusterState& state) {
  if (state.sessions == nullptr) state.sessions = std::make_shared<Manifests>();
  return *std::static_pointer_cast<Manifests>(state.sessions);
}

struct FakeSessions : v1::Sessions::Service {
  explicit FakeSessions(ClusterState& s) : state(s), sessions(all_sessions(s)) {}

  grpc::Status CreateSession(grpc::ServerContext*, const v1::CreateSessionRequest* request,
                             v1::Manifest* answer) override {
    const std::lock_guard lock(state.mutex);
    if (was_applied(request->request_id())) {
      *answer = sessions[request->session_id()];
      return grpc::Status::OK;
    }
    if (sessions.contains(request->session_id())) {
      return rpc::to_grpc(already_exists("taken"));
    }
    v1::Manifest& made = sessions[request->session_id()];
    made.set_session_id(request->session_id());
    made.set_space(request->space());
    made.set_version(1);
    if (request->ttl_ms() > 0) {
      made.set_expires_unix_ms(system_clock().unix_ms() + request->ttl_ms());
    }
    *answer = made;
    return applied(request->request_id(), 1);
  }
  grpc::Status AppendSession(grpc::ServerContext*, const v1::AppendSessionRequest* request,
                             v1::AppendSessionResponse* answer) override {
    const std::lock_guard lock(state.mutex);
    v1::Manifest* manifest = nullptr;
    if (grpc::Status found = look_up(*request, manifest); !found.ok()) return found;
    if (was_applied(request->request_id())) {
      answer->set_version(state.applied[request->request_id()]);
      return grpc::Status::OK;
    }
    if (manifest->version() != request->expected_version()) return rpc::to_grpc(conflict("other"));
    ++state.appends;
    for (const v1::BlockRef& block : request->blocks()) {
      v1::ExtentRun& run = *manifest->add_runs();
      run.set_anchor(block.anchor());
      run.set_first_index(block.index());
      run.add_hashes(block.hash());
      state.placed[request->session_id()].push_back(block.anchor() + "+" +
                                                    std::to_string(block.index()));
    }
    manifest->set_token_count(request->token_count());
    manifest->set_tail(request->tail());
    manifest->set_version(manifest->version() + 1);
    answer->set_version(manifest->version());
    return applied(request->request_id(), manifest->version());
  }
  grpc::Status ResolveSession(grpc::ServerContext*, const v1::ResolveSessionRequest* request,
                              v1::Manifest* answer) override {
    const std::lock_guard lock(state.mutex);
    v1::Manifest* manifest = nullptr;
    if (grpc::Status found = look_up(*request, manifest); !found.ok()) return found;
    *answer = *manifest;
    return grpc::Status::OK;
  }
  grpc::Status ForkSession(grpc::ServerContext*, const v1::ForkSessionRequest* request,
                           v1::Manifest* answer) override {
    const std::lock_guard lock(state.mutex);
    v1::Manifest* manifest = nullptr;
    if (grpc::Status found = look_up(*request, manifest); !found.ok()) return found;
    if (was_applied(request->request_id())) {
      *answer = sessions[request->new_session_id()];
      return grpc::Status::OK;
    }
    if (find(request->new_session_id()) != nullptr) return rpc::to_grpc(already_exists("taken"));
    v1::Manifest copy = *manifest;
    copy.set_session_id(request->new_session_id());
    copy.set_parent(request->session_id());
    copy.set_version(1);
    *answer = sessions[request->new_session_id()] = copy;
    return applied(request->request_id(), 1);
  }
  grpc::Status TruncateSession(grpc::ServerContext*, const v1::TruncateSessionRequest* request,
                               v1::AppendSessionResponse* answer) override {
    const std::lock_guard lock(state.mutex);
    v1::Manifest* manifest = nullptr;
    if (grpc::Status found = look_up(*request, manifest); !found.ok()) return found;
    if (was_applied(request->request_id())) {
      answer->set_version(state.applied[request->request_id()]);
      return grpc::Status::OK;
    }
    if (manifest->version() != request->expected_version()) return rpc::to_grpc(conflict("other"));
    manifest->mutable_runs()->DeleteSubrange(
        static_cast<int>(request->block_count()),
        manifest->runs_size() - static_cast<int>(request->block_count()));
    manifest->set_version(manifest->version() + 1);
    manifest->set_token_count(request->token_count());
    manifest->set_tail(request->tail());
    answer->set_version(manifest->version());
    return applied(request->request_id(), manifest->version());
  }
  grpc::Status UpdateSession(grpc::ServerContext*, const v1::UpdateSessionRequest* request,
                             v1::AppendSessionResponse* answer) override {
    const std::lock_guard lock(state.mutex);
    v1::Manifest* manifest = nullptr;
    if (grpc::Status found = look_up(*request, manifest); !found.ok()) return found;
    if (request->has_pinned()) manifest->set_pinned(request->pinned());
    if (request->has_ttl_ms()) manifest->set_expires_unix_ms(request->ttl_ms());
    answer->set_version(manifest->version());
    return grpc::Status::OK;
  }
  grpc::Status DeleteSession(grpc::ServerContext*, const v1::DeleteSessionRequest* request,
                             v1::DeleteSessionResponse*) override {
    const std::lock_guard lock(state.mutex);
    v1::Manifest* manifest = nullptr;
    grpc::Status found = look_up(*request, manifest);
    if (found.ok()) sessions.erase(request->session_id());
    return found.error_code() == grpc::StatusCode::NOT_FOUND ? grpc::Status::OK : found;
  }
  // Pages of one.
  grpc::Status ListSessions(grpc::ServerContext*, const v1::ListSessionsRequest* request,
                            v1::ListSessionsResponse* answer) override {
    const std::lock_guard lock(state.mutex);
    ++state.pages;
    if (state.repeats_page) answer->set_next(request->after());
    for (const auto& [id, manifest] : sessions) {
      if (state.repeats_page) break;
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

  // Precondition of both: state.mutex is held.
  bool was_applied(const std::string& request_id) {
    state.request_ids.push_back(request_id);
    return state.applied.contains(request_id);
  }
  grpc::Status applied(const std::string& request_id, uint64_t version) {
    state.applied[request_id] = version;
    if (state.lose_answers == 0) return grpc::Status::OK;
    --state.lose_answers;
    return {grpc::StatusCode::UNAVAILABLE, "the answer is lost"};
  }
  v1::Manifest* find(const std::string& id) {
    const auto found = sessions.find(id);
    return found == sessions.end() ? nullptr : &found->second;
  }
  // As a storage server does, also where it is of an older release and looks at no space.
  template <typename Request>
  grpc::Status look_up(const Request& request, v1::Manifest*& manifest) {
    manifest = find(request.session_id());
    if (manifest == nullptr) return rpc::to_grpc(not_found("no such session"));
    if (!state.looks_at_spaces || request.space() == manifest->space()) return grpc::Status::OK;
    return rpc::to_grpc(rpc::of_another_space(request.session_id()));
  }
  ClusterState& state;
  Manifests& sessions;
};

}  // namespace

struct FakeRouter::Services {
  explicit Services(ClusterState& state)
      : door{state},
        config(state, door),
        lookup(state, door),
        tickets(state, door),
        workers(state),
        sessions(state) {}
  Door door;
  FakeConfig config;
  FakeSpaces spaces;
  FakeLookup lookup;
  FakeTickets tickets;
  FakeWorkers workers;
  FakeSessions sessions;
  std::unique_ptr<grpc::Server> server;
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
  x_services->server = builder.BuildAndStart();
}

FakeRouter::~FakeRouter() {
  stop();
}

void FakeRouter::stop() {
  if (x_services->server == nullptr) return;
  x_services->door.stopped = true;
  x_services->server->Shutdown(std::chrono::system_clock::now());
  x_services->server.reset();
}

void FakeRouter::hang(bool hangs) {
  x_services->door.hangs = hangs;
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
  x_state.changed.notify_all();
}

void FakeCluster::next_epoch() {
  const std::lock_guard lock(x_state.mutex);
  ++x_state.config.epoch.value;
  x_state.changed.notify_all();
}

}  // namespace tarn::sdk
