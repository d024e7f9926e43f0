#pragma once

#include <functional>
#include <memory>

#include "common/metrics/registry.h"
#include "common/rpc/credentials.h"
#include "router/cluster/config_view.h"
#include "router/index/index.h"

namespace grpc {
class Service;
}

namespace tarn::router {

struct LookupOptions {
  const index::Index* index = nullptr;
  const cluster::ConfigView* config = nullptr;
  const rpc::Authenticator* authenticator = nullptr;
  const Clock* clock = &system_clock();
  metrics::Registry* registry = nullptr;
  std::function<bool()> is_synced;  // with all servers; else answers say `partial`
};

// tarn.v1.Lookup for tenants and workers: Match and Locate from the index alone, on gRPC's callback
// threads. Thread-safe; the options' parts outlive it. Limit: kMatchHashesMax hashes a call.
std::unique_ptr<grpc::Service> make_lookup_service(LookupOptions options);

}  // namespace tarn::router
