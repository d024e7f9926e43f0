#include "router/rpc/lookups.h"

#include <grpcpp/impl/service_type.h>

#include <utility>

#include "common/block/key.h"
#include "common/rpc/convert.h"
#include "router/index/cost.h"
#include "router/index/fingerprint.h"
#include "router/rpc/lookup_service.h"
#include "router/rpc/sessions_service.h"

namespace tarn::router {
namespace {

// Route has little time for a better estimate: without an answer in it, nothing counts as cached.
constexpr Millis kResolveTimeout{500};

BlockStreamsOptions stream_options(RouterContext& context, metrics::Registry& registry,
                                   index::Index& index) {
  BlockStreamsOptions options;
  options.index = &index;
  options.config = &context.config;
  options.registry = &registry;
  options.tls = context.tls;
  return options;
}

session::SessionFrontOptions front_options(RouterContext& context, metrics::Registry& registry,
                                           SessionStores& stores) {
  session::SessionFrontOptions options;
  options.config = &context.config;
  options.calls = stores.calls();
  options.clock = &context.clock;
  options.registry = &registry;
  return options;
}

std::vector<block::BlockHash> hashes_of(const v1::Manifest& manifest) {
  std::vector<block::BlockHash> hashes;
  for (const auto& run : manifest.runs()) {
    for (const auto& bytes : run.hashes()) {
      if (auto hash = block::BlockHash::from(bytes)) hashes.push_back(*hash);
    }
  }
  return hashes;
}

}  // namespace

Lookups::Lookups(RouterContext& context, metrics::Registry& registry)
    : x_context(context),
      x_registry(registry),
      x_index(index::draw_seed()),
      x_streams(stream_options(context, registry, x_index)),
      x_stores(context.config, context.tls, context.clock),
      x_front(front_options(context, registry, x_stores)) {
  context.questions.fetch_cost = [this](const pool::FetchQuestion& question) {
    return cost_of(question);
  };
  context.questions.index_status = [this] { return status(); };
}

std::vector<std::shared_ptr<grpc::Service>> Lookups::services() {
  LookupOptions lookup;
  lookup.index = &x_index;
  lookup.config = &x_context.config;
  lookup.authenticator = &x_context.authenticator;
  lookup.clock = &x_context.clock;
  lookup.registry = &x_registry;
  lookup.is_synced = [this] { return x_streams.is_synced(); };
  SessionsOptions sessions;
  sessions.front = &x_front;
  sessions.authenticator = &x_context.authenticator;
  sessions.clock = &x_context.clock;
  std::vector<std::shared_ptr<grpc::Service>> services;
  services.push_back(make_lookup_service(std::move(lookup)));
  services.push_back(make_sessions_service(sessions));
  return services;
}

uint64_t Lookups::fetch_us(const pool::FetchQuestion& question,
                           const std::vector<block::BlockHash>& hashes) const {
  index::ChainQuery query;
  query.tenant = block::tenant_id(question.tenant);
  query.space = question.space;
  query.hashes = hashes;
  return index::estimated_us(x_index.match(query), 1);
}

pool::FetchCost Lookups::cost_of_session(const pool::FetchQuestion& question) {
  v1::ResolveSessionRequest request;
  request.set_session_id(question.session_id);
  const session::SessionCaller caller{question.tenant, x_context.clock.now() + kResolveTimeout};
  const auto resolved = x_front.resolve(caller, request);
  if (resolved.outcome() != v1::OUTCOME_OK) return {};
  const v1::Manifest& manifest = resolved.manifest();
  pool::FetchCost cost;
  cost.cached_tokens = static_cast<uint32_t>(manifest.token_count());
  cost.fetch_us = fetch_us(question, hashes_of(manifest));
  return cost;
}

pool::FetchCost Lookups::cost_of(const pool::FetchQuestion& question) {
  if (!question.session_id.empty()) return cost_of_session(question);
  pool::FetchCost cost;
  cost.fetch_us = fetch_us(question, question.hashes);
  return cost;
}

IndexStatus Lookups::status() const {
  IndexStatus status;
  status.blocks = x_index.stats().blocks;
  status.is_synced = x_streams.is_synced();
  status.synced_servers = x_streams.synced_servers();
  return status;
}

}  // namespace tarn::router
