// What fabric.h promises, tried on every kind of port.
#include <gtest/gtest.h>
#include <poll.h>

#include <thread>

#include "common/base/units.h"
#include "tests/unit/fabric/conformance.h"

namespace tarn::fabric {
namespace {

TEST_P(Conformance, AHeaderArrivesAloneWithItsLink) {
  Sends sends;
  ASSERT_TRUE(x_a_to_b->send(bytes_of("hello"), {}, sends.done()).is_ok());
  EXPECT_EQ(sends.total(), 0) << "no callback from inside send()";
  ASSERT_TRUE(x_pair->until([&] { return !x_headers.empty() && sends.total() == 1; }));
  EXPECT_EQ(x_headers[0], "hello");
  EXPECT_EQ(x_sizes[0], 0u);
  EXPECT_TRUE(x_links[0] == 77 || x_links[0] == 0) << x_links[0];
  EXPECT_EQ(sends.ends[Code::ok], 1);
}

TEST_P(Conformance, PayloadsOfManySizesArriveWhole) {
  for (const size_t bytes : {size_t{1}, size_t{100}, size_t{4096}, 128 * kKiB - 1, 128 * kKiB,
                             128 * kKiB + 1, 300 * kKiB, 2 * kMiB}) {
    exchange(bytes, 1, 1);
  }
}

TEST_P(Conformance, ScatterListsOnBothSides) {
  exchange(1000, 3, 7);
  exchange(200 * kKiB + 13, 1, 5);
  exchange(200 * kKiB + 13, 4, 1);
  exchange(3 * kMiB + 1, 7, 13);
}

TEST_P(Conformance, EmptyPartsOfAListCountForNothing) {
  for (const size_t bytes : {size_t{500}, size_t{1} << 20}) {
    const std::vector<std::byte> out = pattern(bytes, 9);
    std::vector<std::byte> in(bytes);
    const Bytes parts[] = {{}, Bytes(out).first(100), {}, Bytes(out).subspan(100), {}};
    const MutableBytes all = in;
    x_into = {{}, all.first(bytes / 2), {}, all.subspan(bytes / 2)};
    x_received.clear();
    ASSERT_TRUE(x_a_to_b->send(bytes_of("x"), parts, {}).is_ok());
    ASSERT_TRUE(x_pair->until([&] { return x_received.size() == 1; }));
    EXPECT_TRUE(in == out);
  }
}

TEST_P(Conformance, AWholeBlock) {
  exchange(kBlockBytesMax, 1, 1);
}

TEST_P(Conformance, HeadersUpToTheLimitAndNoLonger) {
  std::string longest(kHeaderBytesMax, 'h');
  Sends sends;
  ASSERT_TRUE(x_a_to_b->send(bytes_of(longest), {}, sends.done()).is_ok());
  const std::vector<std::byte> big = pattern(256 * kKiB, 1);
  const Bytes part = big;
  ASSERT_TRUE(x_a_to_b->send(bytes_of(longest), {&part, 1}, sends.done()).is_ok());
  ASSERT_TRUE(x_pair->until([&] { return x_headers.size() == 2 && sends.total() == 2; }));
  EXPECT_EQ(x_headers[0], longest);
  EXPECT_EQ(x_headers[1], longest);
  longest.push_back('h');
  const Status refused = x_a_to_b->send(bytes_of(longest), {}, sends.done());
  EXPECT_EQ(refused.code(), Code::invalid_argument);
  EXPECT_EQ(sends.total(), 2);
}

TEST_P(Conformance, TheHeaderIsCopiedBeforeSendReturns) {
  std::string header = "first";
  const std::vector<std::byte> big = pattern(512 * kKiB, 2);
  const Bytes part = big;
  Sends sends;
  ASSERT_TRUE(x_a_to_b->send(bytes_of(header), {&part, 1}, sends.done()).is_ok());
  header = "other";
  ASSERT_TRUE(x_pair->until([&] { return sends.total() == 1 && x_headers.size() == 1; }));
  EXPECT_EQ(x_headers.at(0), "first");
}

TEST_P(Conformance, ARefusedPayloadEndsTheSend) {
  for (const size_t bytes : {size_t{1000}, size_t{2} << 20}) {
    const std::vector<std::byte> out = pattern(bytes, 3);
    const Bytes part = out;
    Sends sends;
    ASSERT_TRUE(x_a_to_b->send(bytes_of("no"), {&part, 1}, sends.done()).is_ok());
    EXPECT_TRUE(x_pair->until([&] { return sends.total() == 1; }));
  }
  exchange(1001, 1, 1);  // another size: over gRPC a refused one may still be on its way
  exchange(1 << 20, 1, 1);
}

TEST_P(Conformance, AThousandSmallMessages) {
  Sends sends;
  int refused = 0;
  for (int i = 0; i < 1000;) {
    const std::string header = "m" + std::to_string(i);
    const Status sent = x_a_to_b->send(bytes_of(header), {}, sends.done());
    if (sent.is_ok()) {
      ++i;
    } else {
      ASSERT_EQ(sent.code(), Code::overloaded);
      ++refused;
      ASSERT_TRUE(x_pair->until([&] { return x_pair->a().idle(); }));
    }
  }
  ASSERT_TRUE(x_pair->until([&] { return x_headers.size() == 1000 && sends.total() == 1000; }));
  std::sort(x_headers.begin(), x_headers.end());
  EXPECT_EQ(std::unique(x_headers.begin(), x_headers.end()), x_headers.end());
}

TEST_P(Conformance, AHandlerMayAnswer) {
  std::string answer;
  uint64_t answer_link = 99;
  const std::vector<std::byte> big = pattern(700 * kKiB, 4);
  std::vector<std::byte> got(big.size());
  bool received = false;
  Sends answers;
  x_pair->b().set_handler([&](uint64_t, Bytes header, Payload&) {
    const std::string text = text_of(header) + "!";
    const Bytes part = big;
    ASSERT_TRUE(x_b_to_a->send(bytes_of(text), {&part, 1}, answers.done()).is_ok());
  });
  x_pair->a().set_handler([&](uint64_t link, Bytes header, Payload& payload) {
    answer_link = link;
    answer = text_of(header);
    const MutableBytes into = got;
    payload.receive({&into, 1}, [&](Code code, uint32_t) { received = code == Code::ok; });
  });
  ASSERT_TRUE(x_a_to_b->send(bytes_of("ask"), {}, {}).is_ok());
  ASSERT_TRUE(x_pair->until([&] { return received && answers.total() == 1; }));
  EXPECT_EQ(answer, "ask!");
  EXPECT_TRUE(answer_link == 88 || answer_link == 0);
  EXPECT_TRUE(got == big);
}

TEST_P(Conformance, CloseEndsEveryReadOfTheSendersMemory) {
  std::vector<std::byte> out = pattern(4 << 20, 5);
  std::vector<std::byte> in(out.size());
  x_into = {MutableBytes(in)};
  const Bytes part = out;
  Sends sends;
  for (int i = 0; i < 8; ++i) {
    ASSERT_TRUE(x_a_to_b->send(bytes_of("x"), {&part, 1}, sends.done()).is_ok());
  }
  x_pair->b().progress();
  const int before = sends.total();
  x_a_to_b->close();
  x_a_to_b->close();
  EXPECT_EQ(sends.total(), before) << "no callback from inside close()";
  EXPECT_TRUE(x_pair->until([&] { return sends.total() == 8; }));
  EXPECT_EQ(sends.ends[Code::ok] + sends.ends[Code::cancelled], 8);
  EXPECT_EQ(x_a_to_b->send(bytes_of("y"), {}, sends.done()).code(), Code::unavailable);
  EXPECT_EQ(x_a_lost, 0) << "who closes is not told of a loss";
  // The receiver's side ends by its own close.
  x_b_to_a->close();
  EXPECT_TRUE(x_pair->until([&] { return x_pair->b().idle(); }));
}

TEST_P(Conformance, AConnectionMayGoBeforeItsCallbacks) {
  const std::vector<std::byte> out = pattern(4 << 20, 6);
  const Bytes part = out;
  Sends sends;
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(x_a_to_b->send(bytes_of("x"), {&part, 1}, sends.done()).is_ok());
  }
  x_a_to_b.reset();
  EXPECT_TRUE(x_pair->until([&] { return sends.total() == 4; }));
  EXPECT_TRUE(x_pair->until([&] { return x_pair->a().idle(); }));
  // The port goes on: a new connection works.
  x_b_to_a = x_pair->connect_b({});
  x_a_to_b = x_pair->connect_a({});
  x_headers.clear();
  exchange(1 << 20, 1, 1);
}

class ToldOfLoss : public Conformance {};

TEST_P(ToldOfLoss, ADyingPeerIsTold) {
  ASSERT_TRUE(x_a_to_b->send(bytes_of("x"), {}, {}).is_ok());
  ASSERT_TRUE(x_pair->until([&] { return !x_headers.empty(); }));
  x_b_to_a.reset();
  x_pair->until([&] { return x_pair->b().idle(); });
  x_pair->kill_b();
  EXPECT_TRUE(x_pair->until([&] { return x_a_lost == 1; }));
  EXPECT_EQ(x_a_to_b->send(bytes_of("y"), {}, {}).code(), Code::unavailable);
  for (int i = 0; i < 10; ++i)
    x_pair->a().progress();
  EXPECT_EQ(x_a_lost, 1);
}

// As a server does with a peer that sends nonsense.
TEST_P(Conformance, AHandlerMayCloseTheConnection) {
  std::vector<std::byte> in(1 << 20);
  std::vector<Code> codes;
  x_pair->b().set_handler([&](uint64_t, Bytes, Payload& payload) {
    const MutableBytes into = in;
    payload.receive({&into, 1}, [&](Code code, uint32_t) { codes.push_back(code); });
    x_b_to_a.reset();
  });
  const std::vector<std::byte> out = pattern(in.size(), 8);
  const Bytes part = out;
  Sends sends;
  ASSERT_TRUE(x_a_to_b->send(bytes_of("x"), {&part, 1}, sends.done()).is_ok());
  ASSERT_TRUE(x_pair->until([&] { return codes.size() == 1; }));
  EXPECT_TRUE(codes[0] == Code::ok || codes[0] == Code::cancelled) << static_cast<int>(codes[0]);
  EXPECT_TRUE(codes[0] != Code::ok || in == out);
  x_a_to_b->close();
  EXPECT_TRUE(x_pair->until([&] { return sends.total() == 1; }));
}

TEST_P(ToldOfLoss, ALostHandlerMayReplaceTheConnection) {
  std::unique_ptr<Connection> doomed;
  bool told = false;
  doomed = x_pair->connect_a({.peer_address = {}, .link = 1, .on_lost = [&](Status) {
                                doomed.reset();
                                told = true;
                              }});
  ASSERT_TRUE(doomed->send(bytes_of("x"), {}, {}).is_ok());
  ASSERT_TRUE(x_pair->until([&] { return !x_headers.empty(); }));
  x_b_to_a.reset();
  x_pair->until([&] { return x_pair->b().idle(); });
  x_pair->kill_b();
  EXPECT_TRUE(x_pair->until([&] { return told; }));
  EXPECT_EQ(doomed, nullptr);
}

// One side connected and went away again without the other: afterwards both find each other still.
TEST_P(Conformance, OneSidedConnectsDoNotMixUpThePair) {
  for (int round = 0; round < 4; ++round) {
    const bool by_b = round % 2 == 0;
    x_a_to_b.reset();
    x_b_to_a.reset();
    settle();
    {
      const auto alone = by_b ? x_pair->connect_b({}) : x_pair->connect_a({});
      // On a server this may find no stream yet.
      (void)alone->send(bytes_of("lonely"), {}, {});
      if (round % 3 != 0) settle();
    }
    settle();
    x_b_to_a = x_pair->connect_b({.peer_address = {}, .link = 77, .on_lost = {}});
    x_a_to_b = x_pair->connect_a({.peer_address = {}, .link = 88, .on_lost = {}});
    x_links.clear();
    exchange(300'000, 1, 1);
    ASSERT_FALSE(x_links.empty());
    EXPECT_EQ(x_links.back(), 77u) << "round " << round;
    uint64_t link_at_a = 0;
    x_pair->a().set_handler([&](uint64_t link, Bytes, Payload&) { link_at_a = link; });
    ASSERT_TRUE(x_b_to_a->send(bytes_of("back"), {}, {}).is_ok());
    EXPECT_TRUE(x_pair->until([&] { return link_at_a != 0; }));
    EXPECT_EQ(link_at_a, 88u) << "round " << round;
    x_pair->a().set_handler({});
  }
}

TEST_P(Conformance, MalformedAddressesAreRefused) {
  for (const std::string& address : {std::string(), std::string("\0\0\0\0\0\0\0\0", 8),
                                     std::string(300, 'z'), std::string("\xff\xfe")}) {
    const auto connection =
        x_pair->a().connect({.peer_address = address, .link = 0, .on_lost = {}});
    ASSERT_FALSE(connection.has_value());
    EXPECT_FALSE(connection.error().message().empty());
  }
}

TEST_P(Conformance, ASleepingPortIsWoken) {
  constexpr int kRounds = 50;
  x_pair->until([n = 0]() mutable { return ++n > 100; });
  std::atomic<int> seen = 0;
  int echoed = 0;
  x_pair->b().set_handler([&](uint64_t, Bytes header, Payload&) {
    ++seen;
    EXPECT_TRUE(x_b_to_a->send(header, {}, {}).is_ok());
  });
  x_pair->a().set_handler([&](uint64_t, Bytes, Payload&) { ++echoed; });
  const auto sleep_until = [](Port& port, const std::function<bool()>& over) {
    while (!over()) {
      if (port.progress() != 0 || !port.arm()) continue;
      pollfd entry{port.event_fd(), POLLIN, 0};
      ASSERT_GT(poll(&entry, 1, 10'000), 0) << "slept through a message";
    }
  };
  std::thread other(
      [&] { sleep_until(x_pair->b(), [&] { return seen == kRounds && x_pair->b().idle(); }); });
  for (int i = 0; i < kRounds; ++i) {
    ASSERT_TRUE(x_a_to_b->send(bytes_of("ping"), {}, {}).is_ok());
    sleep_until(x_pair->a(), [&] { return echoed > i; });
  }
  other.join();
  EXPECT_EQ(echoed, kRounds);
}

INSTANTIATE_TEST_SUITE_P(Fabrics, Conformance, testing::ValuesIn(all_pairs()),
                         [](const auto& each) { return each.param.name; });
INSTANTIATE_TEST_SUITE_P(Fabrics, ToldOfLoss, testing::ValuesIn(telling_pairs()),
                         [](const auto& each) { return each.param.name; });

}  // namespace
}  // namespace tarn::fabric
