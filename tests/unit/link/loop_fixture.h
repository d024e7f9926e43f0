#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>

#include "common/fabric/loop_port.h"
#include "tests/unit/link/link_fixture.h"

namespace tarn::fabric {

// A server of one lane that keeps each block it is given, over the loop fabric.
class SmallServer {
 public:
  explicit SmallServer(LoopHub& hub) : x_port(std::move(LoopPort::open(hub, "server")).value()) {
    x_port->set_handler([this](uint64_t, Bytes header, Payload& payload) {
      serve(x_guard.check(header, payload.size()), payload);
    });
    ConnectOptions to_client;
    to_client.peer_address = "client";
    x_client = std::move(x_port->connect(std::move(to_client))).value();
  }

  size_t progress() { return x_port->progress(); }
  // Is nothing that it sent being read?
  bool is_idle() const { return x_port->idle(); }
  const std::string& block(const block::BlockHash& hash) const { return x_blocks.at(hash); }

 private:
  void serve(const wire::Admitted& admitted, Payload& payload) {
    ASSERT_EQ(admitted.refusal, wire::Refusal::none);
    if (const auto* put = std::get_if<wire::PutRequest>(admitted.request)) {
      keep(*put, admitted.route, payload);
    } else if (const auto* get = std::get_if<wire::GetRequest>(admitted.request)) {
      for (size_t i = 0; i < get->items.size(); ++i)
        answer(get->items[i], static_cast<uint16_t>(i), admitted.route);
    }
  }

  void keep(const wire::PutRequest& put, wire::Route route, Payload& payload) {
    std::string& bytes = x_blocks[put.hash];
    bytes.resize(put.payload_bytes);
    const MutableBytes into = std::as_writable_bytes(std::span(bytes));
    payload.receive({&into, 1}, [this, route, crc = put.payload_crc](Code code, uint32_t crc32c) {
      const bool is_right = code == Code::ok && crc == crc32c;
      send(route, wire::PutReply{Epoch{1}, is_right ? Code::ok : Code::corrupt, 1, {}}, {});
    });
  }

  void answer(const wire::GetItem& item, uint16_t index, wire::Route route) {
    const auto found = x_blocks.find(item.hash);
    wire::GetReply reply{Epoch{1}, index, 1, Code::not_found, {}, 0, 0};
    if (found == x_blocks.end()) return send(route, reply, {});
    reply.code = Code::ok;
    reply.payload_bytes = found->second.size();
    reply.payload_crc = block::crc32c(0, found->second.data(), found->second.size());
    send(route, reply, std::as_bytes(std::span(found->second)));
  }

  template <typename Message>
  void send(wire::Route route, const Message& message, Bytes payload) {
    wire::HeaderBuffer header;
    wire::encode(route, message, header);
    wire::sign(header, x_peer.mac);
    const std::span<const Bytes> parts(&payload, payload.empty() ? 0 : 1);
    EXPECT_TRUE(x_client->send(header.view(), parts, [](Code) {}).is_ok());
  }

  std::unique_ptr<LoopPort> x_port;
  std::unique_ptr<Connection> x_client;
  wire::GuardedPeer x_peer{wire::samples::mac(), {}};
  wire::RequestGuard x_guard{2, [this](uint64_t) { return &x_peer; }};
  std::unordered_map<block::BlockHash, std::string> x_blocks;
};

// The client's thread: a port, a table and one link.
class LoopTest : public LinkTest {
 protected:
  void SetUp() override {
    x_port = std::move(LoopPort::open(x_hub, "client")).value();
    x_port->set_handler([this](uint64_t number, Bytes header, Payload& payload) {
      x_table.on_message(number, header, payload);
    });
    x_server.emplace(x_hub);
    ConnectOptions options;
    options.peer_address = "server";
    options.link = 1;
    options.on_lost = [this](Status why) { x_link->lost(std::move(why)); };
    LinkIdentity identity;
    identity.connection_id = kId;
    identity.nonce = {1, 2, 3};
    identity.incarnation = Incarnation{5};
    identity.lane = kLane;
    x_link =
        std::move(Link::open({identity, std::string(32, 'k'),
                              std::move(x_port->connect(std::move(options))).value(), &x_clock}))
            .value();
    x_table.add(1, *x_link);
  }
  void TearDown() override {
    x_link->lost(unavailable("the test is over"));
    run();
    x_table.remove(1);
    x_link.reset();
    x_server.reset();
    run();
    x_port.reset();
  }
  // Blocks of these texts, as samples::hash_of(32, 0), (32, 1), ...
  void keep(std::span<const std::string> texts) {
    std::deque<Put> puts;
    for (size_t i = 0; i < texts.size(); ++i) {
      Put& put = puts.emplace_back(texts[i]);
      put.request.hash = wire::samples::hash_of(32, static_cast<uint8_t>(i));
      ASSERT_TRUE(x_link->submit(put).is_ok());
    }
    run();
    for (const Put& put : puts)
      ASSERT_EQ(put.code, Code::ok);
  }
  void run() {
    size_t work = 1;
    while (work > 0)
      work = x_port->progress() + (x_server ? x_server->progress() : 0);
  }

  LoopHub x_hub;
  std::unique_ptr<LoopPort> x_port;
  LinkTable x_table;
  std::optional<SmallServer> x_server;
};

}  // namespace tarn::fabric
