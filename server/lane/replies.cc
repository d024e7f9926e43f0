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
  const Status sent = peer.connection->send(x_out.view(), {}, {});
  if (sent.is_ok()) return;
  if (sent.code() == Code::overloaded && x_parked.size() < kParkedMax) {
    ++peer.requests;
    x_parked.push_back({&peer, x_out});
    return;
  }
  x_peers.close(peer);
}

size_t Replies::flush() {
  size_t count = 0;
  for (; !x_parked.empty(); ++count) {
    Parked& oldest = x_parked.front();
    Peer& peer = *oldest.peer;
    if (!peer.is_closed) {
      const Status sent = peer.connection->send(oldest.header.view(), {}, {});
      if (sent.code() == Code::overloaded) return count;
      if (!sent.is_ok()) x_peers.close(peer);
    }
    --peer.requests;
    x_parked.pop_front();
  }
  return count;
}

Status Replies::send_block(Peer& peer, const Block& block, fabric::SendDone done) {
  if (peer.is_closed) return unavailable("the connection is closed");
  wire::encode(block.route, block.message, x_out);
  wire::sign(x_out, peer.guarded.mac);
  const fabric::Bytes part = block.payload;
  return peer.connection->send(x_out.view(), std::span(&part, 1), std::move(done));
}

}  // namespace tarn::lane
