#pragma once

#include <cstdint>
#include <functional>

#include "common/auth/ticket.h"
#include "common/wire/decode.h"
#include "common/wire/encode.h"

namespace tarn::wire {

// What one lane keeps of one connection in order to believe its requests, beside whatever else the
// caller stores there. One-thread (the lane's).
struct GuardedPeer {
  auth::RequestMac mac;
  auth::ReplayWindow window;
};

// A request that passed all checks, or as much of one as an answer needs.
struct Admitted {
  Refusal refusal = Refusal::none;
  Route route;
  GuardedPeer* peer = nullptr;  // null before the connection was found
  // With Refusal::none only. It lives in the guard, until its next check().
  const Request* request = nullptr;

  // True when the sender was proven, so that an ErrorReply, signed, may tell it what is wrong. Else
  // silence: an answer would go to whoever guessed.
  bool is_answerable() const { return refusal == Refusal::none || refusal >= Refusal::truncated; }
};

// The only door through which a lane takes requests: checks, in this order, the envelope, that the
// connection is known, the lane, the MAC, that the sequence is new, the body and the payload's
// size. The MAC comes before the replay window, or a stranger could move the window. Nothing is
// allocated and no payload moves before all have passed. One-thread (the lane's).
class RequestGuard {
 public:
  // Gives the peer of a connection id, or null. Called during check() only.
  using FindPeer = std::function<GuardedPeer*(uint64_t connection_id)>;

  RequestGuard(uint16_t lane, FindPeer find_peer);

  // `header` may be unaligned and is copied before it is looked at.
  Admitted check(Bytes header, uint64_t payload_bytes);

  const RefusalCounts& refusals() const { return x_refusals; }

 private:
  Refusal check_sender(const Envelope& envelope, Admitted& admitted);

  uint16_t x_lane;
  FindPeer x_find_peer;
  HeaderBuffer x_header;
  Request x_request;
  RefusalCounts x_refusals;
};

}  // namespace tarn::wire
