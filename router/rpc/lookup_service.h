#pragma once

#include <functional>
#include <memory>
#include <span>

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
  // Is told what the index should look into. Must not block.
  std::function<void(std::span<const index::Doubt>)> doubt;
};

// Misses in one report.
inline constexpr int kReportedMissesMax = 1024;

// tarn.v1.Lookup for tenants and workers: Match and Locate from the index alone, on gRPC's callback
// threads; ReportMisses changes nothing by itself. Thread-safe; the options' parts outlive it.
// Limits: kMatchHashesMax hashes, kReportedMissesMax misses a call.
std::unique_ptr<grpc::Service> make_lookup_service(LookupOptions options);

}  // namespace tarn::router
