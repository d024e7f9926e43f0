#pragma once

#include <algorithm>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "common/fabric/link.h"

// The pieces of the model in model_test.cc.
namespace tarn::fabric {

// What the model says of one item of an operation.
struct Expected {
  std::optional<Code> code;
  uint64_t bytes = 0;
};

// One operation with all that it points to.
struct Job {
  explicit Job(LinkOp::Kind k)
      : kind(k), keys(k == LinkOp::Kind::remove ? k : LinkOp::Kind::exists) {}

  LinkOp& op() {
    if (kind == LinkOp::Kind::get) return get;
    if (kind == LinkOp::Kind::put) return put;
    if (kind == LinkOp::Kind::ping) return ping;
    return keys;
  }
  bool is_get() const { return kind == LinkOp::Kind::get; }
  bool is_keys() const { return kind == LinkOp::Kind::exists || kind == LinkOp::Kind::remove; }

  const LinkOp::Kind kind;
  GetOp get;
  PutOp put;
  KeysOp keys;
  PingOp ping;
  std::vector<GetTarget> targets;
  std::deque<std::vector<std::byte>> rooms;
  std::deque<std::vector<MutableBytes>> parts;
  std::vector<wire::BlockItem> items;
  std::vector<Code> codes;
  std::string text;
  Bytes payload;
  int ends = 0;

  // The model's.
  std::vector<Expected> expected;
  Code code = Code::ok;
  Instant deadline = kNever;
  size_t sent = 0;  // items
  size_t flights = 0;
  size_t memory = 0;  // receives and sends under way
  bool is_waiting = true;
  bool is_over = false;
};

// One message that the link sent.
struct Flight {
  wire::Route route;
  Job* job = nullptr;
  size_t first = 0;
  size_t count = 1;
  uint64_t bytes = 0;
  std::vector<bool> answered;
  size_t receives = 0;
  SendDone sending;
  bool was_given_up = false;
  Instant give_up = kNever;
  bool is_over = false;

  bool is_answered() const {
    return std::find(answered.begin(), answered.end(), false) == answered.end();
  }
};

struct Landing {
  Flight* flight;
  size_t item;
  uint32_t crc;
  std::string bytes;
  std::vector<MutableBytes> into;
  ReceiveDone done;
};

}  // namespace tarn::fabric
