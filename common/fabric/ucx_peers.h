#pragma once

#include <ucp/api/ucp.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/base/clock.h"
#include "common/fabric/fabric.h"

namespace tarn::fabric {

class UcxWorker;
struct UcxOperation;
struct UcxSender;

// Knocks that wait for a connection to the port that they are of; one more lets another one go.
inline constexpr size_t kUcxKnocksMax = 4096;
// Endpoints of one connection, ever; and sends that wait until the other port lets it in.
inline constexpr size_t kUcxEndpointsOfPeerMax = 4;
inline constexpr size_t kUcxWaitingMax = 64;
// How long sends wait for that before the connection counts as lost.
inline constexpr Nanos kUcxWelcomeWait = std::chrono::seconds(2);

// An endpoint of UCX, from its making until UCX has closed it.
struct UcxEndpoint {
  ucp_ep_h handle = nullptr;
  void* close_request = nullptr;  // while UCX closes it
  std::string address;            // of the worker that knocked; empty of an outgoing one
  bool failed = false;
  bool closed = false;
};

// One connection of a port, in a slot that is used again once UCX has let go of everything. It has
// the endpoint that we send over, and those that the other port sends over, from its knock.
struct UcxPeer {
  enum class State : uint8_t { free, open, lost, closing };

  UcxWorker* worker = nullptr;
  uint64_t port_id = 0;         // of the other port
  UcxSender* sender = nullptr;  // whose is the outgoing endpoint
  ucp_ep_h outgoing = nullptr;
  std::vector<UcxEndpoint> endpoints;  // all, the outgoing one first
  State state = State::free;
  bool closed_by_user = false;
  bool is_welcome = false;             // messages may be sent
  std::vector<UcxOperation*> waiting;  // sends, until it is
  bool endpoints_closed = false;
  // Fences connection objects off a slot that was used again.
  uint64_t generation = 0;
  uint64_t link = 0;
  LostHandler on_lost;
  ucs_status_t why_lost = UCS_OK;
  size_t in_flight = 0;           // operations
  size_t receives_in_flight = 0;  // those among them
  Instant closed_at;
};

// What a sender says of itself before its first message.
struct UcxKnock {
  uint64_t port_id = 0;
  std::string address;  // of the sender's worker
};

// The connections of one port: their slots, who is open towards which other port, and whose is the
// endpoint that a message came over. One-thread (the port's). Owns the slots, nothing of UCX's.
// Limits: slots_max, kUcxKnocksMax.
class UcxPeers {
 public:
  // Each slot belongs to `worker`.
  UcxPeers(UcxWorker* worker, size_t slots_max) : x_worker(worker), x_slots_max(slots_max) {}

  // A free slot; null when all are in use.
  UcxPeer* take();
  // Precondition: nothing of it is in flight. What was made for it is refused from now on.
  void give_back(UcxPeer* peer);
  // Those that are not free.
  std::vector<UcxPeer*> in_use() const;

  // From its opening until its close begins: the peer counts as a way to its port_id.
  void open(UcxPeer* peer);
  void leave(UcxPeer* peer);
  // Open ones, oldest first.
  std::vector<UcxPeer*> open_to(uint64_t port_id) const;
  size_t open_count() const;
  // Which of several connections to one port is meant cannot be told: 0.
  uint64_t link_of(uint64_t port_id) const;
  void bind(ucp_ep_h endpoint, UcxPeer* peer) { x_by_endpoint[endpoint] = peer; }
  void unbind(ucp_ep_h endpoint) { x_by_endpoint.erase(endpoint); }
  // Where a knock is to be let in; null for one too many, and for a sender that has been let in
  // already: UCX aborts where one is twice.
  UcxPeer* to_let_in(const UcxKnock& knock) const;
  // Whose messages come over it; null when it is nobody's yet.
  UcxPeer* owner_of(ucp_ep_h endpoint) const;

  void note_knock(UcxKnock knock);
  // Those of ports that have an open connection now; each once, the newest first: an older one may
  // be of a connection that is no more.
  std::vector<UcxKnock> take_knocks();
  // Whether there may be such.
  bool has_knocks() const { return x_knocks_to_look_at; }

 private:
  // The newest that has nothing coming in yet, else the newest; null where none is open.
  UcxPeer* to_adopt_for(uint64_t port_id) const;

  UcxWorker* const x_worker;
  const size_t x_slots_max;
  std::vector<std::unique_ptr<UcxPeer>> x_slots;
  std::vector<UcxPeer*> x_free;
  std::unordered_map<ucp_ep_h, UcxPeer*> x_by_endpoint;
  std::unordered_map<uint64_t, std::vector<UcxPeer*>> x_by_port;
  std::deque<UcxKnock> x_knocks;
  bool x_knocks_to_look_at = false;
};

}  // namespace tarn::fabric
