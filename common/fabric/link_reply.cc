#include <algorithm>
#include <cstring>
#include <utility>
#include <variant>

#include "common/base/check.h"
#include "common/base/fault_point.h"
#include "common/fabric/link.h"
#include "common/wire/seal.h"

namespace tarn::fabric {
namespace {

// A slot and an item in one word, so that a callback captures no more than two.
constexpr size_t kItemBits = 8;
static_assert(wire::kItemsMax <= size_t{1} << kItemBits);

uint64_t total_of(std::span<const MutableBytes> parts) {
  uint64_t sum = 0;
  for (const MutableBytes& part : parts)
    sum += part.size();
  return sum;
}

// The first `bytes` bytes of `parts`.
void take_front(std::span<const MutableBytes> parts, uint64_t bytes,
                std::vector<MutableBytes>& into) {
  into.clear();
  for (const MutableBytes& part : parts) {
    if (bytes == 0) break;
    into.push_back(part.first(std::min<uint64_t>(part.size(), bytes)));
    bytes -= into.back().size();
  }
  TARN_CHECK(bytes == 0);
}

}  // namespace

void Link::on_message(Bytes header, Payload& payload) {
  if (TARN_FAULT_POINT("link.drop_reply")) return;
  const wire::Refusal why = read(header, payload.size());
  if (why != wire::Refusal::none) {
    x_counters.refused.add(why);
    return;
  }
  Request* const request = x_is_lost ? nullptr : find(x_envelope.route.sequence);
  if (request == nullptr) {
    ++x_counters.unknown_replies;
    return;
  }
  if (request->op == nullptr) ++x_counters.late_replies;
  std::visit(
      [&](const auto& reply) {
        x_server_epoch = std::max(x_server_epoch, reply.epoch);
        if (request->op != nullptr) request->op->server_epoch = reply.epoch;
        accept(*request, reply, payload);
      },
      x_reply);
  pump();
}

// The same checks, in the same order, as those of wire::RequestGuard, but for the replay window:
// that a request is answered once, its slot sees to.
wire::Refusal Link::read(Bytes header, uint64_t payload_bytes) {
  using wire::Refusal;
  if (header.size() > wire::kHeaderBytesMax) return Refusal::too_long;
  x_in.size = header.size();
  if (!header.empty()) std::memcpy(x_in.bytes.data(), header.data(), header.size());
  if (const Refusal why = wire::decode_envelope(x_in.view(), x_envelope); why != Refusal::none) {
    return why;
  }
  if (wire::is_request(x_envelope.type)) return Refusal::direction;
  const wire::Route& route = x_envelope.route;
  if (route.connection_id != x_identity.connection_id) return Refusal::unknown_connection;
  if (wire::lane_of(route.sequence) != x_identity.lane) return Refusal::lane;
  const auto copy = MutableBytes(x_in.bytes).first(x_in.size);
  if (!wire::verify(copy, x_envelope, x_mac)) return Refusal::mac;
  if (const Refusal why = wire::decode_reply(x_in.view(), x_envelope, x_reply);
      why != Refusal::none) {
    return why;
  }
  return wire::payload_bytes_of(x_reply) == payload_bytes ? Refusal::none : Refusal::payload;
}

Link::Request* Link::find(uint64_t sequence) {
  Request& request = x_slots[sequence % kLinkRequestsMax];
  const bool is_it = request.is_used && request.sequence == sequence;
  return is_it ? &request : nullptr;
}

// Takes `count` items of the request as answered, if they are its own and had no answer yet.
bool Link::claim(Request& request, LinkOp::Kind kind, size_t first, size_t count) {
  if (request.kind != kind || first + count > request.count) {
    ++x_counters.foreign_replies;
    return false;
  }
  for (size_t item = first; item < first + count; ++item) {
    if (request.answered[item]) {
      ++x_counters.repeated_replies;
      return false;
    }
  }
  for (size_t item = first; item < first + count; ++item)
    request.answered.set(item);
  return true;
}

void Link::accept(Request& request, const wire::GetReply& reply, Payload& payload) {
  if (reply.code == Code::ok && reply.is_piece != request.pieces) {
    ++x_counters.foreign_replies;
    return;
  }
  if (!claim(request, LinkOp::Kind::get, reply.first, reply.count)) return;
  if (reply.code == Code::ok && request.op != nullptr) {
    receive_block(request, reply.first, reply, payload);
  } else {
    // Copied: a callback may not disturb the loop.
    const size_t end = size_t{reply.first} + reply.count;
    const Code code = reply.code;
    for (size_t item = reply.first; item < end; ++item)
      settle(request, item, code);
  }
  release(request);
}

void Link::receive_block(Request& request, size_t item, const wire::GetReply& reply,
                         Payload& payload) {
  GetOp& op = static_cast<GetOp&>(*request.op);
  GetTarget& target = op.targets[request.first + item];
  const bool wants_view = target.view_bytes_max > 0;
  const uint64_t room = wants_view ? target.view_bytes_max : total_of(target.into);
  const bool is_exact = target.exact && !wants_view;
  if (reply.payload_bytes > room || (is_exact && reply.payload_bytes != room)) {
    ++x_counters.size_mismatches;
    target.bytes = reply.payload_bytes;
    settle(request, item, Code::invalid_argument);
    return;
  }
  if (target.taken != nullptr && std::exchange(*target.taken, true)) {
    settle(request, item, Code::cancelled);
    return;
  }
  target.took = target.taken != nullptr;
  target.bytes = reply.payload_bytes;
  target.generation = reply.generation;
  target.payload_crc = reply.payload_crc;
  target.block_bytes = reply.block_bytes;
  target.block_crc = reply.block_crc;
  if (wants_view && take_view(request, item, payload)) return;
  ++op.state.memory;
  const size_t slot = static_cast<size_t>(&request - x_slots.data());
  const size_t place = slot << kItemBits | item;
  take_front(target.into, reply.payload_bytes, x_parts);
  payload.receive(x_parts, [this, place](Code code, uint32_t crc32c) {
    on_received(place >> kItemBits, place & ((size_t{1} << kItemBits) - 1), code, crc32c);
  });
}

// True when the block has its outcome: it is mapped, or there is no room for a copy.
bool Link::take_view(Request& request, size_t item, Payload& payload) {
  GetOp& op = static_cast<GetOp&>(*request.op);
  GetTarget& target = op.targets[request.first + item];
  TARN_CHECK(target.into.empty());
  if (Result<View> view = payload.view()) {
    target.view = std::move(view).value();
    settle(request, item, Code::ok);
    return true;
  }
  op.make_room(op, request.first + item);
  if (total_of(target.into) == target.bytes) return false;
  target.into = {};
  settle(request, item, Code::overloaded);
  return true;
}

void Link::on_received(size_t slot, size_t item, Code code, uint32_t crc32c) {
  Request& request = x_slots[slot];
  TARN_CHECK(request.is_used && request.op != nullptr && request.answered[item]);
  GetOp& op = static_cast<GetOp&>(*request.op);
  TARN_CHECK(op.state.memory > 0);
  --op.state.memory;
  const GetTarget& target = op.targets[request.first + item];
  if (code != Code::ok) {
    code = op.code == Code::ok ? Code::unavailable : op.code;
  } else if (crc32c != target.payload_crc || TARN_FAULT_POINT("link.corrupt_payload")) {
    ++x_counters.corrupt_payloads;
    code = Code::corrupt;
  }
  settle(request, item, code);
  release(request);
  pump();
}

void Link::accept(Request& request, const wire::PutReply& reply, Payload&) {
  if (!claim(request, LinkOp::Kind::put, 0, 1)) return;
  if (request.op != nullptr) {
    PutOp& op = static_cast<PutOp&>(*request.op);
    op.copies = reply.copies;
    op.message = reply.message;
  }
  settle(request, 0, reply.code);
  release(request);
}

void Link::accept(Request& request, const wire::ExistsReply& reply, Payload&) {
  accept_codes(request, LinkOp::Kind::exists, reply.codes);
}

void Link::accept(Request& request, const wire::RemoveReply& reply, Payload&) {
  accept_codes(request, LinkOp::Kind::remove, reply.codes);
}

void Link::accept_codes(Request& request, LinkOp::Kind kind, const Codes& codes) {
  if (codes.size() != request.count) {
    ++x_counters.foreign_replies;
    return;
  }
  if (!claim(request, kind, 0, request.count)) return;
  for (size_t item = 0; item < request.count; ++item)
    settle(request, item, codes[item]);
  release(request);
}

void Link::accept(Request& request, const wire::Pong&, Payload&) {
  if (!claim(request, LinkOp::Kind::ping, 0, 1)) return;
  settle(request, 0, Code::ok);
  release(request);
}

// Ends what the request's other answers have left open.
void Link::accept(Request& request, const wire::ErrorReply& reply, Payload&) {
  if (request.op != nullptr) {
    request.op->message = reply.message;
    if (request.op->code == Code::ok) request.op->code = reply.code;
  }
  settle_rest(request, reply.code);
  release(request);
}

}  // namespace tarn::fabric
