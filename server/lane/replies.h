#pragma once

#include <cstddef>
#include <deque>
#include <string_view>

#include "common/base/fault_point.h"
#include "common/wire/encode.h"
#include "common/wire/seal.h"
#include "server/lane/lane_metrics.h"
#include "server/lane/peer.h"

namespace tarn::lane {

// Signs and sends answers. An answer that the fabric cannot take now is kept and sent later; a peer
// for which too many are kept is closed. One-thread (the lane's). Limit: kParkedMax answers wait.
class Replies {
 public:
  static constexpr size_t kParkedMax = 1024;

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
  // Returns: ok (`done` will be called), overloaded (try again later), unavailable (the peer is
  // gone).
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

  Peers& x_peers;
  LaneMetrics& x_metrics;
  wire::HeaderBuffer x_out;
  std::deque<Parked> x_parked;
};

}  // namespace tarn::lane
