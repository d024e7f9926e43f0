#include "common/fabric/ucx_port.h"

#include <gtest/gtest.h>
#include <signal.h>

#include "common/base/fault_point.h"
#include "common/fabric/ucx_worker.h"
#include "tests/unit/fabric/fabric_pair.h"
#include "tests/unit/fabric/hex.h"
#include "tests/unit/fabric/peer_process.h"

namespace tarn::fabric {
namespace {

Bytes bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

std::unique_ptr<UcxPort> open_port(Kind kind, size_t operations_max = 1024,
                                   const Clock& clock = system_clock()) {
  UcxPort::Options options;
  options.clock = &clock;
  options.context = UcxContext::open({.kind = kind, .device = "lo"}).value();
  options.sends_max = operations_max;
  options.receives_max = operations_max;
  return UcxPort::open(std::move(options)).value();
}

bool until(Port& port, const std::function<bool()>& condition, Millis within = Millis(5000)) {
  const Instant end = system_clock().now() + within;
  while (!condition()) {
    if (system_clock().now() > end) return false;
    port.progress();
  }
  return true;
}

// A port of the test and one in another process, which echoes.
class UcxPeerTest : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    x_port = open_port(GetParam());
    x_peer = std::make_unique<PeerProcess>(std::vector<std::string>{
        TARN_UCX_PEER, std::string(kind_name(GetParam())), to_hex(x_port->address())});
    const std::string address = from_hex(x_peer->read_line());
    x_connection = x_port
                       ->connect({.peer_address = address,
                                  .link = 5,
                                  .on_lost =
                                      [this](Status why) {
                                        ++x_lost;
                                        EXPECT_EQ(why.code(), Code::unavailable);
                                      }})
                       .value();
    x_port->set_handler([this](uint64_t link, Bytes, Payload& payload) {
      EXPECT_EQ(link, 5u);
      ++x_answers;
      if (x_into.empty()) return;
      const MutableBytes into = x_into;
      payload.receive({&into, 1}, [this](Code code, uint32_t) { x_received.push_back(code); });
    });
    ASSERT_TRUE(x_connection->send(bytes_of("hello"), {}, {}).is_ok());
    ASSERT_TRUE(until(*x_port, [&] { return x_answers == 1; }));
  }

  Status send(Bytes payload) {
    return x_connection->send(bytes_of("x"), {&payload, 1},
                              [this](Code code) { x_sent.push_back(code); });
  }

  std::unique_ptr<UcxPort> x_port;
  std::unique_ptr<PeerProcess> x_peer;
  std::unique_ptr<Connection> x_connection;
  MutableBytes x_into;
  std::vector<Code> x_sent;
  std::vector<Code> x_received;
  int x_answers = 0;
  int x_lost = 0;
};

TEST_P(UcxPeerTest, BytesComeBackFromAnotherProcess) {
  const std::vector<std::byte> out = pattern(3 << 20, 1);
  std::vector<std::byte> in(out.size());
  x_into = in;
  ASSERT_TRUE(send(out).is_ok());
  ASSERT_TRUE(until(*x_port, [&] { return x_received.size() == 1; }));
  EXPECT_EQ(x_received[0], Code::ok);
  EXPECT_TRUE(in == out);
}

// Over shared memory it takes a keepalive: ucx_port_slow_test.cc has both.
class UcxTcpPeerTest : public UcxPeerTest {};

TEST_P(UcxTcpPeerTest, WhoWaitsForABlockHearsOfItBeforeTheNextOneIsTakenIn) {
  constexpr size_t kBlocks = 16;
  const std::vector<std::byte> out = pattern(256 << 10, 1);
  std::vector<std::byte> in(out.size());
  x_into = in;
  for (size_t i = 0; i < kBlocks; ++i)
    ASSERT_TRUE(send(out).is_ok());
  size_t heard = 0;
  const auto hears_one_at_a_time = [&] {
    EXPECT_LE(x_received.size(), heard + 1);
    heard = x_received.size();
    return heard == kBlocks;
  };
  EXPECT_TRUE(until(*x_port, hears_one_at_a_time));
}

TEST_P(UcxTcpPeerTest, AKilledIdlePeerIsNoticed) {
  x_peer->kill_and_reap();
  EXPECT_TRUE(until(*x_port, [&] { return x_lost == 1; }));
  EXPECT_EQ(x_connection->send(bytes_of("x"), {}, {}).code(), Code::unavailable);
  EXPECT_EQ(x_port->counters().lost_total, 1u);
}

TEST_P(UcxPeerTest, AKilledPeerEndsWhatIsInFlight) {
  const std::vector<std::byte> out = pattern(8 << 20, 2);
  x_peer->signal(SIGSTOP);
  for (int i = 0; i < 4; ++i)
    ASSERT_TRUE(send(out).is_ok());
  x_peer->kill_and_reap();
  EXPECT_TRUE(until(*x_port, [&] { return x_sent.size() == 4 && x_lost == 1; }));
  for (const Code code : x_sent)
    EXPECT_EQ(code, Code::unavailable);
  EXPECT_TRUE(x_port->idle());
}

TEST_P(UcxPeerTest, AStoppedPeerIsEndedByClose) {
  const std::vector<std::byte> out = pattern(8 << 20, 3);
  x_peer->signal(SIGSTOP);
  for (int i = 0; i < 4; ++i)
    ASSERT_TRUE(send(out).is_ok());
  ASSERT_TRUE(x_connection->send(bytes_of("small"), {}, {}).is_ok());
  for (int i = 0; i < 1000; ++i)
    x_port->progress();
  EXPECT_LT(x_sent.size(), 4u);
  x_connection->close();
  EXPECT_TRUE(until(
      *x_port, [&] { return x_sent.size() == 4; }, Millis(1000)));
  EXPECT_EQ(x_sent.back(), Code::cancelled);
  EXPECT_EQ(x_lost, 0);
  EXPECT_TRUE(until(*x_port, [&] { return x_port->idle(); }));
  EXPECT_EQ(x_port->counters().quarantined_total, 0u);
  EXPECT_EQ(x_port->counters().connections, 0u);
}

// The answer's bytes are on their way into our memory when the connection is closed.
TEST_P(UcxPeerTest, NoByteLandsAfterTheCallback) {
  const std::vector<std::byte> out = pattern(32 << 20, 4);
  std::vector<std::byte> in(out.size());
  x_into = in;
  ASSERT_TRUE(send(out).is_ok());
  ASSERT_TRUE(until(*x_port, [&] { return x_answers == 2; }));
  x_connection->close();
  ASSERT_TRUE(until(*x_port, [&] { return x_received.size() == 1; }));
  EXPECT_TRUE(x_received[0] == Code::ok || x_received[0] == Code::cancelled);
  std::fill(in.begin(), in.end(), std::byte{0xEE});
  const Instant end = system_clock().now() + Millis(100);
  while (system_clock().now() < end)
    x_port->progress();
  const auto late =
      std::count_if(in.begin(), in.end(), [](std::byte b) { return b != std::byte{0xEE}; });
  EXPECT_EQ(late, 0);
}

INSTANTIATE_TEST_SUITE_P(Kinds, UcxTcpPeerTest, testing::Values(Kind::ucx),
                         [](const auto& each) { return std::string(kind_name(each.param)); });
INSTANTIATE_TEST_SUITE_P(Kinds, UcxPeerTest, testing::Values(Kind::ucx, Kind::ucx_shm),
                         [](const auto& each) { return std::string(kind_name(each.param)); });

class UcxPortTest : public testing::Test {
 protected:
  void TearDown() override { fault::disarm_all(); }
};

TEST_F(UcxPortTest, TheSendPoolHasAnEnd) {
  auto a = open_port(Kind::ucx, 4);
  auto b = open_port(Kind::ucx, 4);
  auto connection = a->connect({.peer_address = b->address(), .link = 0, .on_lost = {}}).value();
  const std::vector<std::byte> out = pattern(1 << 20, 1);
  const Bytes part = out;
  int ended = 0;
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(connection->send(bytes_of("x"), {&part, 1}, [&](Code) { ++ended; }).is_ok());
  }
  EXPECT_EQ(connection->send(bytes_of("x"), {&part, 1}, {}).code(), Code::overloaded);
  EXPECT_EQ(a->counters().sends_in_flight, 4u);
  connection->close();
  EXPECT_TRUE(until(*a, [&] { return ended == 4; }));
  EXPECT_TRUE(a->idle());
}

TEST_F(UcxPortTest, TheReceivePoolHasAnEnd) {
  auto a = open_port(Kind::ucx, 8);
  auto b = open_port(Kind::ucx, 1);
  auto there = a->connect({.peer_address = b->address(), .link = 0, .on_lost = {}}).value();
  auto back = b->connect({.peer_address = a->address(), .link = 0, .on_lost = {}}).value();
  const std::vector<std::byte> out = pattern(4 << 20, 1);
  std::vector<std::byte> in(out.size());
  std::vector<Code> codes;
  b->set_handler([&](uint64_t, Bytes, Payload& payload) {
    const MutableBytes into = in;
    payload.receive({&into, 1}, [&](Code code, uint32_t) { codes.push_back(code); });
  });
  const Bytes part = out;
  int ended = 0;
  for (int i = 0; i < 8; ++i) {
    ASSERT_TRUE(there->send(bytes_of("x"), {&part, 1}, [&](Code) { ++ended; }).is_ok());
  }
  EXPECT_TRUE(until(*a, [&] {
    b->progress();
    return codes.size() == 8 && ended == 8;
  }));
  EXPECT_GT(std::count(codes.begin(), codes.end(), Code::overloaded), 0);
  EXPECT_GT(std::count(codes.begin(), codes.end(), Code::ok), 0);
}

TEST_F(UcxPortTest, ConnectionsHaveALimitAndAreUsedAgain) {
  UcxPort::Options options;
  options.context = UcxContext::open({.kind = Kind::ucx, .device = "lo"}).value();
  options.connections_max = 2;
  auto port = UcxPort::open(std::move(options)).value();
  auto peer = open_port(Kind::ucx);
  const ConnectOptions to{.peer_address = peer->address(), .link = 0, .on_lost = {}};
  auto first = port->connect(to).value();
  auto second = port->connect(to).value();
  EXPECT_EQ(port->connect(to).status().code(), Code::overloaded);
  for (int i = 0; i < 20; ++i) {
    first.reset();
    ASSERT_TRUE(until(*port, [&] {
      peer->progress();
      auto again = port->connect(to);
      if (again.has_value()) first = std::move(again).value();
      return first != nullptr;
    }));
  }
}

TEST_F(UcxPortTest, WhatCannotBeOpenedSaysWhy) {
  const auto missing = UcxContext::open({.kind = Kind::ucx, .device = "no_such_if0"});
  if (missing.has_value()) {
    const auto port = UcxPort::open({.context = missing.value()});
    ASSERT_FALSE(port.has_value());
    EXPECT_EQ(port.error().code(), Code::unavailable);
  } else {
    EXPECT_NE(missing.error().message().find("no_such_if0"), std::string::npos);
  }
  EXPECT_EQ(UcxContext::open({.kind = Kind::grpc}).status().code(), Code::invalid_argument);
  EXPECT_EQ(UcxContext::open({.kind = Kind::ucx, .device = ""}).status().code(),
            Code::invalid_argument);
}

TEST_F(UcxPortTest, AnAddressOfTheOtherKindIsRefused) {
  auto net = open_port(Kind::ucx);
  auto shm = open_port(Kind::ucx_shm);
  const auto connection = net->connect({.peer_address = shm->address(), .link = 0, .on_lost = {}});
  EXPECT_EQ(connection.status().code(), Code::unsupported);
}

TEST_F(UcxPortTest, AConnectionMayOutliveItsPort) {
  auto a = open_port(Kind::ucx);
  auto b = open_port(Kind::ucx);
  auto connection = a->connect({.peer_address = b->address(), .link = 0, .on_lost = {}}).value();
  a.reset();
  EXPECT_EQ(connection->send(bytes_of("x"), {}, {}).code(), Code::unavailable);
}

// A port that has not connected back could neither tell who sends nor end a receive by a close.
TEST_F(UcxPortTest, AStrangersMessageWaitsUntilItIsConnectedTo) {
  for (const Kind kind : {Kind::ucx, Kind::ucx_shm}) {
    auto a = open_port(kind);
    auto b = open_port(kind);
    auto there = a->connect({.peer_address = b->address(), .link = 0, .on_lost = {}}).value();
    const std::vector<std::byte> out = pattern(1 << 20, 1);
    std::vector<std::byte> in(out.size());
    std::vector<uint64_t> links;
    Code code = Code::internal;
    b->set_handler([&](uint64_t link, Bytes header, Payload& payload) {
      links.push_back(link);
      EXPECT_EQ(header.size(), 1u);
      const MutableBytes into = in;
      payload.receive({&into, 1}, [&](Code ended, uint32_t) { code = ended; });
    });
    const Bytes part = out;
    ASSERT_TRUE(there->send(bytes_of("x"), {&part, 1}, {}).is_ok());
    EXPECT_FALSE(until(
        *a,
        [&] {
          b->progress();
          return !links.empty();
        },
        Millis(50)));
    auto back = b->connect({.peer_address = a->address(), .link = 4, .on_lost = {}}).value();
    EXPECT_TRUE(until(*a, [&] {
      b->progress();
      return code == Code::ok;
    }));
    EXPECT_EQ(links, (std::vector<uint64_t>{4}));
    EXPECT_TRUE(in == out);
  }
}

// Nobody lets them in: they end with their connection.
TEST_F(UcxPortTest, MessagesThatWaitEndWithACloseOrALoss) {
  auto a = open_port(Kind::ucx);
  auto b = open_port(Kind::ucx);
  const std::vector<std::byte> out = pattern(1 << 20, 1);
  const Bytes part = out;
  std::vector<Code> codes;
  int lost = 0;
  const ConnectOptions to{
      .peer_address = b->address(), .link = 0, .on_lost = [&](Status) { ++lost; }};
  const auto done = [&](Code code) { codes.push_back(code); };
  auto closed = a->connect(to).value();
  ASSERT_TRUE(closed->send(bytes_of("x"), {&part, 1}, done).is_ok());
  closed->close();
  EXPECT_TRUE(until(*a, [&] { return codes.size() == 1 && a->idle(); }));
  EXPECT_EQ(codes.at(0), Code::cancelled);
  auto broken = a->connect(to).value();
  ASSERT_TRUE(broken->send(bytes_of("x"), {&part, 1}, done).is_ok());
  until(
      *a,
      [&] {
        b->progress();
        return false;
      },
      Millis(20));
  b.reset();
  EXPECT_TRUE(until(*a, [&] { return codes.size() == 2 && lost == 1; }));
  EXPECT_EQ(codes.at(1), Code::unavailable);
  EXPECT_EQ(a->counters().sends_in_flight, 0u);
}

TEST_F(UcxPortTest, WhoeverLetsNobodyInHoldsFewSendsAndNotForLong) {
  ManualClock clock;
  auto a = open_port(Kind::ucx, 1024, clock);
  auto b = open_port(Kind::ucx);
  std::vector<Code> ended;
  int lost = 0;
  const ConnectOptions to{
      .peer_address = b->address(), .link = 0, .on_lost = [&](Status) { ++lost; }};
  auto there = a->connect(to).value();
  for (size_t i = 0; i < kUcxWaitingMax; ++i) {
    const auto done = [&](Code code) { ended.push_back(code); };
    ASSERT_TRUE(there->send(bytes_of("x"), {}, done).is_ok());
  }
  EXPECT_EQ(there->send(bytes_of("x"), {}, {}).code(), Code::overloaded);
  clock.advance(kUcxWelcomeWait - Millis(1));
  a->progress();
  EXPECT_TRUE(ended.empty());
  clock.advance(Millis(1));
  EXPECT_TRUE(until(*a, [&] { return lost == 1; }));
  EXPECT_EQ(ended, std::vector<Code>(kUcxWaitingMax, Code::unavailable));
  EXPECT_EQ(a->counters().sends_in_flight, 0u);
}

// The time is that of waiting sends: a connection that has nothing to say waits for ever.
TEST_F(UcxPortTest, WhoeverIsLetInLateIsHeard) {
  ManualClock clock;
  auto a = open_port(Kind::ucx, 1024, clock);
  auto b = open_port(Kind::ucx);
  const std::function<void(Status)> on_lost = [](Status why) { ADD_FAILURE() << why.to_string(); };
  auto there = a->connect({.peer_address = b->address(), .link = 0, .on_lost = on_lost}).value();
  clock.advance(10 * kUcxWelcomeWait);
  a->progress();
  size_t sent = 0;
  const auto done = [&](Code code) { sent += code == Code::ok ? 1 : 0; };
  ASSERT_TRUE(there->send(bytes_of("first"), {}, done).is_ok());
  clock.advance(kUcxWelcomeWait / 2);
  auto back = b->connect({.peer_address = a->address(), .link = 4, .on_lost = on_lost}).value();
  const auto serve_b = [&](size_t count) {
    return until(*a, [&] {
      b->progress();
      return sent == count;
    });
  };
  EXPECT_TRUE(serve_b(1));
  clock.advance(kUcxWelcomeWait);
  ASSERT_TRUE(there->send(bytes_of("second"), {}, done).is_ok());
  EXPECT_TRUE(serve_b(2));
}

// UCX aborts where the endpoints of two workers are counted differently on the two sides.
TEST_F(UcxPortTest, TwoPortsMeetAgainAndAgain) {
  const auto to = [](const Port& port) {
    return ConnectOptions{.peer_address = port.address(), .link = 0, .on_lost = {}};
  };
  for (const Kind kind : {Kind::ucx, Kind::ucx_shm}) {
    auto a = open_port(kind);
    auto b = open_port(kind);
    const std::vector<std::byte> out = pattern(200'000, 1);
    std::vector<std::byte> in(out.size());
    std::vector<Code> codes;
    b->set_handler([&](uint64_t, Bytes, Payload& payload) {
      const MutableBytes into = in;
      payload.receive({&into, 1}, [&](Code code, uint32_t) { codes.push_back(code); });
    });
    const Bytes part = out;
    for (size_t round = 0; round < 12; ++round) {
      // Connections that only one side makes, used or not, and gone before the other knows.
      if (round % 3 == 0) (void)b->connect(to(*a));
      auto there = a->connect(to(*b)).value();
      auto back = b->connect(to(*a)).value();
      if (round % 4 == 1) {
        auto lonely = b->connect(to(*a)).value();
        EXPECT_TRUE(lonely->send(bytes_of("x"), {}, {}).is_ok());
      }
      ASSERT_TRUE(there->send(bytes_of("x"), {&part, 1}, {}).is_ok());
      ASSERT_TRUE(until(*a,
                        [&] {
                          b->progress();
                          return codes.size() == round + 1;
                        }))
          << "round " << round;
      EXPECT_EQ(codes.back(), Code::ok) << "round " << round;
    }
    EXPECT_TRUE(until(*a, [&] { return a->counters().connections == 0; }));
  }
}

TEST(UcxOperationPool, CountsWhatIsQuarantinedOnce) {
  UcxPeer one;
  UcxPeer other;
  UcxOperationPool pool(3, 16);
  UcxOperation* const first = pool.take();
  UcxOperation* const second = pool.take();
  pool.take()->peer = &other;
  first->peer = second->peer = &one;
  EXPECT_EQ(pool.take(), nullptr);
  EXPECT_EQ(pool.quarantine(&one), 2u);
  EXPECT_EQ(pool.quarantine(&one), 0u);
  pool.give_back(first);
  EXPECT_EQ(pool.in_flight(), 2u);
  EXPECT_EQ(pool.take(), first);
  EXPECT_EQ(pool.quarantine(&one), 0u) << "a new operation of nobody";
}

TEST_F(UcxPortTest, MemoryIsRegistered) {
  auto port = open_port(Kind::ucx);
  std::vector<std::byte> memory(1 << 20);
  EXPECT_TRUE(port->register_memory(memory).is_ok());
  EXPECT_EQ(port->register_memory({}).code(), Code::invalid_argument);
  EXPECT_EQ(port->transport(), "TCP over lo");
}

TEST_F(UcxPortTest, FaultPointsFailASendAndAReceive) {
  auto a = open_port(Kind::ucx);
  auto b = open_port(Kind::ucx);
  auto there = a->connect({.peer_address = b->address(), .link = 0, .on_lost = {}}).value();
  auto back = b->connect({.peer_address = a->address(), .link = 0, .on_lost = {}}).value();
  fault::arm("fabric.ucx_send", {});
  EXPECT_EQ(there->send(bytes_of("x"), {}, {}).code(), Code::unavailable);
  fault::arm("fabric.ucx_receive", {});
  const std::vector<std::byte> out = pattern(1 << 20, 1);
  std::vector<std::byte> in(out.size());
  std::vector<Code> received;
  int ended = 0;
  b->set_handler([&](uint64_t, Bytes, Payload& payload) {
    const MutableBytes into = in;
    payload.receive({&into, 1}, [&](Code code, uint32_t) { received.push_back(code); });
  });
  const Bytes part = out;
  ASSERT_TRUE(there->send(bytes_of("x"), {&part, 1}, [&](Code) { ++ended; }).is_ok());
  EXPECT_TRUE(until(*a, [&] {
    b->progress();
    return ended == 1 && received.size() == 1;
  }));
  EXPECT_EQ(received[0], Code::unavailable);
}

}  // namespace
}  // namespace tarn::fabric
