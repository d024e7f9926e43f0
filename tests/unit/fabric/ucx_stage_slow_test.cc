// A peer that dies at each stage of an exchange: all that is ours ends, and its successor is
// served.
#include <gtest/gtest.h>

#include "common/base/units.h"
#include "common/fabric/ucx_port.h"
#include "tests/unit/fabric/fabric_pair.h"
#include "tests/unit/fabric/hex.h"
#include "tests/unit/fabric/peer_process.h"

namespace tarn::fabric {
namespace {

struct Case {
  Kind kind;
  const char* stage;
};

void PrintTo(const Case& each, std::ostream* out) {
  *out << kind_name(each.kind) << " " << each.stage;
}

class UcxStage : public testing::TestWithParam<Case> {
 protected:
  UcxStage() {
    UcxPort::Options options;
    options.context = UcxContext::open({.kind = GetParam().kind, .device = "lo"}).value();
    x_port = UcxPort::open(std::move(options)).value();
    x_port->set_handler([this](uint64_t, Bytes, Payload& payload) {
      ++x_answers;
      if (payload.size() == 0) return;
      ++x_receives_begun;
      const MutableBytes into = x_in;
      payload.receive({&into, 1}, [this](Code code, uint32_t) { x_received.push_back(code); });
    });
  }

  bool until(const std::function<bool()>& condition) {
    const Instant end = system_clock().now() + std::chrono::seconds(8);
    while (!condition()) {
      if (system_clock().now() > end) return false;
      x_port->progress();
    }
    return true;
  }

  // Starts a peer that dies at `stage` (empty: never); false when it cannot be connected to.
  bool meet(const char* stage) {
    x_lost = x_answers = 0;
    x_receives_begun = 0;
    x_sent.clear();
    x_received.clear();
    x_peer = std::make_unique<PeerProcess>(std::vector<std::string>{
        TARN_UCX_PEER, std::string(kind_name(GetParam().kind)), to_hex(x_port->address()), stage});
    auto made = x_port->connect({.peer_address = from_hex(x_peer->read_line()),
                                 .link = 1,
                                 .on_lost = [this](Status) { ++x_lost; }});
    if (!made) {
      EXPECT_EQ(made.error().code(), Code::unavailable) << made.error().to_string();
      return false;
    }
    x_connection = *std::move(made);
    return true;
  }

  void ask(Bytes payload) {
    const std::span<const Bytes> parts(&payload, payload.empty() ? 0 : 1);
    const Status sent =
        x_connection->send({}, parts, [this](Code code) { x_sent.push_back(code); });
    x_asked += sent.is_ok() ? 1 : 0;
  }

  const std::vector<std::byte> x_out = pattern(4 * kMiB, 1);
  std::vector<std::byte> x_in = std::vector<std::byte>(x_out.size());
  std::unique_ptr<UcxPort> x_port;
  std::unique_ptr<PeerProcess> x_peer;
  std::unique_ptr<Connection> x_connection;
  std::vector<Code> x_sent;
  std::vector<Code> x_received;
  size_t x_asked = 0;
  int x_answers = 0;
  size_t x_receives_begun = 0;
  int x_lost = 0;
};

class UcxWireUp : public UcxStage {};

TEST_P(UcxStage, AllEndsAndASuccessorIsServed) {
  const bool tells_loss = GetParam().kind == Kind::ucx;
  if (meet(GetParam().stage)) {
    for (int i = 0; i < 3; ++i)
      ask(x_out);
    ASSERT_TRUE(until([&] { return x_peer->has_ended(); }));
    if (tells_loss) {
      EXPECT_TRUE(until([&] { return x_lost == 1; }));
    } else {
      // Over shared memory an idle peer's death shows by a keepalive only: the deadline is sooner.
      x_connection->close();
    }
    EXPECT_TRUE(until([&] {
      return x_sent.size() == x_asked && x_received.size() == x_receives_begun && x_port->idle();
    })) << x_sent.size()
        << " of " << x_asked << " sends, " << x_received.size() << " of " << x_receives_begun
        << " receives";
    EXPECT_EQ(x_port->counters().quarantined_total, 0u);
    x_connection.reset();
  }
  x_asked = 0;
  ASSERT_TRUE(meet(""));
  ask(x_out);
  ASSERT_TRUE(until([&] { return x_received.size() == 1 && x_sent.size() == 1; }));
  EXPECT_EQ(x_received[0], Code::ok);
  EXPECT_TRUE(x_in == x_out);
}

// A peer that falls silent at any point of the first exchange, and then dies: UCX 1.13 ended
// whoever had a reply to it waiting.
TEST_P(UcxWireUp, APeerThatDiesInItHarmsNobody) {
  const auto go_on = [&](Millis time) {
    const Instant end = system_clock().now() + time;
    while (system_clock().now() < end)
      x_port->progress();
  };
  for (int turns = 0; turns < 20; ++turns) {
    if (!meet(std::to_string(turns).c_str())) continue;
    ask(x_out);
    go_on(Millis(40));
    x_peer->kill_and_reap();
    go_on(Millis(20));
    x_connection->close();
    EXPECT_TRUE(until([&] { return x_port->idle(); })) << "after " << turns << " turns";
    EXPECT_EQ(x_sent.size(), x_asked) << "after " << turns << " turns";
    x_connection.reset();
    x_asked = 0;
  }
  ASSERT_TRUE(meet(""));
  ask(x_out);
  EXPECT_TRUE(until([&] { return x_received.size() == 1 && x_sent.size() == 1; }));
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const Kind kind : {Kind::ucx, Kind::ucx_shm}) {
    for (const char* stage : {"asked", "receiving", "received", "answering"})
      all.push_back({kind, stage});
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Stages, UcxStage, testing::ValuesIn(cases()), [](const auto& each) {
  return std::string(kind_name(each.param.kind)) + "_" + each.param.stage;
});

INSTANTIATE_TEST_SUITE_P(Kinds, UcxWireUp,
                         testing::Values(Case{Kind::ucx, ""}, Case{Kind::ucx_shm, ""}),
                         [](const auto& each) { return std::string(kind_name(each.param.kind)); });

}  // namespace
}  // namespace tarn::fabric
