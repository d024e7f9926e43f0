#pragma once

#include <cstddef>
#include <list>
#include <string_view>

#include "common/base/fault_point.h"
#include "common/wire/encode.h"
#include "common/wire/seal.h"
#include "server/lane/lane_metrics.h"
#include "server/lane/peer.h"

namespace tarn::lane {

// Signs and sends answers, those of one peer in their order. An answer that the fabric cannot take
// now is kept and sent later; a peer for which too many are kept is closed, and delays nobody
// else's. One-thread (the lane's). Limits: kParkedMax answers wait, kParkedOfPeerMax of one peer.
class Replies {
 public:
  static constexpr size_t kParkedMax = 4096;
  static constexpr size_t kParkedOfPeerMax = 2 * kCreditsPromised;

  Replies(Peers& peers, LaneMetrics& metrics) : x_peers(peers), x_metrics(metrics) {}

  // An answer without payload; nothing of it is in flight for the caller. No effect on a closed
  // peer.
  template <typename Message>
  void send(Peer& peer, wire::Route route, const Message& message) {
    if (peer.is_closed || TARN_FAULT_POINT("lane.reply_dropped")) return;
    wire::encode(route, message, x_out);
    send_signed(peer);
  }

  // Refuses a whole request, and counts it by its code.
  struct Refusal {
    Epoch epoch;
    Code code = Code::internal;
    std::string_view message;
  };
  void refuse(Peer& peer, wire::Route route, const Refusal& why);
  // The same for what has been counted.
  void tell(Peer& peer, wire::Route route, const Refusal& why);

  // A block, whose payload stays until `done`.
  struct Block {
    wire::Route route;
    wire::GetReply message;
    std::span<const std::byte> payload;
  };
  // Returns: ok (`done` will be called), overloaded (try again later; also while answers wait),
  // unavailable (the peer is gone).
  Status send_block(Peer& peer, const Block& block, fabric::SendDone done);

  // Sends what was kept; call it now and then.
  size_t flush();

  bool is_idle() const { return x_parked.empty(); }

 private:
  struct Parked {
    Peer* peer;
    wire::HeaderBuffer header;
  };

  void send_signed(Peer& peer);
  bool flush(Parked& parked);

  Peers& x_peers;
  LaneMetrics& x_metrics;
  wire::HeaderBuffer x_out;
  std::list<Parked> x_parked;
  uint64_t x_flushes = 0;
};

}  // namespace tarn::lane
