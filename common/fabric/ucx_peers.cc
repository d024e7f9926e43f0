#include "common/fabric/ucx_peers.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "common/base/check.h"

namespace tarn::fabric {

UcxPeer* UcxPeers::take() {
  if (!x_free.empty()) {
    UcxPeer* const peer = x_free.back();
    x_free.pop_back();
    TARN_CHECK(peer->state == UcxPeer::State::free && peer->in_flight == 0);
    return peer;
  }
  if (x_slots.size() == x_slots_max) return nullptr;
  x_slots.push_back(std::make_unique<UcxPeer>());
  x_slots.back()->worker = x_worker;
  return x_slots.back().get();
}

void UcxPeers::give_back(UcxPeer* peer) {
  TARN_CHECK(peer->in_flight == 0 && peer->receives_in_flight == 0);
  TARN_CHECK(peer->waiting.empty());
  peer->sender = nullptr;
  peer->state = UcxPeer::State::free;
  peer->endpoints.clear();
  ++peer->generation;
  x_free.push_back(peer);
}

std::vector<UcxPeer*> UcxPeers::in_use() const {
  std::vector<UcxPeer*> all;
  for (const auto& peer : x_slots) {
    if (peer->state != UcxPeer::State::free) all.push_back(peer.get());
  }
  return all;
}

void UcxPeers::open(UcxPeer* peer) {
  TARN_CHECK(peer->state == UcxPeer::State::open);
  x_by_port[peer->port_id].push_back(peer);
  x_knocks_to_look_at = !x_knocks.empty();
}

void UcxPeers::leave(UcxPeer* peer) {
  const auto found = x_by_port.find(peer->port_id);
  TARN_CHECK(found != x_by_port.end());
  TARN_CHECK(std::erase(found->second, peer) == 1);
  if (found->second.empty()) x_by_port.erase(found);
}

std::vector<UcxPeer*> UcxPeers::open_to(uint64_t port_id) const {
  const auto found = x_by_port.find(port_id);
  return found == x_by_port.end() ? std::vector<UcxPeer*>() : found->second;
}

size_t UcxPeers::open_count() const {
  size_t count = 0;
  for (const auto& [port_id, peers] : x_by_port)
    count += peers.size();
  return count;
}

uint64_t UcxPeers::link_of(uint64_t port_id) const {
  const auto found = x_by_port.find(port_id);
  return found == x_by_port.end() || found->second.size() > 1 ? 0 : found->second[0]->link;
}

UcxPeer* UcxPeers::to_adopt_for(uint64_t port_id) const {
  const auto found = x_by_port.find(port_id);
  if (found == x_by_port.end()) return nullptr;
  UcxPeer* newest = found->second.back();
  for (UcxPeer* const each : found->second) {
    if (each->endpoints.size() == 1) newest = each;
  }
  return newest;
}

UcxPeer* UcxPeers::owner_of(ucp_ep_h endpoint) const {
  const auto found = x_by_endpoint.find(endpoint);
  return found == x_by_endpoint.end() ? nullptr : found->second;
}

UcxPeer* UcxPeers::to_let_in(const UcxKnock& knock) const {
  for (const UcxPeer* const peer : open_to(knock.port_id)) {
    for (const UcxEndpoint& each : peer->endpoints)
      if (each.address == knock.address) return nullptr;
  }
  UcxPeer* const peer = to_adopt_for(knock.port_id);
  const bool has_room = peer != nullptr && peer->endpoints.size() < kUcxEndpointsOfPeerMax;
  return has_room ? peer : nullptr;
}

void UcxPeers::note_knock(UcxKnock knock) {
  if (x_knocks.size() == kUcxKnocksMax) x_knocks.pop_front();
  x_knocks.push_back(std::move(knock));
  x_knocks_to_look_at = true;
}

std::vector<UcxKnock> UcxPeers::take_knocks() {
  x_knocks_to_look_at = false;
  const auto taken = std::stable_partition(
      x_knocks.begin(), x_knocks.end(),
      [this](const UcxKnock& knock) { return !x_by_port.contains(knock.port_id); });
  std::vector<UcxKnock> knocks(std::make_move_iterator(taken),
                               std::make_move_iterator(x_knocks.end()));
  std::reverse(knocks.begin(), knocks.end());
  x_knocks.erase(taken, x_knocks.end());
  return knocks;
}

}  // namespace tarn::fabric
