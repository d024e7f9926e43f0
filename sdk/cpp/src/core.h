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
#include "sdk/cpp/src/io_loop.h"
#include "sdk/cpp/src/ports.h"
#include "sdk/cpp/src/rpc_router.h"
#include "sdk/cpp/src/rpc_sessions.h"
#include "sdk/cpp/src/rpc_storage.h"

namespace tarn::sdk {

// The client's ticket, renewed at half of its life. Thread-safe.
class TicketCache {
 public:
  explicit TicketCache(RpcRouter& router) : x_router(router) {}

  // Blocks until `deadline` at most. A ticket past its half is still given where no router answers.
  Result<IssuedTicket> get(Instant deadline);
  // The next get() asks for another.
  void drop();

 private:
  RpcRouter& x_router;
  Mutex x_mutex;
  IssuedTicket x_ticket TARN_GUARDED_BY(x_mutex);
  int64_t x_renew_at_ms TARN_GUARDED_BY(x_mutex) = 0;
};

// All of one client: what its handles, transfers, sessions and workers share, and keep alive.
// Thread-safe. Life: open; ends with the last of them, which must not be on a thread of its own.
class Core {
 public:
  static Result<std::shared_ptr<Core>> open(ClientOptions options);
  ~Core();
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  const ClientOptions& options() const { return x_options; }
  const Credentials& credentials() const { return x_credentials; }
  RouterChannels& channels() { return *x_channels; }
  RpcRouter& router() { return x_router; }
  RpcSessions& sessions() { return x_sessions; }
  Background& background() { return x_background; }
  IoLoop& io() { return *x_io; }
  const ClusterView& cluster() const { return x_cluster; }
  const std::shared_ptr<BufferRegistry>& buffers() const { return x_buffers; }

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
  Core(ClientOptions options, Credentials credentials, std::unique_ptr<RouterChannels> channels);
  Status start(Ports ports);
  Status refresh_config(Instant deadline);
  void begin_refresh();
  void begin_report(std::vector<MissedAt> missed);
  Status begin_connect(ConnectCall call);
  void connect(const ConnectCall& call);

  const ClientOptions x_options;
  const Credentials x_credentials;
  const std::unique_ptr<RouterChannels> x_channels;
  RpcRouter x_router;
  RpcSessions x_sessions;
  RpcStorage x_storage;
  TicketCache x_tickets;
  ClusterView x_cluster;
  const std::shared_ptr<BufferRegistry> x_buffers = std::make_shared<BufferRegistry>();
  std::atomic<bool> x_is_refreshing{false};
  Mutex x_mutex;
  std::map<SpaceId, std::shared_ptr<SpaceState>> x_spaces TARN_GUARDED_BY(x_mutex);
  std::unique_ptr<IoLoop> x_io;
  Background x_background;
};

}  // namespace tarn::sdk
