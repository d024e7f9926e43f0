#include "common/fabric/link.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/fault_point.h"
#include "common/fabric/scatter.h"
#include "common/wire/seal.h"

namespace tarn::fabric {
namespace {

static_assert(wire::kHeaderBytesMax == kHeaderBytesMax);
// No sequence falls out of the server's window while it is in flight.
static_assert(kLinkRequestsMax <= auth::ReplayWindow::kSequences);

Status check_count(size_t count) {
  if (count >= 1 && count <= kOpItemsMax) return Status::ok();
  return invalid_argument("an operation has 1 to 1024 items, this one " + std::to_string(count));
}

uint64_t room_of(const GetTarget& target) {
  return target.view_bytes_max > 0 ? target.view_bytes_max : total_bytes(target.into);
}

Status check_target(const GetOp& op, const GetTarget& target) {
  if (target.hash.is_empty()) return invalid_argument("a block to get has no hash");
  if (target.view_bytes_max > 0) {
    if (op.pieces) return invalid_argument("a piece of a block cannot be viewed");
    if (op.make_room) return Status::ok();
    return invalid_argument("a view needs a place for the block where nothing is mapped");
  }
  if (target.into.size() > kOpPartsMax) return invalid_argument("a scatter list is too long");
  if (total_bytes(target.into) == 0) return invalid_argument("a block to get has no memory");
  return Status::ok();
}

Status check_piece(const GetTarget& target) {
  if (target.offset + total_bytes(target.into) <= kBlockBytesMax) return Status::ok();
  return invalid_argument("a piece to get ends past 64 MiB");
}

Status check_put(const PutOp& op) {
  const wire::PutRequest& put = op.request;
  if (put.hash.is_empty() || put.anchor.is_empty()) {
    return invalid_argument("a block to put needs a hash and an anchor");
  }
  if (put.extent_blocks < 1 || put.extent_blocks > kExtentBlocksMax ||
      put.index >= put.extent_blocks) {
    return invalid_argument("the index of a block lies outside of its extent");
  }
  if (put.copies < 1 || put.copies > wire::kCopiesMax) {
    return invalid_argument("1 to 16 copies can be asked for");
  }
  if (op.payload.size() > kOpPartsMax || total_bytes(op.payload) != put.payload_bytes ||
      put.payload_bytes < 1 || put.payload_bytes > kBlockBytesMax) {
    return invalid_argument("the payload has not the size that the request says, 1 to 64 MiB");
  }
  return Status::ok();
}

// What an earlier use of the object has left.
void clear_outcome(GetTarget& target) {
  target.code = Code::ok;
  target.bytes = 0;
  target.took = false;
  target.generation = {};
  target.payload_crc = 0;
  target.block_bytes = target.block_crc = 0;
  target.view = {};
  if (target.view_bytes_max > 0) target.into = {};
}

size_t item_count(const LinkOp& op) {
  switch (op.kind) {
    case LinkOp::Kind::get:
      return static_cast<const GetOp&>(op).targets.size();
    case LinkOp::Kind::exists:
    case LinkOp::Kind::remove:
      return static_cast<const KeysOp&>(op).items.size();
    case LinkOp::Kind::put:
    case LinkOp::Kind::ping:
      return 1;
  }
  return 1;
}

uint64_t remaining_us(Instant deadline, Instant now) {
  const auto left = std::chrono::duration_cast<Micros>(deadline - now).count();
  return std::min(static_cast<uint64_t>(left), wire::kDeadlineUsMax);
}

}  // namespace

Result<std::unique_ptr<Link>> Link::open(LinkOptions options) {
  const LinkIdentity& identity = options.identity;
  if (options.connection == nullptr) return invalid_argument("a link needs a connection");
  if (identity.credits == 0 || identity.credit_bytes == 0) {
    return invalid_argument("the server grants no credit");
  }
  TARN_ASSIGN_OR_RETURN(
      auth::RequestMac mac,
      auth::RequestMac::open(options.client_key, {identity.incarnation, identity.nonce}));
  return std::unique_ptr<Link>(new Link(std::move(options), std::move(mac)));
}

Link::Link(LinkOptions options, auth::RequestMac mac)
    : x_identity(options.identity),
      x_connection(std::move(options.connection)),
      x_clock(*options.clock),
      x_mac(std::move(mac)),
      x_slots(kLinkRequestsMax),
      x_next_sequence(wire::first_sequence(options.identity.lane)),
      x_counters(options.counters == nullptr ? x_own_counters : *options.counters) {
  x_parts.reserve(64);
}

Link::~Link() {
  TARN_CHECK(is_idle());
  TARN_CHECK(!x_calling);
}

Status Link::submit(GetOp& op) {
  TARN_RETURN_IF_ERROR(check_count(op.targets.size()));
  if (op.pieces && !x_identity.pieces) return unsupported("the server sends whole blocks alone");
  for (const GetTarget& target : op.targets) {
    TARN_RETURN_IF_ERROR(check_target(op, target));
    if (op.pieces) TARN_RETURN_IF_ERROR(check_piece(target));
  }
  for (GetTarget& target : op.targets)
    clear_outcome(target);
  return admit(op);
}

Status Link::submit(PutOp& op) {
  TARN_RETURN_IF_ERROR(check_put(op));
  op.copies = 0;
  return admit(op);
}

Status Link::submit(KeysOp& op) {
  TARN_CHECK(op.kind == LinkOp::Kind::exists || op.kind == LinkOp::Kind::remove);
  TARN_RETURN_IF_ERROR(check_count(op.items.size()));
  if (op.codes.size() != op.items.size()) {
    return invalid_argument("as many codes as items are needed");
  }
  for (const wire::BlockItem& item : op.items) {
    if (item.hash.is_empty()) return invalid_argument("a block asked for has no hash");
  }
  return admit(op);
}

Status Link::submit(PingOp& op) {
  return admit(op);
}

Status Link::admit(LinkOp& op) {
  TARN_CHECK(!op.state.is_active);
  if (x_is_lost) return unavailable("the link is lost: " + x_lost_status.message());
  if (x_waiting.size() >= kLinkWaitingMax) {
    return overloaded("too many operations wait for the server's credit");
  }
  op.code = Code::ok;
  op.server_epoch = {};
  op.message.clear();
  op.state = {};
  x_active.push_back(op);
  x_waiting.push_back(op);
  x_next_deadline = std::min(x_next_deadline, op.deadline);
  pump();
  return Status::ok();
}

// Sends messages of the operations that wait, in their order, while credit lasts. Never calls back.
void Link::pump() {
  if (x_waiting.empty() || x_is_lost || !x_send_error.is_ok()) return;
  const Instant now = x_clock.now();
  while (LinkOp* const op = x_waiting.first()) {
    // Left to expire(), which may call back.
    if (op->deadline <= now) return;
    const Chunk chunk = next_chunk(*op);
    if (!has_credit(chunk) || !send_chunk(*op, chunk, now)) return;
    if (op->state.items_sent == item_count(*op)) x_waiting.remove(*op);
  }
}

// As many items as one message holds, and at most a quarter of the bytes of credit (but one item),
// so that the next message is on its way while this one is answered.
Link::Chunk Link::next_chunk(const LinkOp& op) const {
  const size_t left = item_count(op) - op.state.items_sent;
  TARN_DCHECK(left > 0);
  if (op.kind == LinkOp::Kind::put) {
    return {1, static_cast<const PutOp&>(op).request.payload_bytes};
  }
  if (op.kind != LinkOp::Kind::get) return {std::min(left, wire::kItemsMax), 0};
  const auto targets = static_cast<const GetOp&>(op).targets.subspan(op.state.items_sent);
  Chunk chunk;
  for (const GetTarget& target : targets.first(std::min(left, wire::kItemsMax))) {
    const uint64_t bytes = room_of(target);
    if (chunk.count > 0 && chunk.bytes + bytes > x_identity.credit_bytes / 4) break;
    ++chunk.count;
    chunk.bytes += bytes;
  }
  return chunk;
}

bool Link::has_credit(const Chunk& chunk) const {
  if (x_slots[x_next_sequence % kLinkRequestsMax].is_used) return false;
  if (x_requests >= x_identity.credits) return false;
  // What alone is larger than all credit goes alone.
  return x_bytes == 0 || x_bytes + chunk.bytes <= x_identity.credit_bytes;
}

bool Link::send_chunk(LinkOp& op, const Chunk& chunk, Instant now) {
  const size_t slot = x_next_sequence % kLinkRequestsMax;
  encode_chunk(op, chunk, now);
  wire::sign(x_out, x_mac);
  const bool has_payload = op.kind == LinkOp::Kind::put;
  const auto payload = has_payload ? static_cast<PutOp&>(op).payload : std::span<const Bytes>();
  SendDone done = [](Code) {};
  if (has_payload) done = [this, slot](Code) { on_sent(slot); };
  Status status = TARN_FAULT_POINT("link.send")
                      ? unavailable("fault point link.send")
                      : x_connection->send(x_out.view(), payload, std::move(done));
  if (status.code() == Code::overloaded) return false;
  if (!status.is_ok()) {
    x_send_error = std::move(status);
    x_next_deadline = now;
    return false;
  }
  Request& request = x_slots[slot];
  TARN_CHECK(!request.is_used);
  request = {};
  request.is_used = true;
  request.is_sending = has_payload;
  request.kind = op.kind;
  request.pieces = op.kind == LinkOp::Kind::get && static_cast<const GetOp&>(op).pieces;
  request.op = &op;
  request.sequence = x_next_sequence++;
  request.bytes = chunk.bytes;
  request.first = op.state.items_sent;
  request.count = request.unsettled = chunk.count;
  op.state.items_sent += chunk.count;
  ++op.state.messages;
  op.state.memory += has_payload ? 1 : 0;
  ++x_requests;
  x_bytes += chunk.bytes;
  return true;
}

void Link::encode_chunk(LinkOp& op, const Chunk& chunk, Instant now) {
  wire::RequestHead head = op.head;
  head.deadline_us = remaining_us(op.deadline, now);
  const wire::Route route{x_identity.connection_id, x_next_sequence};
  switch (op.kind) {
    case LinkOp::Kind::get:
      return encode_get(static_cast<const GetOp&>(op), chunk, head);
    case LinkOp::Kind::put: {
      wire::PutRequest& put = static_cast<PutOp&>(op).request;
      put.head = head;
      return wire::encode(route, put, x_out);
    }
    case LinkOp::Kind::exists:
    case LinkOp::Kind::remove:
      return encode_keys(static_cast<const KeysOp&>(op), chunk, head);
    case LinkOp::Kind::ping:
      return wire::encode(route, wire::Ping{head.epoch}, x_out);
  }
}

void Link::encode_get(const GetOp& op, const Chunk& chunk, const wire::RequestHead& head) {
  x_get_request.head = head;
  x_get_request.pieces = op.pieces;
  x_get_request.items.clear();
  for (const GetTarget& target : op.targets.subspan(op.state.items_sent, chunk.count)) {
    TARN_CHECK(
        x_get_request.items.push_back({target.shard, room_of(target), target.hash, target.offset}));
  }
  wire::encode({x_identity.connection_id, x_next_sequence}, x_get_request, x_out);
}

void Link::encode_keys(const KeysOp& op, const Chunk& chunk, const wire::RequestHead& head) {
  x_keys.clear();
  for (const wire::BlockItem& item : op.items.subspan(op.state.items_sent, chunk.count)) {
    TARN_CHECK(x_keys.push_back(item));
  }
  const wire::Route route{x_identity.connection_id, x_next_sequence};
  if (op.kind == LinkOp::Kind::exists) {
    wire::encode(route, wire::ExistsRequest{head, x_keys}, x_out);
  } else {
    wire::encode(route, wire::RemoveRequest{head, op.backup, x_keys}, x_out);
  }
}

// The end of a put's payload, for good or bad: what became of the block, only the answer tells.
void Link::on_sent(size_t slot) {
  Request& request = x_slots[slot];
  TARN_CHECK(request.is_used && request.is_sending);
  request.is_sending = false;
  if (request.op != nullptr) --request.op->state.memory;
  release(request);
  pump();
}

}  // namespace tarn::fabric
