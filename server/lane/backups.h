#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/fabric/link.h"
#include "common/fabric/link_table.h"
#include "server/lane/desk.h"
#include "server/lane/pool.h"

namespace tarn::lane {

// How a lane reaches another server, as that one's StorageControl.Connect said it.
struct BackupWiring {
  fabric::LinkIdentity identity;  // lane: filled in by whoever opens a link
  std::string client_key;
  fabric::Kind fabric = fabric::Kind::grpc;
  std::vector<std::string> lane_addresses;  // of the other server's ports; one for all if single
  uint32_t lanes = 1;
  // Where the fabric needs a port for each connection: driven by the lane from then on. Else null,
  // and the lane's own port of that kind is used.
  std::shared_ptr<fabric::Port> port;
};

// Begins to connect to a server and returns at once; `done` is called later, on the lane's thread.
using WireUp = std::function<void(ServerId, std::function<void(Result<BackupWiring>)> done)>;

// One copy that a backup is to take. Part of a Feed.
struct FeedTry {
  bool in_use = false;
  fabric::PutOp op;
  struct Feed* feed = nullptr;
  ServerId server;
  fabric::Bytes payload;
  Instant retry_at = kNever;  // kNever: submitted, or waits for a connection
};

// One block on its way to its backups. The caller owns it and keeps it, the payload included, in
// place from Backups::feed until on_end.
struct Feed {
  // In. request: head with epoch and tenant, backup set.
  wire::PutRequest request;
  std::span<const std::byte> payload;
  Position position;
  Instant deadline;
  std::vector<ServerId> targets;
  std::function<void(Feed&)> on_end;  // may be called from inside feed()

  // Out.
  uint32_t kept = 0;      // copies that backups have now
  Code worst = Code::ok;  // why another was not taken
  std::string message;

  uint32_t pending = 0;
};

// The copies of a primary's blocks: connections to the lanes of other servers, made when first
// needed, and what waits for them. A try that fails is repeated until four fifths of its time have
// passed, or its server is no longer up. One-thread (the lane's). Life: construct, feed..., close,
// tick until idle, destroy. Limits: kTriesMax copies on their way, kRemovalsMax removals; one more
// removal is dropped, the backup evicts by itself in time.
class Backups {
 public:
  static constexpr size_t kTriesMax = 4096;
  static constexpr size_t kRemovalsMax = 256;
  static constexpr Nanos kRemovalTime = std::chrono::seconds(1);

  Backups(Desk& desk, WireUp wire_up);
  ~Backups();

  // The lane's own port of a kind, and the table that its replies are looked up in.
  void add_port(fabric::Port& port);
  fabric::LinkTable& links() { return x_links; }
  const fabric::LinkTable& links() const { return x_links; }
  // Of all connections since the start.
  const fabric::LinkCounters& link_counters() const { return x_link_counters; }

  void feed(Feed& feed);

  // The desk has a new view: what is on its way to servers that are no longer up ends soon.
  void on_view();

  // Asks a backup to remove a block, within kRemovalTime; nothing waits for it.
  void remove(ServerId server, Position position, const block::BlockKey& key);

  // Drives ports of its own, deadlines and repetitions; returns what it did.
  size_t tick(Instant now);

  // Closes all connections; what is in flight ends as unavailable.
  void close();
  bool is_idle() const;

  // Ports of its own, which the lane's sleep has to watch.
  template <typename Visit>
  void for_each_port(Visit visit) {
    for (auto& [id, server] : x_servers) {
      if (server.wiring.port != nullptr) visit(*server.wiring.port);
    }
  }

 private:
  struct LaneLink {
    uint64_t number = 0;
    std::unique_ptr<fabric::Link> link;
  };
  struct Server {
    bool is_connecting = false;
    bool is_wired = false;
    bool is_refused = false;  // to be wired up anew
    Instant retry_at{0};
    Nanos backoff{0};
    BackupWiring wiring;
    std::map<uint16_t, LaneLink> links;  // by the other server's lane
    std::vector<FeedTry*> waiting;
  };
  struct Removal {
    bool in_use = false;
    bool is_waiting = false;  // for a connection
    ServerId server;
    Position position;
    fabric::KeysOp op{fabric::LinkOp::Kind::remove};
    wire::BlockItem item;
    Code code = Code::ok;
  };
  // A link that was lost, and its port, until nothing of it is in flight.
  struct Grave {
    std::unique_ptr<fabric::Link> link;
    std::shared_ptr<fabric::Port> port;
  };

  void start(FeedTry& attempt);
  void submit(FeedTry& attempt, fabric::Link& link);
  void on_tried(FeedTry& attempt);
  void submit(Removal& removal, Server& server);
  void again_or_end(FeedTry& attempt, Code code, std::string message);
  void end(FeedTry& attempt, Code code, std::string message);
  void connect(ServerId id, Server& server);
  void on_wired(ServerId id, Result<BackupWiring> wiring);
  // The live link to the server's lane, opened if need be. Null while there is none.
  fabric::Link* link_to(Server& server, uint16_t lane);
  Result<LaneLink> open_link(Server& server, uint16_t lane);
  void lose(Server& server, Status why);
  void bury(Server& server);
  size_t tick_server(ServerId id, Server& server, Instant now);
  size_t tick_tries(Instant now);
  size_t tick_removals(Instant now);
  bool is_up(ServerId id) const;
  // True when this server still has to feed that one, in the present epoch.
  bool is_still_due(const FeedTry& attempt) const;

  Desk& x_desk;
  WireUp x_wire_up;
  std::vector<fabric::Port*> x_ports;
  fabric::LinkCounters x_link_counters;
  fabric::LinkTable x_links;
  uint64_t x_next_number = (uint64_t{1} << 63) + 1;
  std::map<ServerId, Server> x_servers;
  std::vector<Grave> x_graves;
  Pool<FeedTry> x_tries{kTriesMax};
  Pool<Removal> x_removals{kRemovalsMax};
  bool x_closed = false;
  // What wire_up's answers look at before they touch this object.
  std::shared_ptr<Backups*> x_alive;
};

}  // namespace tarn::lane
