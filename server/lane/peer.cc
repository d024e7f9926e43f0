#include "server/lane/peer.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/block/key.h"

namespace tarn::lane {

Result<Peer*> Peers::add(const PeerSpec& spec) {
  const bool is_server = spec.ticket.allows(auth::right::kReplicate);
  const size_t seats = is_server ? kPeersMax : kPeersMax - kServerPeersReserved;
  if (x_peers.size() >= seats) return overloaded("the lane has too many connections");
  if (x_peers.contains(spec.connection_id)) return invalid_argument("connection id is in use");
  const auto of_tenant = std::count_if(x_peers.begin(), x_peers.end(), [&](const auto& entry) {
    return entry.second->ticket.holder.tenant == spec.ticket.holder.tenant;
  });
  if (!is_server && static_cast<size_t>(of_tenant) >= kPeersOfTenantMax) {
    return overloaded("the tenant has too many connections");
  }
  TARN_ASSIGN_OR_RETURN(auto mac, auth::RequestMac::open(spec.client_key, spec.binding));
  auto peer = std::unique_ptr<Peer>(new Peer{.guarded = {std::move(mac), {}},
                                             .id = spec.connection_id,
                                             .tenant = block::tenant_id(spec.ticket.holder.tenant),
                                             .ticket = spec.ticket,
                                             .connection = nullptr,
                                             .is_local = spec.fabric == fabric::Kind::local});
  Peer* added = peer.get();
  added->flow.peer = added;
  x_turns.join(added->flow, is_server ? Turns::Rank::background : Turns::Rank::get, added->tenant);
  x_peers.emplace(spec.connection_id, std::move(peer));
  return added;
}

Peer* Peers::find(uint64_t connection_id) {
  const auto found = x_peers.find(connection_id);
  return found == x_peers.end() || found->second->is_closed ? nullptr : found->second.get();
}

void Peers::close(Peer& peer) {
  if (peer.is_closed) return;
  peer.is_closed = true;
  x_any_closed = true;
  if (peer.connection != nullptr) peer.connection->close();
}

void Peers::sweep() {
  if (!x_any_closed) return;
  x_any_closed = false;
  absl::erase_if(x_peers, [this](const auto& entry) {
    const Peer& peer = *entry.second;
    if (peer.is_closed && peer.requests > 0) x_any_closed = true;
    return peer.is_closed && peer.requests == 0;
  });
}

}  // namespace tarn::lane
