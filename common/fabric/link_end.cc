#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/fabric/link.h"
#include "common/wire/seal.h"

namespace tarn::fabric {

// Gives one item of a request its outcome; release() must follow.
void Link::settle(Request& request, size_t item, Code code) {
  TARN_CHECK(request.is_used && request.unsettled > 0);
  if (LinkOp* const op = request.op; op != nullptr) {
    const size_t index = request.first + item;
    switch (op->kind) {
      case LinkOp::Kind::get:
        settle_block(static_cast<GetOp&>(*op), index, code);
        break;
      case LinkOp::Kind::exists:
      case LinkOp::Kind::remove:
        static_cast<KeysOp&>(*op).codes[index] = code;
        break;
      case LinkOp::Kind::put:
      case LinkOp::Kind::ping:
        if (op->code == Code::ok) op->code = code;
        break;
    }
  }
  --request.unsettled;
}

void Link::settle_block(GetOp& op, size_t index, Code code) {
  GetTarget& target = op.targets[index];
  target.code = code;
  // A block of another size has told its own.
  if (code != Code::ok && code != Code::invalid_argument) target.bytes = 0;
  if (!op.on_block) return;
  const bool outer = std::exchange(x_calling, true);
  op.on_block(op, index);
  x_calling = outer;
}

// All items that have no answer yet; those with a receive under way end with it.
void Link::settle_rest(Request& request, Code code) {
  for (size_t item = 0; item < request.count; ++item) {
    if (request.answered[item]) continue;
    request.answered.set(item);
    settle(request, item, code);
  }
}

// Items that no message carries, and none will.
void Link::give_up_unsent(LinkOp& op, Code code) {
  if (!op.state.is_waiting) return;
  x_waiting.remove(op);
  if (op.kind == LinkOp::Kind::get) {
    GetOp& get = static_cast<GetOp&>(op);
    for (size_t i = op.state.items_sent; i < get.targets.size(); ++i)
      settle_block(get, i, code);
  } else if (op.kind == LinkOp::Kind::exists || op.kind == LinkOp::Kind::remove) {
    const auto codes = static_cast<KeysOp&>(op).codes;
    std::fill(codes.begin() + static_cast<std::ptrdiff_t>(op.state.items_sent), codes.end(), code);
  }
}

// Frees the request's slot and credit when it owes nothing, and ends its operation when it was the
// last one.
void Link::release(Request& request) {
  TARN_CHECK(request.is_used);
  if (request.unsettled > 0 || request.is_sending) return;
  LinkOp* const op = request.op;
  TARN_CHECK(x_requests > 0 && x_bytes >= request.bytes);
  --x_requests;
  x_bytes -= request.bytes;
  request.is_used = false;
  request.op = nullptr;
  if (op == nullptr) return;
  --op->state.messages;
  finish_if_done(*op);
}

void Link::finish_if_done(LinkOp& op) {
  if (op.state.messages > 0 || op.state.is_waiting) return;
  TARN_CHECK(op.state.memory == 0);
  x_active.remove(op);
  if (op.code == Code::deadline_exceeded) ++x_counters.deadlines;
  if (!op.on_end) return;
  const bool outer = std::exchange(x_calling, true);
  // Copied: the callback may destroy the operation.
  const auto on_end = op.on_end;
  on_end(op);
  x_calling = outer;
}

void Link::expire(Instant now) {
  TARN_CHECK(!x_calling);
  if (x_is_lost) return;
  if (!x_send_error.is_ok()) return lost(x_send_error);
  if (now >= x_next_deadline) {
    while (LinkOp* const op = first_overdue(now)) {
      if (op->state.memory > 0) {
        return lost(deadline_exceeded("an operation's deadline passed in the middle of its bytes"));
      }
      give_up(*op, now);
    }
    const bool is_mute = std::any_of(x_slots.begin(), x_slots.end(), [now](const Request& request) {
      return request.is_used && request.give_up <= now;
    });
    if (is_mute) return lost(unavailable("the server leaves requests without an answer"));
    find_next_deadline();
  }
  pump();
}

void Link::hasten(LinkOp& op, Instant deadline) {
  TARN_CHECK(op.state.is_active);
  op.deadline = std::min(op.deadline, deadline);
  x_next_deadline = std::min(x_next_deadline, op.deadline);
  if (op.kind == LinkOp::Kind::get && x_identity.pieces && !x_is_lost) cancel_at_server(op);
}

// Its answers come early then, and free its credit. Where the message cannot be sent, the deadline
// that travelled with the request does the same later.
void Link::cancel_at_server(const LinkOp& op) {
  for (const Request& request : x_slots) {
    if (!request.is_used || request.op != &op) continue;
    // Each number that is taken passes over a free slot, as a request's does.
    if (x_slots[x_next_sequence % kLinkRequestsMax].is_used) return;
    wire::encode({x_identity.connection_id, x_next_sequence}, wire::Cancel{request.sequence},
                 x_out);
    wire::sign(x_out, x_mac);
    if (!x_connection->send(x_out.view(), {}, [](Code) {}).is_ok()) return;
    ++x_next_sequence;
  }
}

LinkOp* Link::first_overdue(Instant now) const {
  LinkOp* op = x_active.first();
  while (op != nullptr && op->deadline > now)
    op = ActiveOps::after(*op);
  return op;
}

void Link::find_next_deadline() {
  x_next_deadline = kNever;
  for (const LinkOp* op = x_active.first(); op != nullptr; op = ActiveOps::after(*op)) {
    x_next_deadline = std::min(x_next_deadline, op->deadline);
  }
  for (const Request& request : x_slots) {
    if (request.is_used) x_next_deadline = std::min(x_next_deadline, request.give_up);
  }
}

// Ends an operation none of whose memory is in use. Its requests keep their credit until they are
// answered, since they keep it at the server too.
void Link::give_up(LinkOp& op, Instant now) {
  TARN_CHECK(op.state.memory == 0);
  op.code = Code::deadline_exceeded;
  give_up_unsent(op, Code::deadline_exceeded);
  for (Request& request : x_slots) {
    if (!request.is_used || request.op != &op) continue;
    for (size_t item = 0; item < request.count; ++item) {
      if (request.answered[item]) continue;
      // The answer is still to come, so the item stays open; only the operation hears no more.
      if (op.kind == LinkOp::Kind::get) {
        settle_block(static_cast<GetOp&>(op), request.first + item, Code::deadline_exceeded);
      } else if (op.kind == LinkOp::Kind::exists || op.kind == LinkOp::Kind::remove) {
        static_cast<KeysOp&>(op).codes[request.first + item] = Code::deadline_exceeded;
      }
    }
    request.op = nullptr;
    request.give_up = now + kLinkAnswerGrace;
    --op.state.messages;
  }
  finish_if_done(op);
}

void Link::lost(Status why) {
  TARN_CHECK(!x_calling);
  TARN_CHECK(!why.is_ok());
  if (x_is_lost) return;
  x_is_lost = true;
  x_lost_status = std::move(why);
  x_next_deadline = kNever;
  x_connection->close();
  fail_all(x_clock.now());
}

// A put that the server has kept stays so, though its memory is not free yet.
bool Link::is_acknowledged(const LinkOp& op) const {
  if (op.kind != LinkOp::Kind::put) return false;
  return std::any_of(x_slots.begin(), x_slots.end(), [&op](const Request& request) {
    return request.is_used && request.op == &op && request.unsettled == 0;
  });
}

void Link::fail_all(Instant now) {
  for (LinkOp* op = x_active.first(); op != nullptr; op = ActiveOps::after(*op)) {
    if (op->code != Code::ok || is_acknowledged(*op)) continue;
    op->code = op->deadline <= now ? Code::deadline_exceeded : Code::unavailable;
  }
  while (LinkOp* const op = x_waiting.first()) {
    give_up_unsent(*op, op->code);
    finish_if_done(*op);
  }
  for (Request& request : x_slots) {
    if (!request.is_used) continue;
    settle_rest(request, request.op == nullptr ? Code::unavailable : request.op->code);
    release(request);
  }
}

}  // namespace tarn::fabric
