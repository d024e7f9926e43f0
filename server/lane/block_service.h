#pragma once

#include <cstdint>
#include <vector>

#include "common/wire/request_guard.h"
#include "server/lane/desk.h"
#include "server/lane/get_service.h"
#include "server/lane/put_service.h"

namespace tarn::lane {

// Everything that arrives at one lane over any fabric: checks each request by the RequestGuard, its
// ticket and its epoch, and serves it. Drives no port and owns no thread, so that tests can.
// One-thread (the lane's). Life: construct, use, close_all, tick until is_idle, destroy.
class BlockService {
 public:
  BlockService(Desk& desk, Backups& backups);

  // A message of any peer. The payload is valid during the call.
  void on_message(uint64_t link, fabric::Bytes header, fabric::Payload& payload);

  // A new connection of a requester; `connection` leads to it. Returns: ok, overloaded,
  // invalid_argument.
  Status add_peer(const PeerSpec& spec, std::unique_ptr<fabric::Connection> connection);

  // Its requests in flight end, soon. No effect on an unknown one.
  void remove_peer(uint64_t connection_id);

  // A new epoch. Peers whose tickets the config revokes are closed.
  void set_view(ClusterViewPtr view);

  // A block is kept here no more; the second: because somebody has asked for that.
  void on_gone(const block::BlockHeader& header);
  void on_removed(const block::BlockHeader& header);

  // What time brings; returns what it did. Call it on every turn of the thread.
  size_t tick(Instant now);

  void close_all();
  bool is_idle() const;

 private:
  wire::GuardedPeer* find_guarded(uint64_t connection_id);
  void serve(Peer& peer, const wire::Admitted& admitted, fabric::Payload& payload);
  bool has_ended(const Peer& peer) const;
  void close_ended();
  Status check_head(const Peer& peer, const wire::RequestHead& head, uint32_t right) const;
  void serve(Peer& peer, wire::Route route, const wire::ExistsRequest& request);
  void serve(Peer& peer, wire::Route route, const wire::RemoveRequest& request);
  const TenantId& tenant_of(const Peer& peer, const wire::RequestHead& head) const;

  Desk& x_desk;
  Backups& x_backups;
  wire::RequestGuard x_guard;
  Peer* x_found = nullptr;  // by the guard's look-up of the message in hand
  // Of the one exists request in hand.
  std::vector<block::BlockKey> x_asked;
  std::vector<const block::BlockHeader*> x_headers;
  bool x_is_asked = false;  // a requester wants the block gone that goes now
  GetService x_gets;
  PutService x_puts;
  Instant x_tickets_due{0};
};

}  // namespace tarn::lane
