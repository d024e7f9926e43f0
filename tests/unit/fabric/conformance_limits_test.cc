// What every kind of port does with much, with nothing, with nonsense, and with a peer that leaves.
#include <random>

#include "common/base/units.h"
#include "tests/unit/fabric/conformance.h"

namespace tarn::fabric {
namespace {

class AtLimits : public Conformance {
 protected:
  // Sends again when the queue is full, as callers do.
  void send(Connection& connection, const std::string& header, std::span<const Bytes> payload,
            Sends& sends) {
    Status sent;
    ASSERT_TRUE(x_pair->until([&] {
      sent = connection.send(bytes_of(header), payload, sends.done());
      return sent.code() != Code::overloaded;
    }));
    ASSERT_TRUE(sent.is_ok()) << sent.to_string();
  }

  // Both sides leave each other and meet again.
  void reconnect() {
    x_a_to_b.reset();
    x_b_to_a.reset();
    settle();
    x_b_to_a = x_pair->connect_b({.peer_address = {}, .link = 77, .on_lost = {}});
    x_a_to_b = x_pair->connect_a({.peer_address = {}, .link = 88, .on_lost = {}});
  }
};

TEST_P(AtLimits, ManySmallOnesAndOneHuge) {
  constexpr size_t kSmall = 300;
  constexpr size_t kHugeBytes = 24 * kMiB;
  const std::vector<std::byte> huge = pattern(kHugeBytes, 1);
  const std::vector<std::byte> small = pattern(64, 2);
  std::vector<std::byte> huge_in(kHugeBytes);
  std::vector<std::array<std::byte, 64>> small_in(kSmall);
  std::map<std::string, int> arrived;
  size_t received = 0;
  x_pair->b().set_handler([&](uint64_t, Bytes header, Payload& payload) {
    const std::string name = text_of(header);
    ++arrived[name];
    const MutableBytes into =
        name == "huge" ? MutableBytes(huge_in) : MutableBytes(small_in.at(std::stoul(name)));
    ASSERT_EQ(payload.size(), into.size());
    payload.receive({&into, 1}, [&](Code code, uint32_t) { received += code == Code::ok ? 1 : 0; });
  });
  const Bytes huge_part = huge, small_part = small;
  Sends sends;
  for (size_t i = 0; i < kSmall; ++i) {
    if (i == kSmall / 2) send(*x_a_to_b, "huge", {&huge_part, 1}, sends);
    send(*x_a_to_b, std::to_string(i), {&small_part, 1}, sends);
  }
  ASSERT_TRUE(x_pair->until([&] { return received == kSmall + 1 && sends.total() == kSmall + 1; }));
  EXPECT_EQ(arrived.size(), kSmall + 1) << "each once";
  EXPECT_EQ(sends.ends[Code::ok], static_cast<int>(kSmall + 1));
  EXPECT_TRUE(huge_in == huge);
  for (const auto& each : small_in)
    ASSERT_TRUE(std::equal(each.begin(), each.end(), small.begin()));
}

TEST_P(AtLimits, NothingAtAllIsAMessage) {
  int arrived = 0;
  Code code = Code::internal;
  uint32_t crc = 1;
  x_pair->b().set_handler([&](uint64_t, Bytes header, Payload& payload) {
    ++arrived;
    EXPECT_TRUE(header.empty());
    EXPECT_EQ(payload.size(), 0u);
    code = Code::internal;
    payload.receive({}, [&](Code ended, uint32_t of) { code = ended, crc = of; });
    EXPECT_EQ(code, Code::internal) << "no callback from inside receive()";
  });
  Sends sends;
  send(*x_a_to_b, "", {}, sends);
  ASSERT_TRUE(x_pair->until([&] { return code != Code::internal && sends.total() == 1; }));
  EXPECT_EQ(code, Code::ok);
  EXPECT_EQ(crc, 0u) << "of no bytes";
  const Bytes empty_parts[] = {{}, {}, {}};
  send(*x_a_to_b, "", empty_parts, sends);
  ASSERT_TRUE(x_pair->until([&] { return arrived == 2 && sends.total() == 2; }));
  ASSERT_TRUE(x_pair->until([&] { return code == Code::ok; }));
  EXPECT_EQ(sends.ends[Code::ok], 2);
}

// The longest scatter lists that a link takes, eager and by rendezvous.
TEST_P(AtLimits, ThousandsOfPartsOnBothSides) {
  exchange(4096 * 16, 4096, 1);
  exchange(4096 * 16, 1, 4096);
  exchange(4096 * 64, 4096, 4096);
  exchange(4096 * 64 + 4095, 1024, 4095);
}

TEST_P(AtLimits, BothDirectionsAtOnce) {
  constexpr int kEach = 12;
  const std::vector<std::byte> out = pattern(kMiB, 3);
  struct Side {
    std::vector<std::vector<std::byte>> in;
    int received = 0;
    Sends sends;
  };
  Side sides[2];
  const auto take = [&](Side& side) {
    side.in.reserve(kEach);
    return [&side](uint64_t, Bytes, Payload& payload) {
      const MutableBytes into = side.in.emplace_back(payload.size());
      payload.receive({&into, 1}, [&side](Code code, uint32_t) {
        EXPECT_EQ(code, Code::ok);
        ++side.received;
      });
    };
  };
  x_pair->a().set_handler(take(sides[0]));
  x_pair->b().set_handler(take(sides[1]));
  const Bytes part = out;
  // On a server the client's stream comes with its first message.
  send(*x_a_to_b, "first", {&part, 1}, sides[0].sends);
  for (int i = 0; i < kEach; ++i) {
    if (i > 0) send(*x_a_to_b, "there", {&part, 1}, sides[0].sends);
    send(*x_b_to_a, "back", {&part, 1}, sides[1].sends);
  }
  ASSERT_TRUE(
      x_pair->until([&] { return sides[0].received == kEach && sides[1].received == kEach; }));
  for (const Side& side : sides) {
    for (const auto& in : side.in)
      ASSERT_TRUE(in == out);
  }
  ASSERT_TRUE(x_pair->until(
      [&] { return sides[0].sends.total() == kEach && sides[1].sends.total() == kEach; }));
}

TEST_P(AtLimits, TheyMeetAgainWhateverWasUnderWay) {
  const std::vector<std::byte> out = pattern(2 * kMiB, 4);
  const Bytes part = out;
  for (int round = 0; round < 8; ++round) {
    SCOPED_TRACE(round);
    Sends sends;
    x_into.clear();
    for (int i = 0; i < round % 4; ++i)
      send(*x_a_to_b, "unread", {&part, 1}, sends);
    if (round % 2 == 0) x_pair->b().progress();
    reconnect();
    ASSERT_TRUE(x_pair->until([&] { return sends.total() == round % 4; }));
    exchange(300'000, 2, 3);
    exchange(100, 1, 1);
  }
}

// Each callback sends the next one: a conversation without a turn of the thread in between.
TEST_P(AtLimits, ACallbackMaySend) {
  int left = 200;
  SendDone next = [&](Code code) {
    EXPECT_EQ(code, Code::ok);
    if (left == 0) return;
    --left;
    EXPECT_TRUE(x_a_to_b->send(bytes_of("more"), {}, next).is_ok());
  };
  ASSERT_TRUE(x_a_to_b->send(bytes_of("more"), {}, next).is_ok());
  ASSERT_TRUE(x_pair->until([&] { return left == 0 && x_headers.size() == 201; }));
  ASSERT_TRUE(x_pair->until([&] { return x_pair->a().idle(); }));
}

TEST_P(AtLimits, ACallbackMayClose) {
  const std::vector<std::byte> out = pattern(kMiB, 5);
  const Bytes part = out;
  int ends = 0;
  // The first end takes the connection away under the others.
  for (int i = 0; i < 6; ++i) {
    const Status sent = x_a_to_b->send(bytes_of("x"), {&part, 1}, [&](Code) {
      ++ends;
      x_a_to_b.reset();
    });
    ASSERT_TRUE(sent.is_ok());
  }
  ASSERT_TRUE(x_pair->until([&] { return ends == 6 && x_pair->a().idle(); }));
  EXPECT_EQ(x_a_lost, 0);
}

TEST_P(AtLimits, APortWithoutAHandlerTakesNothingAndHoldsNobodyUp) {
  x_pair->b().set_handler({});
  const std::vector<std::byte> out = pattern(kMiB, 6);
  const Bytes part = out;
  Sends sends;
  for (int i = 0; i < 4; ++i)
    send(*x_a_to_b, "x", {&part, 1}, sends);
  ASSERT_TRUE(x_pair->until([&] { return sends.total() == 4; }));
  int arrived = 0;
  // Over gRPC a send ends when gRPC has taken it: earlier ones may still be on their way.
  x_pair->b().set_handler(
      [&](uint64_t, Bytes header, Payload&) { arrived += text_of(header) == "y" ? 1 : 0; });
  send(*x_a_to_b, "y", {}, sends);
  ASSERT_TRUE(x_pair->until([&] { return arrived == 1 && sends.total() == 5; }));
}

// Whatever a damaged address leads to, it is not this peer; mostly nowhere, and words say so.
TEST_P(AtLimits, ADamagedAddressLeadsNowhere) {
  const std::string good = x_pair->b().address();
  std::mt19937_64 random(9);
  std::vector<std::string> bad = {good + good, good + "x", good + std::string(70'000, 'y'),
                                  std::string(1, '\0'), x_pair->a().address() + good};
  for (size_t i = 0; i < 150; ++i) {
    std::string flipped = good;
    flipped[random() % flipped.size()] ^= static_cast<char>(1u << random() % 8);
    bad.push_back(flipped);
    bad.push_back(good.substr(0, random() % good.size()));
    std::string noise(random() % 300, '\0');
    for (char& each : noise)
      each = static_cast<char>(random());
    bad.push_back(noise);
  }
  x_a_to_b.reset();
  int connected = 0;
  for (const std::string& address : bad) {
    if (address == good) continue;
    auto stray = x_pair->a().connect({.peer_address = address, .link = 0, .on_lost = {}});
    if (stray.has_value()) {
      ++connected;
      (void)stray.value()->send(bytes_of("stray"), {}, {});
      continue;
    }
    const Code code = stray.error().code();
    EXPECT_TRUE(code == Code::invalid_argument || code == Code::unavailable)
        << stray.error().to_string();
    EXPECT_GT(stray.error().message().size(), 10u);
  }
  // The number of a gRPC lane is one character: another one is another lane.
  if (x_pair->a().kind() != Kind::grpc) {
    EXPECT_EQ(connected, 0);
  }
  settle();
  EXPECT_TRUE(x_headers.empty());
  // And the port is none the worse.
  reconnect();
  exchange(200'000, 1, 1);
}

struct Stage {
  const char* name;
  int turns_of_b;
  size_t bytes;
};

// Shared memory has the same with a process of its own, in ucx_stage_slow_test.cc: UCX 1.13 leaks
// some bytes for each segment that it comes too late for.
class AtStages : public AtLimits {};

// The peer goes before it has looked, and in the middle of what it receives.
TEST_P(AtStages, APeerThatGoesAtAnyStageEndsEverySend) {
  constexpr Stage stages[] = {{"has not looked", 0, 4 * kMiB},
                              {"has not looked at small ones", 0, 100},
                              {"is receiving", 3, 4 * kMiB}};
  for (const Stage& stage : stages) {
    SCOPED_TRACE(stage.name);
    TearDown();
    SetUp();
    x_a_lost = 0;
    const std::vector<std::byte> out = pattern(stage.bytes, 7);
    std::vector<std::byte> in(stage.bytes);
    x_into = {MutableBytes(in)};
    const Bytes part = out;
    Sends sends;
    for (int i = 0; i < 3; ++i)
      send(*x_a_to_b, "x", {&part, 1}, sends);
    for (int i = 0; i < stage.turns_of_b; ++i)
      x_pair->b().progress();
    x_b_to_a.reset();
    x_pair->kill_b();
    EXPECT_TRUE(x_pair->until([&] { return sends.total() == 3; }));
    EXPECT_TRUE(x_pair->until([&] { return x_pair->a().idle(); }));
    EXPECT_TRUE(x_pair->until([&] { return x_a_lost == 1; }));
    EXPECT_EQ(x_a_to_b->send(bytes_of("y"), {}, {}).code(), Code::unavailable);
  }
}

INSTANTIATE_TEST_SUITE_P(Fabrics, AtLimits, testing::ValuesIn(all_pairs()),
                         [](const auto& each) { return each.param.name; });
INSTANTIATE_TEST_SUITE_P(Fabrics, AtStages, testing::ValuesIn(telling_pairs()),
                         [](const auto& each) { return each.param.name; });

}  // namespace
}  // namespace tarn::fabric
