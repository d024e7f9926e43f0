#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>

#include "common/auth/identity.h"
#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/rpc/credentials.h"
#include "router/cluster/config_view.h"
#include "router/cluster/controller.h"
#include "router/cluster/events.h"
#include "router/cluster/server_table.h"
#include "router/pool/cost.h"
#include "router/pool/worker_pool.h"
#include "router/rpc/stream_seats.h"

namespace tarn::router {

// What the index knows of itself, for GetStatus.
struct IndexStatus {
  uint64_t blocks = 0;
  bool is_synced = false;
  std::set<uint32_t> synced_servers;  // ids
};

// What the services ask of index and sessions. Lookups sets it before the router serves.
struct Questions {
  pool::CostSource fetch_cost = [](const pool::FetchQuestion&) { return pool::FetchCost{}; };
  std::function<IndexStatus()> index_status = [] { return IndexStatus{}; };
};

// What every service of the router stands on. All of it outlives the gRPC server.
struct RouterContext {
  const Clock& clock;
  const rpc::Authenticator& authenticator;
  member::Authority& authority;
  cluster::ConfigView& config;
  cluster::ServerTable& servers;
  cluster::Controller& controller;
  cluster::Events& events;
  pool::WorkerPool& workers;
  StreamSeats& streams;
  cluster::Timing timing;
  std::string router;
  // What this router shows to storage servers.
  rpc::TlsMaterial tls;
  std::string state_dir;
  Questions questions;
};

using Roles = std::initializer_list<auth::Role>;

// Who calls, if it has one of the roles. Returns: the identity; unauthenticated; permission_denied
// naming the roles that may.
Result<auth::Identity> require(const RouterContext& context, const grpc::ServerContextBase& call,
                               Roles roles);

}  // namespace tarn::router
