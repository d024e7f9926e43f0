#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/fault_point.h"
#include "common/block/checksum.h"
#include "common/fabric/link.h"
#include "common/fabric/link_table.h"
#include "common/wire/request_guard.h"
#include "common/wire/seal.h"
#include "tests/unit/wire/samples.h"

namespace tarn::fabric {

// What a link sent, and the receives it began: the test is the network and ends each when it likes.
struct FakeNetwork {
  struct Sent {
    wire::HeaderBuffer header;
    std::string payload;
    SendDone done;
  };
  struct Receive {
    std::vector<MutableBytes> into;
    std::string bytes;
    ReceiveDone done;
  };
  std::deque<Sent> sent;
  std::deque<Receive> receives;
  Status next_send;
  bool is_closed = false;
};

class FakeConnection : public Connection {
 public:
  explicit FakeConnection(FakeNetwork& network) : x_network(network) {}

  Status send(Bytes header, std::span<const Bytes> payload, SendDone done) override {
    if (!x_network.next_send.is_ok()) return std::exchange(x_network.next_send, Status::ok());
    FakeNetwork::Sent& sent = x_network.sent.emplace_back();
    std::memcpy(sent.header.bytes.data(), header.data(), header.size());
    sent.header.size = header.size();
    for (const Bytes& part : payload)
      sent.payload.append(reinterpret_cast<const char*>(part.data()), part.size());
    sent.done = std::move(done);
    return Status::ok();
  }
  void close() override { x_network.is_closed = true; }

 private:
  FakeNetwork& x_network;
};

class FakePayload : public Payload {
 public:
  FakePayload(FakeNetwork& network, std::string bytes)
      : x_network(network), x_bytes(std::move(bytes)) {}

  uint64_t size() const override { return x_bytes.size(); }
  void receive(std::span<const MutableBytes> into, ReceiveDone done) override {
    uint64_t room = 0;
    for (const MutableBytes& part : into)
      room += part.size();
    EXPECT_EQ(room, x_bytes.size());
    x_network.receives.push_back({{into.begin(), into.end()}, x_bytes, std::move(done)});
  }

 private:
  FakeNetwork& x_network;
  std::string x_bytes;
};

// Memory for one block and a target that points to it, in two parts.
struct Room {
  explicit Room(size_t bytes) : memory(bytes) {}
  std::span<const MutableBytes> parts() {
    const MutableBytes all(memory);
    x_parts = {all.first(all.size() / 2), all.subspan(all.size() / 2)};
    return x_parts;
  }
  std::string text() const { return {reinterpret_cast<const char*>(memory.data()), memory.size()}; }

  std::vector<std::byte> memory;
  std::vector<MutableBytes> x_parts;
};

// A link to lane 2 of a server that the test plays.
class LinkTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kId = 99;
  static constexpr uint16_t kLane = 2;

  void SetUp() override { open({}); }
  void TearDown() override {
    fault::disarm_all();
    if (x_link != nullptr && !x_link->is_idle()) {
      x_link->lost(unavailable("the test is over"));
      finish_all();
    }
  }

  void open(LinkIdentity identity) {
    identity.connection_id = kId;
    identity.nonce = {1, 2, 3};
    identity.incarnation = Incarnation{5};
    identity.lane = kLane;
    LinkOptions options{identity, std::string(32, 'k'), std::make_unique<FakeConnection>(x_network),
                        &x_clock};
    x_link = std::move(Link::open(std::move(options))).value();
  }

  // The request in the i-th message, checked as a server does.
  wire::Request request(size_t i) {
    const FakeNetwork::Sent& sent = x_network.sent.at(i);
    wire::GuardedPeer peer{wire::samples::mac(), {}};
    wire::RequestGuard guard(kLane, [&peer](uint64_t) { return &peer; });
    const wire::Admitted admitted = guard.check(sent.header.view(), sent.payload.size());
    EXPECT_EQ(admitted.refusal, wire::Refusal::none) << refusal_name(admitted.refusal);
    return admitted.request == nullptr ? wire::Request() : *admitted.request;
  }
  wire::Route route(size_t i) {
    wire::Envelope envelope;
    EXPECT_EQ(wire::decode_envelope(x_network.sent.at(i).header.view(), envelope),
              wire::Refusal::none);
    return envelope.route;
  }

  template <typename Message>
  void reply_to(const wire::Route& to, const Message& message, std::string payload = {}) {
    wire::HeaderBuffer header;
    wire::encode(to, message, header);
    wire::sign(header, x_server_mac);
    deliver(header.view(), std::move(payload));
  }
  template <typename Message>
  void reply(size_t i, const Message& message, std::string payload = {}) {
    reply_to(route(i), message, std::move(payload));
  }
  void deliver(Bytes header, std::string payload = {}) {
    FakePayload fake(x_network, std::move(payload));
    x_link->on_message(header, fake);
  }
  static uint32_t crc(const std::string& bytes) {
    return block::crc32c(0, bytes.data(), bytes.size());
  }
  void reply_block(size_t i, size_t item, const std::string& bytes) {
    reply(i,
          wire::GetReply{Epoch{7}, static_cast<uint16_t>(item), 1, Code::ok, Generation{4},
                         bytes.size(), crc(bytes)},
          bytes);
  }
  void reply_misses(size_t i, size_t first, size_t count) {
    reply(i, wire::GetReply{Epoch{7},
                            static_cast<uint16_t>(first),
                            static_cast<uint16_t>(count),
                            Code::not_found,
                            {},
                            0,
                            0});
  }

  // Ends the oldest receive.
  void land(Code code = Code::ok) {
    FakeNetwork::Receive receive = std::move(x_network.receives.front());
    x_network.receives.pop_front();
    size_t done = 0;
    for (const MutableBytes& part : receive.into) {
      if (code == Code::ok) std::memcpy(part.data(), receive.bytes.data() + done, part.size());
      done += part.size();
    }
    receive.done(code, crc(receive.bytes));
  }
  void end_send(size_t i, Code code = Code::ok) {
    std::exchange(x_network.sent.at(i).done, {})(code);
  }
  void finish_all() {
    while (!x_network.receives.empty())
      land(Code::cancelled);
    for (FakeNetwork::Sent& sent : x_network.sent) {
      if (sent.done) std::exchange(sent.done, {})(Code::cancelled);
    }
  }

  void advance(Nanos by) {
    x_clock.advance(by);
    x_link->expire(x_clock.now());
  }

  ManualClock x_clock;
  FakeNetwork x_network;
  auth::RequestMac x_server_mac = wire::samples::mac();
  std::unique_ptr<Link> x_link;
};

// An operation of `Op` that counts its callbacks.
template <typename Op>
struct Counted : Op {
  template <typename... Args>
  explicit Counted(Args... args) : Op(args...) {
    this->on_end = [this](LinkOp&) { ++ends; };
  }
  int ends = 0;
};

// A get of `count` blocks of `bytes` each.
struct Get : Counted<GetOp> {
  Get(size_t count, size_t bytes) : targets_of(count) {
    for (size_t i = 0; i < count; ++i)
      rooms.emplace_back(bytes);
    for (size_t i = 0; i < count; ++i) {
      targets_of[i].hash = wire::samples::hash_of(32, static_cast<uint8_t>(i));
      targets_of[i].into = rooms[i].parts();
    }
    targets = targets_of;
    on_block = [this](GetOp&, size_t index) { blocks.push_back(index); };
  }
  std::vector<GetTarget> targets_of;
  std::deque<Room> rooms;
  std::vector<size_t> blocks;
};

// A put of one block.
struct Put : Counted<PutOp> {
  explicit Put(std::string bytes) : text(std::move(bytes)) {
    request = wire::samples::put_request();
    request.payload_bytes = text.size();
    request.payload_crc = block::crc32c(0, text.data(), text.size());
    part = std::as_bytes(std::span(text));
    payload = {&part, 1};
  }
  std::string text;
  Bytes part;
};

}  // namespace tarn::fabric
