// Transfers that are broken off in the middle, again and again.
#include <gtest/gtest.h>
#include <signal.h>

#include "common/base/units.h"
#include "common/fabric/ucx_port.h"
#include "tests/unit/fabric/fabric_pair.h"
#include "tests/unit/fabric/hex.h"
#include "tests/unit/fabric/peer_process.h"

namespace tarn::fabric {
namespace {

constexpr size_t kBytes = 16 * kMiB;

struct Case {
  std::string name;
  Kind kind;
  size_t parts;  // of the scatter list
};

class BrokenOff : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    UcxPort::Options options;
    options.context = UcxContext::open({.kind = GetParam().kind, .device = "lo"}).value();
    x_port = UcxPort::open(std::move(options)).value();
    x_port->set_handler([this](uint64_t, Bytes, Payload& payload) {
      if (payload.size() == 0) return;
      ++x_begun;
      std::vector<MutableBytes> into;
      const size_t step = kBytes / GetParam().parts;
      for (size_t i = 0; i < GetParam().parts; ++i) {
        into.push_back(MutableBytes(x_in).subspan(i * step, step));
      }
      payload.receive(into, [this](Code, uint32_t) { ++x_ended; });
    });
  }

  void start_peer() {
    const std::string kind(kind_name(GetParam().kind));
    x_peer = std::make_unique<PeerProcess>(
        std::vector<std::string>{TARN_UCX_PEER, kind, to_hex(x_port->address())});
    x_connection = x_port
                       ->connect({.peer_address = from_hex(x_peer->read_line()),
                                  .link = 1,
                                  .on_lost = [this](Status) { ++x_lost; }})
                       .value();
  }

  bool until(const std::function<bool()>& condition, Millis within = Millis(8000)) {
    const Instant end = system_clock().now() + within;
    while (!condition()) {
      if (system_clock().now() > end) return false;
      x_port->progress();
    }
    return true;
  }

  void ask_twice() {
    x_begun = x_ended = x_sent = 0;
    const Bytes part = x_out;
    for (int i = 0; i < 2; ++i) {
      const Status sent = x_connection->send({}, {&part, 1}, [this](Code) { ++x_sent; });
      ASSERT_TRUE(sent.is_ok()) << sent.to_string();
    }
  }

  // A few more turns in the middle of the transfer, other ones in each round.
  void go_on(int round) {
    for (int i = 0; i < round * 3; ++i)
      x_port->progress();
  }

  bool all_ended() const { return x_sent == 2 && x_ended == x_begun && x_port->idle(); }

  std::unique_ptr<UcxPort> x_port;
  std::unique_ptr<PeerProcess> x_peer;
  std::unique_ptr<Connection> x_connection;
  const std::vector<std::byte> x_out = pattern(kBytes, 1);
  std::vector<std::byte> x_in = std::vector<std::byte>(kBytes);
  int x_begun = 0;
  int x_ended = 0;
  int x_sent = 0;
  int x_lost = 0;
};

TEST_P(BrokenOff, ByTheDeathOfThePeer) {
  for (int round = 0; round < 12; ++round) {
    start_peer();
    ask_twice();
    ASSERT_TRUE(until([&] { return x_begun > 0; }));
    go_on(round);
    x_peer->kill_and_reap();
    EXPECT_TRUE(until([&] { return all_ended(); }))
        << "round " << round << ": " << x_sent << " sent, " << x_ended << " of " << x_begun;
    x_connection.reset();
  }
}

TEST_P(BrokenOff, AnIdlePeersDeathIsNoticed) {
  start_peer();
  ask_twice();
  ASSERT_TRUE(until([&] { return all_ended() && x_begun == 2; }));
  x_peer->kill_and_reap();
  EXPECT_TRUE(until([&] { return x_lost == 1; }, Millis(4000)));
}

TEST_P(BrokenOff, ByAClose) {
  for (int round = 0; round < 12; ++round) {
    start_peer();
    ask_twice();
    ASSERT_TRUE(until([&] { return x_begun > 0; }));
    go_on(round);
    x_connection->close();
    EXPECT_TRUE(until([&] { return all_ended(); }, Millis(1500)))
        << "round " << round << ": " << x_sent << " sent, " << x_ended << " of " << x_begun;
    std::fill(x_in.begin(), x_in.end(), std::byte{0xEE});
    EXPECT_FALSE(until([&] { return false; }, Millis(60)));
    EXPECT_EQ(std::count(x_in.begin(), x_in.end(), std::byte{0xEE}), static_cast<ptrdiff_t>(kBytes))
        << "bytes landed after the callback";
    x_peer.reset();
    x_connection.reset();
  }
  EXPECT_EQ(x_port->counters().quarantined_total, 0u);
}

TEST_P(BrokenOff, ByTheStopOfThePeer) {
  for (int round = 0; round < 8; ++round) {
    start_peer();
    ask_twice();
    ASSERT_TRUE(until([&] { return x_begun > 0; }));
    go_on(round);
    x_peer->signal(SIGSTOP);
    go_on(round);
    x_connection->close();
    EXPECT_TRUE(until([&] { return all_ended(); }, Millis(1500)))
        << "round " << round << ": " << x_sent << " sent, " << x_ended << " of " << x_begun;
    std::fill(x_in.begin(), x_in.end(), std::byte{0xEE});
    // A stopped peer that wakes up writes nothing into memory that was given back.
    x_peer->signal(SIGCONT);
    EXPECT_FALSE(until([&] { return false; }, Millis(60)));
    EXPECT_EQ(std::count(x_in.begin(), x_in.end(), std::byte{0xEE}), static_cast<ptrdiff_t>(kBytes))
        << "bytes landed after the callback";
    x_peer.reset();
    x_connection.reset();
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, BrokenOff,
                         testing::Values(Case{"tcp", Kind::ucx, 1},
                                         Case{"tcp_scattered", Kind::ucx, 8},
                                         Case{"shm", Kind::ucx_shm, 1},
                                         Case{"shm_scattered", Kind::ucx_shm, 8}),
                         [](const auto& each) { return each.param.name; });

}  // namespace
}  // namespace tarn::fabric
