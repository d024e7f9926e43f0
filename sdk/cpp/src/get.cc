// What the answers to a get mean.
#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/log.h"
#include "sdk/cpp/src/flight.h"

namespace tarn::sdk {
namespace {

// What an answer says of the server that was asked first.
Senders::Ending ending_of(Code code) {
  switch (code) {
    case Code::ok:
      return Senders::Ending::landed;
    case Code::not_found:
    case Code::corrupt:
    case Code::invalid_argument:
      return Senders::Ending::answered;
    default:
      return Senders::Ending::unheard;
  }
}

}  // namespace

Status Flight::submit_get(Attempt& attempt, const fabric::LinkOp& head) {
  attempt.targets.assign(attempt.items.size(), {});
  for (size_t i = 0; i < attempt.items.size(); ++i) {
    FlightItem& item = x_items[attempt.items[i]];
    attempt.targets[i].shard = item.shard;
    attempt.targets[i].hash = item.hash;
    attempt.targets[i].into = item.into;
    if (item.is_piece) attempt.targets[i].offset = x_layers->offset_of(item.layer);
    attempt.targets[i].view_bytes_max = item.pin == nullptr ? 0 : item.bytes;
    if (item.pin == nullptr && !item.is_piece) attempt.targets[i].taken = &item.is_taken;
  }
  fabric::GetOp& op = attempt.op.emplace<fabric::GetOp>();
  op.head = head.head;
  op.deadline = head.deadline;
  op.targets = attempt.targets;
  op.pieces = attempt.pieces;
  op.on_block = [raw = &attempt](fabric::GetOp&, size_t i) { raw->flight->on_get_item(*raw, i); };
  op.make_room = [raw = &attempt](fabric::GetOp&, size_t i) { raw->flight->make_room(*raw, i); };
  op.on_end = [raw = &attempt](fabric::LinkOp& ended) { raw->flight->on_end(*raw, ended); };
  return attempt.lane->link->submit(op);
}

// A view is wanted, and its fabric maps nothing.
void Flight::make_room(Attempt& attempt, size_t target) {
  fabric::GetTarget& wanted = attempt.targets[target];
  wanted.into = x_items[attempt.items[target]].pin->make_room(wanted.bytes);
}

void Flight::on_get_item(Attempt& attempt, size_t target) {
  TARN_CHECK(target < attempt.items.size() && attempt.items[target] != kAnswered);
  const uint32_t index = std::exchange(attempt.items[target], kAnswered);
  fabric::GetTarget& got = attempt.targets[target];
  note_answer(attempt, x_items[index], got.code);
  if (is_left_to_other(x_items[index], got)) {
    stir();
  } else {
    on_block(attempt, index, got);
  }
  if (attempt.is_second || attempt.has_second) let_go(attempt);
}

// The last of the answers that count.
void Flight::on_block(const Attempt& attempt, uint32_t index, fabric::GetTarget& got) {
  if (!attempt.is_second) x_items[index].ending = ending_of(got.code);
  if (got.code == Code::ok && x_items[index].is_piece) {
    outcome_of(x_items[index]).server = attempt.server;
    on_piece(index, got);
  } else if (got.code == Code::ok) {
    if (x_items[index].pin != nullptr) x_items[index].pin->settle(got);
    BlockOutcome& outcome = outcome_of(x_items[index]);
    outcome.bytes = got.bytes;
    outcome.server = attempt.server;
    settle(index, Code::ok);
    if (attempt.is_second) x_deck->hedges->on_won();
    if (x_items[index].asks > 0) let_others_go(index);
  } else {
    if (got.code == Code::not_found) note_miss(attempt, x_items[index]);
    // Who does not know a block's size learns it so.
    if (got.code == Code::invalid_argument) outcome_of(x_items[index]).bytes = got.bytes;
    on_read_failure(index, got.code);
  }
  stir();
}

// Whatever made the client ask there may have been a router's index, which is to hear of it.
void Flight::note_miss(const Attempt& attempt, const FlightItem& item) {
  if (!item.is_placed || item.layer > 0 || x_deck->missed.size() >= kMissedMax) return;
  x_deck->missed.push_back({space().id, attempt.lane->server, item.hash});
}

// To the caller they are misses that another owner may make good, so only the log shows that some
// server, or the way to it, is ill.
void Flight::tell_corrupt(const Attempt& attempt) const {
  const auto corrupt =
      std::count_if(attempt.targets.begin(), attempt.targets.end(),
                    [](const fabric::GetTarget& got) { return got.code == Code::corrupt; });
  if (corrupt == 0) return;
  log::warn("corrupt blocks from {}: {} of {} that it was asked for", attempt.server, corrupt,
            attempt.targets.size());
}

// What an owner's answer says of the block; false where no other owner could say otherwise.
bool Flight::note_failure(FlightItem& item, Code code) {
  TARN_CHECK(code != Code::ok);
  switch (code) {
    case Code::not_found:
      item.has_missed = true;
      return true;
    case Code::corrupt:
      item.is_corrupt = true;
      return true;
    case Code::deadline_exceeded:
    case Code::invalid_argument:
    case Code::permission_denied:
      return false;
    default:
      item.skipped = true;
      item.last_code = code;
      x_deck->wants_refresh |= code == Code::unavailable || code == Code::stale_epoch;
      return true;
  }
}

// No owner that was asked gives the block: on to the next, unless no owner would.
void Flight::on_read_failure(uint32_t index, Code code) {
  FlightItem& item = x_items[index];
  if (x_stop_code != Code::ok) return settle(index, x_stop_code);
  if (!note_failure(item, code)) item.verdict = code;
  if (item.verdict != Code::ok) {
    const bool is_size = item.verdict == Code::invalid_argument;
    return settle(index, item.verdict, is_size ? "slices: the block has another size" : "");
  }
  item.owner_index = static_cast<uint8_t>(std::max(item.owner_index, item.second_index) + 1);
  item.second_index = 0;
  again(index, x_deck->now);
}

}  // namespace tarn::sdk
