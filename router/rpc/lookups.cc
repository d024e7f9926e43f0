#include "router/rpc/lookups.h"

#include <grpcpp/impl/service_type.h>

#include <numeric>
#include <utility>

#include "common/base/log.h"
#include "common/base/units.h"
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

std::unique_ptr<index::SnapshotStore> open_snapshots(const std::string& state_dir) {
  auto store = index::SnapshotStore::open(state_dir + "/index");
  if (store.has_value()) return std::move(*store);
  log::warn("{}: no snapshots of the index are kept", store.error().to_string());
  return nullptr;
}

BlockStreamsOptions stream_options(RouterContext& context, metrics::Registry& registry,
                                   index::Index& index, std::vector<index::StreamMark> marks) {
  BlockStreamsOptions options;
  options.index = &index;
  options.config = &context.config;
  options.registry = &registry;
  options.tls = context.tls;
  options.marks = std::move(marks);
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
      x_store(open_snapshots(context.state_dir)),
      x_index(x_store ? x_store->seed() : index::draw_seed()),
      x_restored(x_store ? index::restore_snapshot(*x_store, x_index)
                         : std::vector<index::StreamMark>()),
      x_streams(stream_options(context, registry, x_index, x_restored)),
      x_stores(context.config, context.tls, context.clock),
      x_front(front_options(context, registry, x_stores)) {
  index::SnapshotKeeperOptions snapshots;
  snapshots.index = &x_index;
  snapshots.store = x_store.get();
  snapshots.registry = &registry;
  snapshots.marks = [this] { return x_streams.marks(); };
  snapshots.restored = x_restored;
  x_snapshots = std::make_unique<index::SnapshotKeeper>(std::move(snapshots));
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
  lookup.doubt = [this](std::span<const index::Doubt> doubts) { x_streams.doubt(doubts); };
  SessionsOptions sessions;
  sessions.front = &x_front;
  sessions.authenticator = &x_context.authenticator;
  sessions.clock = &x_context.clock;
  std::vector<std::shared_ptr<grpc::Service>> services;
  services.push_back(make_lookup_service(std::move(lookup)));
  services.push_back(make_sessions_service(sessions));
  return services;
}

// Tokens are counted in the whole blocks that the index finds.
pool::FetchCost Lookups::cost_of_chain(const pool::FetchQuestion& question,
                                       std::vector<block::BlockHash> hashes) const {
  if (hashes.size() > kMatchHashesMax) hashes.resize(kMatchHashesMax);
  const auto spec = x_context.controller.find_space(question.tenant, question.space);
  std::vector<uint32_t> shards(spec ? spec->tensor_parallel : 1);
  std::iota(shards.begin(), shards.end(), 0);
  index::ChainQuery query;
  query.tenant = block::tenant_id(question.tenant);
  query.space = question.space;
  query.hashes = hashes;
  query.shards = shards;
  const index::MatchAnswer match = x_index.match(query);
  pool::FetchCost cost;
  cost.cached_tokens = match.matched * (spec ? spec->block_tokens : 0);
  cost.fetch_us = index::estimated_us(match, static_cast<uint32_t>(shards.size()));
  return cost;
}

pool::FetchCost Lookups::cost_of_session(const pool::FetchQuestion& question) {
  v1::ResolveSessionRequest request;
  request.set_session_id(question.session_id);
  const session::SessionCaller caller{question.tenant, x_context.clock.now() + kResolveTimeout};
  const auto resolved = x_front.resolve(caller, request);
  if (resolved.outcome() != v1::OUTCOME_OK) return {};
  const v1::Manifest& manifest = resolved.manifest();
  pool::FetchCost cost = cost_of_chain(question, hashes_of(manifest));
  // The tail needs no fetch, and the index may lag behind what the session says.
  cost.cached_tokens = static_cast<uint32_t>(manifest.token_count());
  return cost;
}

pool::FetchCost Lookups::cost_of(const pool::FetchQuestion& question) {
  if (!question.session_id.empty()) return cost_of_session(question);
  return cost_of_chain(question, question.hashes);
}

IndexStatus Lookups::status() const {
  IndexStatus status;
  status.blocks = x_index.stats().blocks;
  status.is_synced = x_streams.is_synced();
  status.synced_servers = x_streams.synced_servers();
  return status;
}

}  // namespace tarn::router
