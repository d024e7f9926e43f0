// What the answers to a put mean.
#include <algorithm>

#include "common/base/check.h"
#include "common/base/fault_point.h"
#include "common/block/checksum.h"
#include "sdk/cpp/src/flight.h"

namespace tarn::sdk {
namespace {

constexpr Nanos kPutPauseFirst = std::chrono::milliseconds(5);
constexpr Nanos kPutPauseMost = std::chrono::milliseconds(100);
// Tries of one block that end by what another try would hardly mend.
constexpr uint32_t kFailuresMax = 8;

Nanos pause_after(uint32_t failures) {
  return std::min(kPutPauseFirst * (1 << std::min(failures, 6u)), kPutPauseMost);
}

bool is_kept(Code code) {
  return code == Code::ok || code == Code::exists || code == Code::kept_less;
}

}  // namespace

void FlightItem::sum() {
  payload_crc = 0;
  for (const fabric::Bytes part : from)
    payload_crc = block::crc32c(payload_crc, part.data(), part.size());
  is_summed = true;
}

// Whoever has failed once brings the checksum of all bytes, whichever way they go then.
bool Flight::leaves_sum(const FlightItem& item, const Attempt& attempt) const {
  const Peer* const peer = x_deck->peers->find(attempt.lane->server);
  return !item.is_summed && item.failures == 0 && peer != nullptr && peer->sums_puts();
}

Status Flight::submit_put(Attempt& attempt, const fabric::LinkOp& head) {
  TARN_CHECK(attempt.items.size() == 1);
  if (TARN_FAULT_POINT("sdk.put_before_send")) return unavailable("the put is not sent");
  const Peer* const peer = x_deck->peers->find(attempt.lane->server);
  const bool may_ask = peer != nullptr && peer->wireup.flash_puts;
  if (x_options.on_flash && !may_ask && !x_options.allow_less) {
    return unsupported("class flash: the server is older than it");
  }
  FlightItem& item = x_items[attempt.items[0]];
  const bool is_sampled = leaves_sum(item, attempt);
  if (!is_sampled && !item.is_summed) item.sum();
  fabric::PutOp& op = attempt.op.emplace<fabric::PutOp>();
  op.head = head.head;
  op.deadline = head.deadline;
  wire::PutRequest& put = op.request;
  put.allow_less = x_options.allow_less;
  put.on_flash = x_options.on_flash && may_ask;
  put.shard = item.shard;
  put.hash = item.hash;
  put.anchor = item.place.anchor;
  put.parent = item.parent;
  put.index = static_cast<uint16_t>(item.place.index);
  put.extent_blocks = static_cast<uint16_t>(block::extent_blocks_of(space().spec));
  put.kind = space().spec.kind;
  put.copies = x_options.copies;
  put.payload_bytes = item.bytes;
  put.sampled = is_sampled;
  put.payload_crc = is_sampled ? block::sample_crc32c(item.from[0].data(), item.from[0].size())
                               : item.payload_crc;
  op.payload = item.from;
  op.on_end = [raw = &attempt](fabric::LinkOp& ended) { raw->flight->on_end(*raw, ended); };
  return attempt.lane->link->submit(op);
}

void Flight::on_put_end(Attempt& attempt, const fabric::PutOp& op) {
  const uint32_t index = attempt.items[0];
  FlightItem& item = x_items[index];
  const ring::BlockPlace asked{op.request.anchor, op.request.index};
  if (is_kept(op.code)) {
    BlockOutcome& outcome = outcome_of(item);
    outcome.bytes = item.bytes;
    outcome.copies = op.copies;
    outcome.server = attempt.server;
    space().chains.correct(item.hash, asked, true);
    const bool is_less = x_options.on_flash && !op.request.on_flash;
    return settle(index, is_less ? Code::kept_less : op.code);
  }
  if (x_stop_code != Code::ok) return settle(index, x_stop_code);
  item.last_code = op.code;
  const bool is_tired = ++item.failures > kFailuresMax;
  switch (op.code) {
    case Code::extent_full:
      if (is_tired) return settle(index, Code::unavailable, "its extents are full");
      if (item.place == asked) re_anchor(item, asked);
      return again(index, x_deck->now);
    case Code::stale_epoch:
    case Code::unavailable:
    case Code::overloaded:
      x_deck->wants_refresh |= op.code != Code::overloaded;
      return again(index, x_deck->now + pause_after(item.failures));
    case Code::unauthenticated:
      if (!is_tired) return again(index, x_deck->now + pause_after(item.failures));
      break;
    default:
      break;
  }
  settle(index, op.code, std::string(wire::view(op.message)));
}

// The owner has another block at this place: this one begins an extent, and those of the batch that
// were to follow it there go with it.
void Flight::re_anchor(const FlightItem& full, const ring::BlockPlace& asked) {
  const block::BlockHash anchor = full.hash;
  const auto follows = [&](const FlightItem& item) {
    return item.state != State::settled && item.place.anchor == asked.anchor &&
           item.place.index >= asked.index;
  };
  uint32_t last = asked.index;
  for (const FlightItem& item : x_items)
    if (follows(item)) last = std::max(last, item.place.index);
  for (FlightItem& item : x_items) {
    if (!follows(item)) continue;
    const bool is_last = item.place.index == last;
    item.place = {anchor, item.place.index - asked.index};
    space().chains.correct(item.hash, item.place, is_last);
  }
  TARN_CHECK(full.place.index == 0);
}

}  // namespace tarn::sdk
