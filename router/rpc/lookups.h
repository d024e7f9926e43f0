#pragma once

#include <memory>
#include <vector>

#include "common/metrics/registry.h"
#include "router/index/index.h"
#include "router/index/snapshot_keeper.h"
#include "router/rpc/block_streams.h"
#include "router/rpc/context.h"
#include "router/rpc/session_stores.h"
#include "router/session/session_front.h"

namespace tarn::router {

// What this router knows of blocks and sessions, with the services that answer from it: the index,
// the streams that feed it, its snapshots in the state folder, the sessions' front. Thread-safe.
// Life: made before the gRPC server, with what the last snapshot holds; destroyed after it, with a
// last snapshot; the context and the registry outlive it.
class Lookups {
 public:
  Lookups(RouterContext& context, metrics::Registry& registry);

  // Lookup and Sessions. They live as long as the server that they are plugged into.
  std::vector<std::shared_ptr<grpc::Service>> services();

 private:
  pool::FetchCost cost_of(const pool::FetchQuestion& question);
  pool::FetchCost cost_of_session(const pool::FetchQuestion& question);
  pool::FetchCost cost_of_chain(const pool::FetchQuestion& question,
                                std::vector<block::BlockHash> hashes) const;
  IndexStatus status() const;

  RouterContext& x_context;
  metrics::Registry& x_registry;
  std::unique_ptr<index::SnapshotStore> x_store;  // null where the folder cannot be written
  index::Index x_index;
  const std::vector<index::StreamMark> x_restored;
  BlockStreams x_streams;
  SessionStores x_stores;
  session::SessionFront x_front;
  std::unique_ptr<index::SnapshotKeeper> x_snapshots;  // asks the streams, so it goes before them
};

}  // namespace tarn::router
