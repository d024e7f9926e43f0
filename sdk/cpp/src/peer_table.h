#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "common/base/clock.h"
#include "common/fabric/link_table.h"
#include "sdk/cpp/src/cluster_view.h"
#include "sdk/cpp/src/peer.h"
#include "tarn/tarn.h"

namespace tarn::sdk {

// What a Connect is made from, off the io thread.
struct ConnectCall {
  ServerId server;
  uint64_t attempt = 0;
  std::string endpoint;
  std::vector<fabric::Offer> offers;
  bool wants_ticket = false;  // a new one: the last was refused
  // The connection that this one is to follow, for its ticket nears its end.
  std::optional<Wireup> former;
};

// The storage servers of the config and the ways to them. Connects when one is first needed, and
// again after a loss, with growing pauses; a server that falls silent is lost. Connects anew, in an
// idle moment, before the ticket of a connection ends. One-thread (the io loop's). Life: construct,
// update, turn..., close, turn until is_idle(), destroy.
class PeerTable {
 public:
  struct Options {
    std::span<const std::unique_ptr<fabric::Port>> ports;
    // Best first; one for each port.
    std::vector<fabric::Offer> offers;
    // Begins a Connect, which ends by on_connected. Never blocks.
    std::function<Status(ConnectCall)> connect;
    // A connection came or went, so whoever waits may go on.
    std::function<void()> on_change;
    // When the newest ticket of the client ends, in Unix ms; begins to get another when that is
    // due. Never blocks.
    std::function<int64_t()> ticket_end;
  };
  enum class Readiness : uint8_t { up, wait, down };

  explicit PeerTable(Options options);

  // Follows a new config: servers that left, moved or began another life are closed.
  void update(const View& view);

  // Null for a server that the config does not name.
  Peer* find(ServerId id);
  // `wait`: a connection is under way, the first, or the first after a loss that was not by
  // silence; `down`: the server cannot be reached, and another attempt is under way or will be.
  Readiness readiness(Peer& peer, Instant now);
  // The lane that serves a position. Precondition: readiness() is up.
  Lane& lane_for(Peer& peer, Position position);

  void on_connected(ServerId id, uint64_t attempt, Result<Wireup> result);
  void on_message(uint64_t number, fabric::Bytes header, fabric::Payload& payload);

  // Ends what is overdue, asks the silent, closes what is lost. Call it on every turn.
  void turn(Instant now);
  // When turn() will next have something to do.
  Instant next_wake() const { return x_next_wake; }

  // Ends all connections and makes no more. Returns what was connected.
  std::vector<Wireup> close();
  bool is_idle() const { return x_dying.empty(); }

  std::vector<ConnectionInfo> connections() const;
  // Peer::sums_puts() of all that are connected.
  bool all_sum_puts() const;
  uint64_t lost_total() const { return x_lost_total; }

 private:
  void begin_connect(Peer& peer, std::optional<Wireup> former = std::nullopt);
  void renew(Peer& peer);
  void let_go(Peer& peer, const Status& why);
  Status wire_up(Peer& peer, Wireup wireup);
  Result<std::unique_ptr<Lane>> open_lane(const Peer& peer, uint32_t index, fabric::Port& port);
  void fail(Peer& peer, Status why);
  void lose(Peer& peer, Status why);
  void on_lost(uint64_t number, Status why);
  void watch(Lane& lane, Instant now);
  void ping(Lane& lane, Instant now);
  void sweep();
  fabric::Port* port_of(fabric::Kind kind) const;

  const Options x_options;
  std::map<ServerId, Peer> x_peers;
  std::map<uint64_t, Lane*> x_lanes;  // by number
  std::vector<std::unique_ptr<Lane>> x_dying;
  fabric::LinkTable x_links;
  Instant x_now;
  Instant x_next_wake = kNever;
  uint64_t x_next_number = 1;
  uint64_t x_next_attempt = 1;
  uint64_t x_lost_total = 0;
  bool x_closed = false;
};

}  // namespace tarn::sdk
