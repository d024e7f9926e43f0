// Operations that UCX does not end after a close: towards a peer that is stopped, and with UCX not
// told of the close, so that their memory really is in its hands.
#include <gtest/gtest.h>
#include <signal.h>

#include "common/base/fault_point.h"
#include "common/fabric/ucx_port.h"
#include "tests/unit/fabric/fabric_pair.h"
#include "tests/unit/fabric/hex.h"
#include "tests/unit/fabric/peer_process.h"
#include "tests/unit/logged_text.h"

namespace tarn::fabric {
namespace {

// A port whose clock stands still, and a process that echoes.
class UcxQuarantine : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    UcxPort::Options options;
    options.context = UcxContext::open({.kind = GetParam(), .device = "lo"}).value();
    options.clock = &x_clock;
    x_port = UcxPort::open(std::move(options)).value();
    x_port->set_handler([this](uint64_t, Bytes, Payload& payload) {
      ++x_answers;
      if (payload.size() == 0) return;
      x_in.resize(payload.size());
      const MutableBytes into = x_in;
      payload.receive({&into, 1}, [this](Code code, uint32_t) { x_received.push_back(code); });
    });
    x_peer = std::make_unique<PeerProcess>(std::vector<std::string>{
        TARN_UCX_PEER, std::string(kind_name(GetParam())), to_hex(x_port->address())});
    const std::string address = from_hex(x_peer->read_line());
    x_connection = x_port->connect({.peer_address = address, .link = 1, .on_lost = {}}).value();
    ASSERT_TRUE(x_connection->send({}, {}, {}).is_ok());
    ASSERT_TRUE(until([&] { return x_answers == 1; }));
  }

  void TearDown() override {
    fault::disarm_all();
    x_peer->kill_and_reap();
    EXPECT_TRUE(until([&] { return x_port->idle(); }));
  }

  void send() {
    const Bytes part = x_out;
    const Status sent =
        x_connection->send({}, {&part, 1}, [this](Code code) { x_sent.push_back(code); });
    ASSERT_TRUE(sent.is_ok()) << sent.to_string();
  }

  void turn() {
    for (int i = 0; i < 100; ++i)
      x_port->progress();
  }

  // By the real clock.
  bool until(const std::function<bool()>& condition) {
    const Instant end = system_clock().now() + Millis(5000);
    while (!condition()) {
      if (system_clock().now() > end) return false;
      x_port->progress();
    }
    return true;
  }

  ManualClock x_clock;
  std::unique_ptr<UcxPort> x_port;
  std::unique_ptr<PeerProcess> x_peer;
  std::unique_ptr<Connection> x_connection;
  const std::vector<std::byte> x_out = pattern(32 << 20, 1);
  std::vector<std::byte> x_in;
  std::vector<Code> x_sent;
  std::vector<Code> x_received;
  int x_answers = 0;
};

TEST_P(UcxQuarantine, WhatDoesNotEndIsCountedAndToldOnceAndKeepsItsMemory) {
  const LoggedText log;
  x_peer->signal(SIGSTOP);
  for (int i = 0; i < 3; ++i)
    send();
  fault::arm("fabric.ucx_close", {.times = 0});
  x_connection->close();
  x_clock.advance(kUcxQuarantineAfter);
  turn();
  EXPECT_EQ(x_port->quarantined_total(), 0u) << "it still has its time";
  x_clock.advance(Millis(1));
  turn();
  EXPECT_EQ(x_port->quarantined_total(), 3u);
  EXPECT_TRUE(x_sent.empty()) << "the memory is still UCX's";
  EXPECT_FALSE(x_port->idle());
  x_clock.advance(Millis(60'000));
  turn();
  EXPECT_EQ(x_port->quarantined_total(), 3u) << "each operation counts once";
  EXPECT_EQ(log.count("not ended"), 1u) << log.text();
  EXPECT_TRUE(log.has("close: 3; their memory stays taken")) << log.text();
}

TEST_P(UcxQuarantine, WhatUcxEndsAfterAllIsFreeAndThePortGoesOn) {
  x_peer->signal(SIGSTOP);
  send();
  fault::arm("fabric.ucx_close", {.times = 0});
  x_connection->close();
  x_clock.advance(kUcxQuarantineAfter + Millis(1));
  turn();
  ASSERT_EQ(x_port->quarantined_total(), 1u);
  fault::disarm_all();
  ASSERT_TRUE(until([&] { return x_port->idle(); }));
  EXPECT_EQ(x_sent, std::vector<Code>{Code::cancelled});
  EXPECT_EQ(x_port->counters().sends_in_flight, 0u);
  EXPECT_EQ(x_port->quarantined_total(), 1u) << "a total does not fall";
}

TEST_P(UcxQuarantine, ACloseThatEndsEverythingInTimeIsNoQuarantine) {
  const LoggedText log;
  x_peer->signal(SIGSTOP);
  send();
  x_connection->close();
  ASSERT_TRUE(until([&] { return x_port->idle(); }));
  x_clock.advance(Millis(60'000));
  turn();
  EXPECT_EQ(x_port->quarantined_total(), 0u);
  EXPECT_EQ(log.text(), "");
}

INSTANTIATE_TEST_SUITE_P(Kinds, UcxQuarantine, testing::Values(Kind::ucx, Kind::ucx_shm),
                         [](const auto& each) { return std::string(kind_name(each.param)); });

// Over shared memory UCX fetches the bytes of a stopped peer by itself.
class UcxQuarantineOfReceives : public UcxQuarantine {};

TEST_P(UcxQuarantineOfReceives, MemoryThatBytesMayStillLandInStaysTaken) {
  send();
  ASSERT_TRUE(until([&] { return x_answers == 2; }));
  x_peer->signal(SIGSTOP);
  fault::arm("fabric.ucx_close", {.times = 0});
  x_connection->close();
  x_clock.advance(kUcxQuarantineAfter + Millis(1));
  turn();
  EXPECT_GE(x_port->quarantined_total(), 1u);
  EXPECT_EQ(x_port->counters().receives_in_flight, 1u);
  EXPECT_TRUE(x_received.empty());
  fault::disarm_all();
  ASSERT_TRUE(until([&] { return x_port->idle(); }));
  EXPECT_EQ(x_received, std::vector<Code>{Code::cancelled});
}

INSTANTIATE_TEST_SUITE_P(Kinds, UcxQuarantineOfReceives, testing::Values(Kind::ucx),
                         [](const auto& each) { return std::string(kind_name(each.param)); });

}  // namespace
}  // namespace tarn::fabric
