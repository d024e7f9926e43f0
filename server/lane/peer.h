#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include <absl/container/flat_hash_map.h>

#include "common/auth/ticket.h"
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/result.h"
#include "common/fabric/fabric.h"
#include "common/wire/request_guard.h"
#include "server/lane/line.h"
#include "server/lane/send_pace.h"
#include "server/lane/turns.h"

namespace tarn::lane {

// What one connection may have in flight. The requester frees a credit when it has the answer, the
// server when its send has ended, which may be later: the server grants twice of what it promises.
inline constexpr uint32_t kCreditsPromised = 64;
inline constexpr uint64_t kCreditBytesPromised = 256ull << 20;

// A connection as StorageControl.Connect made it, for each lane alike. Value type.
struct PeerSpec {
  uint64_t connection_id = 0;
  auth::Ticket ticket;
  std::string client_key;
  auth::ConnectionBinding binding;
  fabric::Kind fabric = fabric::Kind::grpc;
  std::string address;  // of the requester's port; opaque
};

// A get that has something left to send.
struct GetTag;
struct WaitingGet : InLine<GetTag> {};

// One connection of one requester at one lane. Lives in Peers until it is closed and nothing of it
// is in flight. One-thread (the lane's).
struct Peer {
  wire::GuardedPeer guarded;
  uint64_t id = 0;
  TenantId tenant;
  auth::Ticket ticket;
  std::unique_ptr<fabric::Connection> connection;
  uint32_t requests = 0;                  // in flight
  uint64_t bytes = 0;                     // of their payloads
  uint32_t gets = 0;                      // of the requests
  uint32_t sends = 0;                     // blocks on their way to it
  uint32_t parked = 0;                    // answers that its connection has not taken yet
  uint64_t full_at = 0;                   // the flush in which it took no more of them
  SendPace pace = {};                     // of blocks
  Line<WaitingGet, GetTag> waiting = {};  // in the order asked; one that has begun goes first
  Turns::Flow flow = Turns::Flow();
  bool is_resting = false;  // its connection took no more; until the next turn of the lane
  bool is_closed = false;
  bool is_local = false;  // on this host, and its memory is mapped

  bool is_server() const { return ticket.allows(auth::right::kReplicate); }
};

// The connections of one lane. One-thread (the lane's). Limits: kPeersMax, of which
// kServerPeersReserved are for other servers, which replicate; and kPeersOfTenantMax, so that no
// tenant shuts out the others.
class Peers {
 public:
  static constexpr size_t kPeersMax = 4096;
  static constexpr size_t kPeersOfTenantMax = 1024;
  static constexpr size_t kServerPeersReserved = 512;

  // Returns: the new peer without a connection, overloaded (a limit), invalid_argument (id in use,
  // malformed key).
  Result<Peer*> add(const PeerSpec& spec);

  // Null when there is none, or it is closed.
  Peer* find(uint64_t connection_id);

  // Ends all of its operations, soon. It goes when the last has ended.
  void close(Peer& peer);

  // Removes closed peers that nothing refers to any more.
  void sweep();

  // Calls `visit` for the peers that are not closed.
  template <typename Visit>
  void for_each(Visit visit) {
    for (auto& [id, peer] : x_peers) {
      if (!peer->is_closed) visit(*peer);
    }
  }

  size_t size() const { return x_peers.size(); }

  // Whose blocks go next. Each peer's flow has joined.
  Turns& turns() { return x_turns; }

 private:
  Turns x_turns;
  absl::flat_hash_map<uint64_t, std::unique_ptr<Peer>> x_peers;
  bool x_any_closed = false;
};

}  // namespace tarn::lane
