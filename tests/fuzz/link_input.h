#pragma once

#include <array>
#include <cstring>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/fabric/link.h"
#include "common/wire/seal.h"

// A link between a server that holds the key but answers as it likes and a fabric that ends sends
// and receives as it likes: whatever they do, each operation ends once, each block has one outcome,
// and no memory is touched afterwards. Shared by the fuzzer and a unit test with seeded bytes.
namespace tarn::fabric {

class LinkInput {
 public:
  explicit LinkInput(std::span<const uint8_t> input) : x_input(input) {
    LinkIdentity identity{1, {1, 2, 3}, Incarnation{5}, 0, 4, 8192, true};
    x_link = std::move(Link::open({identity, std::string(32, 'k'), std::make_unique<Sink>(*this),
                                   &x_clock}))
                 .value();
  }

  void run() {
    while (!x_input.empty())
      step(next() % 10);
    x_link->lost(unavailable("the input is over"));
    while (!x_receives.empty())
      land();
    while (!x_sends.empty())
      end_send();
    TARN_CHECK(x_link->is_idle());
    for (const Op& op : x_ops)
      TARN_CHECK(op.has_ended);
  }

 private:
  static constexpr size_t kBlocks = 5;
  static constexpr size_t kBlockBytes = 64;
  static constexpr size_t kOpsMax = 64;

  // One of the three kinds of operations with all that it points to.
  struct Op {
    GetOp get;
    PutOp put;
    PingOp ping;
    std::array<GetTarget, kBlocks> targets;
    std::array<std::array<std::byte, kBlockBytes>, kBlocks> rooms{};
    std::array<MutableBytes, kBlocks> parts;
    std::array<int, kBlocks> outcomes{};
    Bytes payload;
    LinkOp* active = nullptr;
    bool has_ended = false;
  };
  struct Receive {
    std::vector<MutableBytes> into;
    ReceiveDone done;
  };

  class Sink : public Connection {
   public:
    explicit Sink(LinkInput& owner) : x_owner(owner) {}
    Status send(Bytes header, std::span<const Bytes> payload, SendDone done) override {
      const uint8_t choice = x_owner.next();
      if (choice == 255) return unavailable("the peer is gone");
      if (choice == 254) return overloaded("the send queue is full");
      TARN_CHECK(header.size() >= wire::kEnvelopeBytes);
      ++x_owner.x_sent;
      if (!payload.empty()) x_owner.x_sends.push_back(std::move(done));
      return Status::ok();
    }
    void close() override {}

   private:
    LinkInput& x_owner;
  };

  class Source : public Payload {
   public:
    Source(LinkInput& owner, uint64_t bytes) : x_owner(owner), x_bytes(bytes) {}
    uint64_t size() const override { return x_bytes; }
    void receive(std::span<const MutableBytes> into, ReceiveDone done) override {
      uint64_t room = 0;
      for (const MutableBytes& part : into)
        room += part.size();
      TARN_CHECK(room == x_bytes);
      x_owner.x_receives.push_back({{into.begin(), into.end()}, std::move(done)});
    }

   private:
    LinkInput& x_owner;
    uint64_t x_bytes;
  };

  uint8_t next() {
    if (x_input.empty()) return 0;
    const uint8_t byte = x_input.front();
    x_input = x_input.subspan(1);
    return byte;
  }

  void step(int what) {
    switch (what) {
      case 0:
        return submit_get();
      case 1:
        return submit_put();
      case 2:
        return submit_ping();
      case 3:
      case 4:
      case 5:
        return answer();
      case 6:
      case 7:
        return land();
      case 8:
        return end_send();
      case 9:
        x_clock.advance(std::chrono::milliseconds(next()));
        return x_link->expire(x_clock.now());
    }
  }

  // A new operation whose callbacks are counted; null when there are enough.
  Op* make() {
    if (x_ops.size() == kOpsMax) return nullptr;
    return &x_ops.emplace_back();
  }

  void prepare(Op& op, LinkOp& as) {
    op.active = &as;
    as.deadline = x_clock.now() + std::chrono::milliseconds(next());
    as.on_end = [&op](LinkOp&) {
      TARN_CHECK(!op.has_ended);
      op.has_ended = true;
      if (op.active->kind != LinkOp::Kind::get) return;
      for (const int outcomes : op.outcomes)
        TARN_CHECK(outcomes == 1);
    };
  }

  void finish_submit(Op& op, const Status& status) {
    if (!status.is_ok()) op.has_ended = true;
  }

  void submit_get() {
    Op* const op = make();
    if (op == nullptr) return;
    for (size_t i = 0; i < kBlocks; ++i) {
      op->parts[i] = op->rooms[i];
      op->targets[i].hash = block::BlockHash::from("hash").value();
      op->targets[i].into = {&op->parts[i], 1};
      op->targets[i].exact = i % 2 == 0;
    }
    // What no input of before began with: a get of pieces.
    op->get.pieces = (x_ops.size() & 3) == 3;
    op->get.targets = op->targets;
    op->get.on_block = [op](GetOp&, size_t index) { ++op->outcomes[index]; };
    prepare(*op, op->get);
    finish_submit(*op, x_link->submit(op->get));
  }

  void submit_put() {
    Op* const op = make();
    if (op == nullptr) return;
    op->payload = op->rooms[0];
    op->put.payload = {&op->payload, 1};
    op->put.request.hash = op->put.request.anchor = block::BlockHash::from("hash").value();
    op->put.request.extent_blocks = 1;
    op->put.request.payload_bytes = kBlockBytes;
    prepare(*op, op->put);
    finish_submit(*op, x_link->submit(op->put));
  }

  void submit_ping() {
    Op* const op = make();
    if (op == nullptr) return;
    prepare(*op, op->ping);
    finish_submit(*op, x_link->submit(op->ping));
  }

  // Some signed reply to some request.
  void answer() {
    const wire::Route route{1, next() % (x_sent + 1)};
    const auto first = static_cast<uint16_t>(next() % 8);
    const auto code = static_cast<Code>(next() % kCodeCount);
    switch (next() % 6) {
      case 0: {
        const uint64_t bytes = next() % 70 + 1;
        return send(route, wire::GetReply{{}, first, 1, Code::ok, {}, bytes, next()}, bytes);
      }
      case 5: {
        const uint64_t bytes = next() % 70 + 1;
        return send(route,
                    wire::GetReply{{}, first, 1, Code::ok, {}, bytes, next(), true, 200, next()},
                    bytes);
      }
      case 1: {
        const auto count = static_cast<uint16_t>(next() % 4 + 1);
        const Code miss = code == Code::ok ? Code::not_found : code;
        return send(route, wire::GetReply{{}, first, count, miss, {}, 0, 0}, 0);
      }
      case 2:
        return send(route, wire::PutReply{{}, code, 1, {}}, 0);
      case 3:
        return send(route, wire::Pong{}, 0);
      case 4:
        if (code == Code::ok) return;
        return send(route, wire::ErrorReply{{}, code, {}}, 0);
    }
  }

  template <typename Message>
  void send(wire::Route route, const Message& message, uint64_t payload_bytes) {
    wire::HeaderBuffer header;
    wire::encode(route, message, header);
    wire::sign(header, x_mac);
    Source payload(*this, payload_bytes);
    x_link->on_message(header.view(), payload);
  }

  void land() {
    if (x_receives.empty()) return;
    const size_t which = next() % x_receives.size();
    Receive receive = std::move(x_receives[which]);
    x_receives.erase(x_receives.begin() + static_cast<std::ptrdiff_t>(which));
    for (const MutableBytes& part : receive.into) {
      check_is_open(part);
      std::memset(part.data(), 1, part.size());
    }
    receive.done(next() % 4 == 0 ? Code::cancelled : Code::ok, next());
  }

  void check_is_open(MutableBytes part) const {
    for (const Op& op : x_ops) {
      for (const auto& room : op.rooms)
        TARN_CHECK(room.data() != part.data() || !op.has_ended);
    }
  }

  void end_send() {
    if (x_sends.empty()) return;
    const SendDone done = std::move(x_sends.front());
    x_sends.pop_front();
    done(next() % 2 == 0 ? Code::ok : Code::cancelled);
  }

  std::span<const uint8_t> x_input;
  ManualClock x_clock;
  std::deque<Op> x_ops;
  std::deque<Receive> x_receives;
  std::deque<SendDone> x_sends;
  uint64_t x_sent = 0;
  auth::RequestMac x_mac =
      std::move(auth::RequestMac::open(std::string(32, 'k'), {Incarnation{5}, {1, 2, 3}})).value();
  std::unique_ptr<Link> x_link;
};

}  // namespace tarn::fabric
