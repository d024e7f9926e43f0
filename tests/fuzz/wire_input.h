#pragma once

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "common/base/check.h"
#include "common/wire/request_guard.h"
#include "common/wire/seal.h"

// What must hold for any bytes that reach a decoder of the bulk protocol. Shared by the fuzzer and
// the unit test that replays its corpus.
namespace tarn::wire {

inline auth::RequestMac fuzz_mac() {
  return std::move(auth::RequestMac::open(std::string(32, 'k'), {Incarnation{5}, {1, 2, 3}}))
      .value();
}

// There is one way to write each message: what was decoded gives the same bytes again.
template <typename Message>
void check_is_canonical(Bytes header, const Envelope& envelope, const Message& message) {
  HeaderBuffer again;
  std::visit([&](const auto& each) { encode(envelope.route, each, again); }, message);
  std::memcpy(again.bytes.data() + kMacOffset, envelope.mac.data(), kMacBytes);
  TARN_CHECK(std::ranges::equal(again.view(), header));
}

inline Refusal check_decoders(Bytes header) {
  Envelope envelope;
  Refusal why = decode_envelope(header, envelope);
  if (why != Refusal::none) return why;
  Request request;
  Reply reply;
  const Refusal as_request = decode_request(header, envelope, request);
  const Refusal as_reply = decode_reply(header, envelope, reply);
  TARN_CHECK((as_request == Refusal::direction) != (as_reply == Refusal::direction));
  if (as_request == Refusal::none) check_is_canonical(header, envelope, request);
  if (as_reply == Refusal::none) check_is_canonical(header, envelope, reply);
  return as_request == Refusal::direction ? as_reply : as_request;
}

// As a lane sees it: `is_signed` says whether the sender holds the connection's key.
inline void check_guard(Bytes header, bool is_signed, Refusal decoded) {
  GuardedPeer peer{fuzz_mac(), {}};
  Envelope envelope;
  const Refusal outside = decode_envelope(header, envelope);
  const uint16_t lane = lane_of(envelope.route.sequence);
  RequestGuard guard(lane, [&peer](uint64_t) { return &peer; });
  const Admitted admitted = guard.check(header, 0);
  TARN_CHECK((admitted.refusal == Refusal::none) == (admitted.request != nullptr));
  TARN_CHECK(guard.refusals().total() == (admitted.refusal == Refusal::none ? 0 : 1));
  if (outside != Refusal::none) TARN_CHECK(admitted.refusal == outside);
  if (!is_signed || outside != Refusal::none || !is_request(envelope.type)) return;
  const bool is_put = envelope.type == MessageType::put_request;
  const Refusal due = decoded == Refusal::none && is_put ? Refusal::payload : decoded;
  TARN_CHECK(admitted.refusal == due);
  TARN_CHECK(guard.check(header, 0).refusal == Refusal::replay);
}

// Looks at `input` as it is, and as the same header under a right length and MAC, so that bodies
// are reached.
inline void check_wire_input(Bytes input) {
  check_guard(input, false, check_decoders(input));
  if (input.size() < kEnvelopeBytes || input.size() > kHeaderBytesMax) return;
  HeaderBuffer header;
  std::memcpy(header.bytes.data(), input.data(), input.size());
  header.size = input.size();
  Writer length(MutableBytes(header.bytes).subspan(kHeaderBytesOffset, sizeof(uint32_t)));
  length.put(static_cast<uint32_t>(input.size()));
  auth::RequestMac mac = fuzz_mac();
  sign(header, mac);
  check_guard(header.view(), true, check_decoders(header.view()));
}

}  // namespace tarn::wire
