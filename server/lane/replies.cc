#include "server/lane/replies.h"

#include <utility>

#include "common/base/check.h"

namespace tarn::lane {

void Replies::refuse(Peer& peer, wire::Route route, const Refusal& why) {
  x_metrics.refused(why.code);
  tell(peer, route, why);
}

void Replies::tell(Peer& peer, wire::Route route, const Refusal& why) {
  TARN_CHECK(why.code != Code::ok);
  wire::ErrorReply reply;
  reply.epoch = why.epoch;
  reply.code = why.code;
  reply.message = wire::make_text(why.message);
  send(peer, route, reply);
}

void Replies::send_signed(Peer& peer) {
  TARN_CHECK(peer.connection != nullptr);
  wire::sign(x_out, peer.guarded.mac);
  if (peer.parked == 0) {
    const Status sent = peer.connection->send(x_out.view(), {}, {});
    if (sent.is_ok()) return;
    if (sent.code() != Code::overloaded) return x_peers.close(peer);
  }
  if (x_parked.size() == kParkedMax || peer.parked == kParkedOfPeerMax) return x_peers.close(peer);
  ++peer.requests;
  ++peer.parked;
  x_parked.push_back({&peer, x_out});
}

// False while its peer takes no more.
bool Replies::flush(Parked& parked) {
  Peer& peer = *parked.peer;
  if (peer.is_closed) return true;
  if (peer.full_at == x_flushes) return false;
  const Status sent = peer.connection->send(parked.header.view(), {}, {});
  if (sent.code() == Code::overloaded) {
    peer.full_at = x_flushes;
    return false;
  }
  if (!sent.is_ok()) x_peers.close(peer);
  return true;
}

size_t Replies::flush() {
  ++x_flushes;
  return std::erase_if(x_parked, [this](Parked& parked) {
    if (!flush(parked)) return false;
    Peer& peer = *parked.peer;
    TARN_CHECK(peer.requests > 0 && peer.parked > 0);
    --peer.requests;
    --peer.parked;
    return true;
  });
}

Status Replies::send_block(Peer& peer, const Block& block, fabric::SendDone done) {
  if (peer.is_closed) return unavailable("the connection is closed");
  if (peer.parked > 0) return overloaded("older answers wait");
  wire::encode(block.route, block.message, x_out);
  wire::sign(x_out, peer.guarded.mac);
  const fabric::Bytes part = block.payload;
  return peer.connection->send(x_out.view(), std::span(&part, 1), std::move(done));
}

}  // namespace tarn::lane
