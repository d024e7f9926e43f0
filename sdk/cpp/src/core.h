#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "sdk/cpp/src/background.h"
#include "sdk/cpp/src/buffer.h"
#include "sdk/cpp/src/cluster_view.h"
#include "sdk/cpp/src/credentials_dir.h"
#include "sdk/cpp/src/fork_guard.h"
#include "sdk/cpp/src/io_loop.h"
#include "sdk/cpp/src/ports.h"
#include "sdk/cpp/src/rpc_config_watch.h"
#include "sdk/cpp/src/rpc_router.h"
#include "sdk/cpp/src/rpc_sessions.h"
#include "sdk/cpp/src/rpc_storage.h"
#include "sdk/cpp/src/ticket_cache.h"

namespace tarn::sdk {

// All of one client: what its handles, transfers, sessions and workers share, and keep alive.
// Thread-safe. Life: open; ends with the last of them, which must not be on a thread of its own. In
// a child that fork() made it is dead: calls say so, and it is left as it is.
class Core {
 public:
  static Result<std::shared_ptr<Core>> open(ClientOptions options);
  ~Core();
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  RouterChannels& channels() { return *x_channels; }
  RpcRouter& router() { return x_router; }
  RpcSessions& sessions() { return x_sessions; }
  Background& background() { return x_background; }
  IoLoop& io() { return *x_io; }
  const ClusterView& cluster() const { return x_cluster; }
  const std::shared_ptr<BufferRegistry>& buffers() const { return x_buffers; }
  // What buffers are registered with.
  UcxContexts contexts() const { return x_contexts; }
  bool is_forked() const { return x_fork.is_child(); }

  // When a call that begins now must end.
  Instant deadline_of(const CallOptions& call) const;

  // The one state of a space, shared by all handles to it.
  std::shared_ptr<SpaceState> space(const block::SpaceSpec& spec, const SpaceId& id);

  // Asks a router where these blocks lie, and tells the space's cache; blocks until `deadline`.
  Status locate(SpaceState& space, std::span<const block::BlockHash> hashes, Instant deadline);

  // Waits, but no longer than the client lives. False when it is closing.
  bool pause(Nanos time);

  // Hands a flight over; a refusal ends it.
  void launch(std::shared_ptr<Flight> flight);

 private:
  Core(ClientOptions options, std::shared_ptr<CredentialSource> source,
       std::unique_ptr<RouterChannels> channels);
  Status start(Ports ports);
  Status refresh_config(Instant deadline);
  Status take_config(ring::ClusterConfig config);
  void begin_refresh();
  void begin_report(std::vector<MissedAt> missed);
  int64_t ticket_end();
  Status begin_connect(ConnectCall call);
  void connect(const ConnectCall& call);

  const ClientOptions x_options;
  const ForkGuard x_fork;
  const std::shared_ptr<CredentialSource> x_source;
  const std::unique_ptr<RouterChannels> x_channels;
  RpcRouter x_router;
  RpcSessions x_sessions;
  RpcStorage x_storage;
  TicketCache x_tickets;
  ClusterView x_cluster;
  const std::shared_ptr<BufferRegistry> x_buffers = std::make_shared<BufferRegistry>();
  std::vector<std::shared_ptr<fabric::UcxContext>> x_contexts;  // set once, by start()
  std::atomic<bool> x_is_refreshing{false};
  std::atomic<bool> x_is_renewing{false};
  Mutex x_mutex;
  std::map<SpaceId, std::shared_ptr<SpaceState>> x_spaces TARN_GUARDED_BY(x_mutex);
  std::unique_ptr<IoLoop> x_io;
  Background x_background;
  std::unique_ptr<ConfigWatch> x_watch;
};

}  // namespace tarn::sdk
