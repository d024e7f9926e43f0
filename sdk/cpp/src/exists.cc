// What exists asks, and what the answers to it mean.
#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "sdk/cpp/src/flight.h"
#include "sdk/cpp/src/outcome.h"

namespace tarn::sdk {

std::span<uint32_t> Flight::keys_of(const FlightItem& item) {
  return std::span(x_key_order).subspan(item.keys.first, item.keys.count);
}

Status Flight::submit_exists(Attempt& attempt, const fabric::LinkOp& head) {
  attempt.keys.clear();
  for (const uint32_t index : attempt.items) {
    for (const uint32_t key : keys_of(x_items[index]))
      attempt.keys.push_back(x_options.asked->keys[key]);
  }
  attempt.codes.assign(attempt.keys.size(), Code::internal);
  fabric::KeysOp& op = attempt.op.emplace<fabric::KeysOp>(fabric::LinkOp::Kind::exists);
  op.head = head.head;
  op.deadline = head.deadline;
  op.items = attempt.keys;
  op.codes = attempt.codes;
  op.on_end = [raw = &attempt](fabric::LinkOp& ended) { raw->flight->on_end(*raw, ended); };
  return attempt.lane->link->submit(op);
}

void Flight::on_exists_end(Attempt& attempt, const fabric::KeysOp& op) {
  std::span<const Code> codes = op.codes;
  for (const uint32_t index : attempt.items) {
    const size_t count = x_items[index].keys.count;
    on_answers(index, codes.first(count));
    codes = codes.subspan(count);
  }
}

// Keys that are not there go on together, those that were answered alike.
void Flight::on_answers(uint32_t index, std::span<const Code> codes) {
  const auto is_there = [](Code code) { return code == Code::ok || code == Code::exists; };
  if (std::all_of(codes.begin(), codes.end(), is_there)) return settle(index, Code::ok);
  const std::span<uint32_t> keys = keys_of(x_items[index]);
  std::vector<std::pair<Code, uint32_t>> answered;
  for (size_t i = 0; i < codes.size(); ++i)
    answered.emplace_back(is_there(codes[i]) ? Code::ok : codes[i], keys[i]);
  std::sort(answered.begin(), answered.end());
  for (size_t i = 0; i < answered.size(); ++i)
    keys[i] = answered[i].second;
  size_t first = 0;
  while (first < answered.size()) {
    const Code code = answered[first].first;
    const auto end = std::find_if(answered.begin() + static_cast<std::ptrdiff_t>(first),
                                  answered.end(), [&](const auto& at) { return at.first != code; });
    const auto behind = static_cast<size_t>(end - answered.begin());
    const uint32_t part = behind == answered.size() ? index : split(index, behind - first);
    code == Code::ok ? settle(part, code) : on_read_failure(part, code);
    first = behind;
  }
}

// Takes the first keys out of an item, into one of their own that has come as far; returns that.
uint32_t Flight::split(uint32_t index, size_t key_count) {
  TARN_CHECK(key_count > 0 && key_count < x_items[index].keys.count);
  const auto part = static_cast<uint32_t>(x_items.size());
  FlightItem copy = x_items[index];
  copy.keys.count = static_cast<uint32_t>(key_count);
  x_items.push_back(std::move(copy));
  x_items[index].keys.first += static_cast<uint32_t>(key_count);
  x_items[index].keys.count -= static_cast<uint32_t>(key_count);
  ++x_unsettled;
  return part;
}

void Flight::answer_keys(const FlightItem& item, Code code) {
  for (const uint32_t key : keys_of(item))
    x_options.asked->answers[key] = tarn::sdk::outcome_of(code);
}

}  // namespace tarn::sdk
