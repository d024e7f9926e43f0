// Routers that are dead, hang, come back or know nothing new: who is asked, and what goes on
// without them.
#include <gmock/gmock.h>

#include <functional>
#include <thread>

#include "sdk/cpp/src/core.h"
#include "sdk/cpp/src/rpc_channels.h"
#include "tests/unit/sdk/kv_fixture.h"

namespace tarn::sdk {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::Each;
using ::testing::ElementsAre;

CallOptions within(uint32_t ms) {
  CallOptions options;
  options.timeout_ms = ms;
  return options;
}

class RoutersTest : public KvTest {
 protected:
  void make(size_t routers, size_t servers = 1) {
    cluster = std::make_unique<FakeCluster>(servers);
    while (--routers > 0)
      cluster->add_router();
  }
  void connect(const std::string& endpoints = {}) {
    ClientOptions options = cluster->options();
    if (!endpoints.empty()) options.endpoint = endpoints;
    auto connected = Client::connect(options);
    ASSERT_TRUE(connected) << connected.error().message;
    client.emplace(connected.value());
    space.emplace(open());
  }
  std::shared_ptr<Core> core() { return Core::open(cluster->options()).value(); }
  uint32_t tickets() {
    return of_state([](ClusterState& s) { return s.tickets; });
  }
};

// An endpoint of nobody: a port that was free a moment ago.
std::string dead_endpoint() {
  FakeCluster gone(1);
  return gone.options().endpoint;
}

TEST_F(RoutersTest, DeadEntriesOfTheListCostLittle) {
  make(1);
  const std::string alive = cluster->options().endpoint;
  const std::string dead = dead_endpoint();
  for (const std::string& list :
       {dead + "," + alive, alive + "," + dead, dead + "," + dead + "," + dead + "," + alive,
        "plain://localhost:1," + alive}) {
    const Instant begin = system_clock().now();
    connect(list);
    EXPECT_TRUE(space->match(std::vector<BlockHash>{"a"})) << list;
    EXPECT_LT(system_clock().now() - begin, seconds(3)) << list;
  }
}

TEST_F(RoutersTest, AListOfTheDeadEndsByTheDeadlineAndSaysUnavailable) {
  make(1);
  ClientOptions options = cluster->options();
  options.endpoint = dead_endpoint() + "," + dead_endpoint();
  options.timeout_ms = 200;
  const Instant begin = system_clock().now();
  const auto connected = Client::connect(options);
  ASSERT_FALSE(connected);
  EXPECT_EQ(connected.error().outcome, Outcome::unavailable) << connected.error().message;
  EXPECT_LT(system_clock().now() - begin, milliseconds(1500));
}

TEST_F(RoutersTest, AHungRouterIsLeftForAnother) {
  make(2);
  connect();
  cluster->router(0).hang(true);
  const Instant begin = system_clock().now();
  const std::vector<BlockHash> hashes{"a"};
  EXPECT_TRUE(space->match(hashes, within(5000)));
  EXPECT_LT(system_clock().now() - begin, kRouterAttempt + seconds(1));
  const Instant again = system_clock().now();
  EXPECT_TRUE(space->match(hashes, within(5000)));
  EXPECT_LT(system_clock().now() - again, milliseconds(500)) << "nobody asks the hung one first";
  cluster->router(0).hang(false);
}

TEST_F(RoutersTest, ARouterThatComesLateIsFound) {
  make(2);
  const std::string both = cluster->options().endpoint;
  cluster->router(0).stop();
  connect(both);
  cluster->router(1).stop();
  EXPECT_FALSE(space->match(std::vector<BlockHash>{"a"}, within(100)));
}

TEST_F(RoutersTest, WithAllRoutersDeadGetsAndPutsGoOn) {
  make(2, 2);
  connect();
  Chain chain("a", 12);
  ASSERT_THAT(put(chain), ElementsAre(Outcome::ok));
  cluster->router(0).stop();
  cluster->router(1).stop();
  for (int round = 0; round < 3; ++round)
    EXPECT_THAT(get(chain), ElementsAre(Outcome::ok));
  EXPECT_TRUE(chain.is_whole());
  Chain next("b", 4);
  EXPECT_THAT(put(next), ElementsAre(Outcome::ok));
  EXPECT_TRUE(space->exists(chain.hashes));
  const auto matched = space->match(chain.hashes, within(100));
  ASSERT_FALSE(matched);
  EXPECT_EQ(matched.error().outcome, Outcome::unavailable);
  EXPECT_FALSE(space->create_session("s", 0, within(100)));
}

TEST_F(RoutersTest, WithAllRoutersDeadALostConnectionIsMadeAnewUnderTheOldTicket) {
  make(1, 1);
  connect();
  Chain chain("a", 3);
  ASSERT_THAT(put(chain), ElementsAre(Outcome::ok));
  cluster->router(0).stop();
  fault::arm("link.send", {fault::Action::fail, 0, 1, 0});
  EXPECT_THAT(get(chain, within(5000)), ElementsAre(Outcome::ok));
  EXPECT_EQ(cluster->server(0).connects(), 2u);
  EXPECT_EQ(cluster->server(0).last_ticket(), "ticket 1");
}

TEST_F(RoutersTest, ATicketIsRenewedBeforeItEndsAndNoCallNotices) {
  make(1, 1);
  of_state([](ClusterState& s) { return s.ticket_life_ms = 2000; });
  connect();
  Chain chain("a", 2);
  ASSERT_THAT(put(chain), ElementsAre(Outcome::ok));
  ASSERT_EQ(cluster->server(0).last_ticket(), "ticket 1");
  const Instant until = system_clock().now() + seconds(10);
  while (cluster->server(0).last_ticket() == "ticket 1" && system_clock().now() < until) {
    ASSERT_THAT(get(chain), ElementsAre(Outcome::ok));
    std::this_thread::yield();
  }
  EXPECT_NE(cluster->server(0).last_ticket(), "ticket 1");
  EXPECT_GE(tickets(), 2u);
  EXPECT_THAT(get(chain), ElementsAre(Outcome::ok));
  EXPECT_GE(cluster->server(0).disconnects(), 1u) << "the former connection was given back";
}

TEST_F(RoutersTest, WithoutANewTicketTheOldConnectionIsKept) {
  make(1, 1);
  of_state([](ClusterState& s) { return s.ticket_life_ms = 600; });
  connect();
  Chain chain("a", 2);
  ASSERT_THAT(put(chain), ElementsAre(Outcome::ok));
  of_state([](ClusterState& s) { return s.issues_tickets = false; });
  const Instant until = system_clock().now() + milliseconds(900);
  while (system_clock().now() < until)
    ASSERT_THAT(get(chain), ElementsAre(Outcome::ok));
  EXPECT_EQ(cluster->server(0).connects(), 1u) << "what works is not given up for nothing";
}

TEST_F(RoutersTest, ANewEpochIsKnownAtOnceAndWithoutAFailure) {
  make(1, 2);
  const auto watching = core();
  ASSERT_EQ(watching->cluster().epoch(), Epoch{1});
  const uint32_t asked = of_state([](ClusterState& s) { return s.configs; });
  for (uint64_t epoch = 2; epoch < 6; ++epoch) {
    cluster->next_epoch();
    EXPECT_TRUE(becomes([&] { return watching->cluster().epoch() == Epoch{epoch}; })) << epoch;
  }
  EXPECT_EQ(of_state([](ClusterState& s) { return s.configs; }), asked) << "nobody asked";
}

TEST_F(RoutersTest, TheWatchGoesToTheNextRouter) {
  make(3);
  const auto watching = core();
  ASSERT_TRUE(becomes([&] { return of_state([](ClusterState& s) { return s.watches; }) >= 1; }));
  for (size_t i = 0; i < 2; ++i) {
    cluster->router(i).stop();
    cluster->next_epoch();
    EXPECT_TRUE(becomes([&] { return watching->cluster().epoch() == Epoch{i + 2}; })) << i;
  }
}

TEST_F(RoutersTest, TheWatchComesBackAfterAnOutageOfAllRouters) {
  make(1);
  const auto watching = core();
  fault::arm("sdk.watch_config", {fault::Action::fail, 0, 4, 0});
  ASSERT_TRUE(becomes([&] { return of_state([](ClusterState& s) { return s.watches; }) >= 1; }));
  cluster->next_epoch();
  EXPECT_TRUE(becomes([&] { return watching->cluster().epoch() == Epoch{2}; }));
}

TEST_F(RoutersTest, RoutersWithoutAWatchStillGiveTheConfigAfterAFailure) {
  make(1, 2);
  of_state([](ClusterState& s) { return s.has_watch = false; });
  connect();
  Chain chain("a", 12);
  ASSERT_THAT(put(chain), ElementsAre(Outcome::ok));
  cluster->server(0).stop();
  Chain next("b", 12);
  Transfer transfer = space->put_kv(next.writes());
  EXPECT_FALSE(transfer.wait(50));
  cluster->declare_down(0);
  EXPECT_THAT(outcomes(transfer), ElementsAre(Outcome::ok));
}

TEST_F(RoutersTest, AnOlderEpochIsNotTaken) {
  make(1);
  const auto watching = core();
  cluster->next_epoch();
  ASSERT_TRUE(becomes([&] { return watching->cluster().epoch() == Epoch{2}; }));
  of_state([](ClusterState& s) { return s.config.epoch = Epoch{1}; });
  fault::arm("sdk.watch_config", {fault::Action::fail, 0, 2, 0});
  cluster->router(0).hang(true);
  cluster->router(0).hang(false);
  EXPECT_EQ(watching->cluster().epoch(), Epoch{2});
}

TEST_F(RoutersTest, AStreamThatIsOldMovesOnWithoutAskingForWhatIsKnown) {
  make(1);
  const auto source = CredentialSource::open(cluster->options()).value();
  auto channels = RouterChannels::open(source).value();
  std::atomic<int> taken{0};
  std::atomic<uint64_t> epoch{0};
  ConfigWatch::Options options;
  options.channels = channels.get();
  options.known_epoch = [&] { return Epoch{epoch.load()}; };
  options.on_config = [&](ring::ClusterConfig config) {
    epoch = config.epoch.value;
    ++taken;
  };
  options.stream_most = milliseconds(20);
  ConfigWatch watch(std::move(options));
  watch.start();
  EXPECT_TRUE(becomes([&] { return of_state([](ClusterState& s) { return s.watches; }) >= 5; }));
  EXPECT_EQ(taken, 1) << "each stream named the epoch that was known";
  cluster->next_epoch();
  EXPECT_TRUE(becomes([&] { return taken == 2; }));
  const Instant begin = system_clock().now();
  watch.stop();
  watch.stop();
  EXPECT_LT(system_clock().now() - begin, seconds(1));
}

TEST_F(RoutersTest, AClientClosesAtOnceWhileItsWatchWaits) {
  make(1);
  for (const bool hangs : {false, true}) {
    auto watching = core();
    cluster->router(0).hang(hangs);
    const Instant begin = system_clock().now();
    watching.reset();
    EXPECT_LT(system_clock().now() - begin, seconds(1)) << hangs;
    cluster->router(0).hang(false);
  }
}

TEST_F(RoutersTest, AServerThatRefusesToConnectIsAskedAgainOrNot) {
  for (const Code code : {Code::unavailable, Code::overloaded, Code::unauthenticated}) {
    make(1, 1);
    connect();
    cluster->server(0).refuse_connects(code, 2);
    Chain chain("a", 2);
    EXPECT_THAT(put(chain), ElementsAre(Outcome::ok)) << code_name(code);
    EXPECT_EQ(tickets(), code == Code::unauthenticated ? 3u : 1u) << "a refused one is renewed";
  }
}

// Each stage of a get ends it by its deadline.
TEST_F(RoutersTest, EveryStageOfAGetEndsByItsDeadline) {
  const struct {
    const char* stage;
    std::function<void()> hang;
  } stages[] = {
      {"locate, ticket and connect", [&] { cluster->router(0).hang(true); }},
      {"ticket", [&] { of_state([](ClusterState& s) { return s.issues_tickets = false; }); }},
      {"connect", [&] { cluster->server(0).hang(true); }},
  };
  for (const auto& each : stages) {
    make(1, 1);
    connect();
    each.hang();
    Chain chain("a", 2);
    const Instant begin = system_clock().now();
    Transfer transfer = space->get_kv(chain.reads(), within(300));
    ASSERT_TRUE(transfer.wait()) << each.stage;
    EXPECT_LT(system_clock().now() - begin, milliseconds(1500)) << each.stage;
    for (const BlockOutcome& outcome : transfer.outcomes()) {
      EXPECT_TRUE(outcome.outcome == Outcome::deadline_exceeded ||
                  outcome.outcome == Outcome::unavailable)
          << each.stage << ": " << outcome_name(outcome.outcome);
    }
    cluster->router(0).hang(false);
    cluster->server(0).hang(false);
    client.reset();
    space.reset();
  }
}

}  // namespace
}  // namespace tarn::sdk
