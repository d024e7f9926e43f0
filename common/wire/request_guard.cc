#include "common/wire/request_guard.h"

#include <cstring>
#include <utility>

#include "common/base/check.h"
#include "common/wire/seal.h"

namespace tarn::wire {

RequestGuard::RequestGuard(uint16_t lane, FindPeer find_peer)
    : x_lane(lane), x_find_peer(std::move(find_peer)) {
  TARN_CHECK(x_find_peer != nullptr);
}

Admitted RequestGuard::check(Bytes header, uint64_t payload_bytes) {
  Admitted admitted;
  Envelope envelope;
  const auto refuse = [&](Refusal why) {
    admitted.refusal = why;
    x_refusals.add(why);
    return admitted;
  };
  if (header.size() > kHeaderBytesMax) return refuse(Refusal::too_long);
  x_header.size = header.size();
  if (!header.empty()) std::memcpy(x_header.bytes.data(), header.data(), header.size());

  Refusal why = decode_envelope(x_header.view(), envelope);
  if (why == Refusal::none && !is_request(envelope.type)) why = Refusal::direction;
  if (why == Refusal::none) why = check_sender(envelope, admitted);
  if (why == Refusal::none) why = decode_request(x_header.view(), envelope, x_request);
  if (why == Refusal::none && payload_bytes_of(x_request) != payload_bytes) why = Refusal::payload;
  if (why != Refusal::none) return refuse(why);
  admitted.request = &x_request;
  return admitted;
}

Refusal RequestGuard::check_sender(const Envelope& envelope, Admitted& admitted) {
  admitted.route = envelope.route;
  admitted.peer = x_find_peer(envelope.route.connection_id);
  if (admitted.peer == nullptr) return Refusal::unknown_connection;
  if (lane_of(envelope.route.sequence) != x_lane) return Refusal::lane;
  const auto copy = MutableBytes(x_header.bytes).first(x_header.size);
  if (!verify(copy, envelope, admitted.peer->mac)) return Refusal::mac;
  if (!admitted.peer->window.accept(envelope.route.sequence)) return Refusal::replay;
  return Refusal::none;
}

}  // namespace tarn::wire
