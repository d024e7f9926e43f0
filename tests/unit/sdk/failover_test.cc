#include <gmock/gmock.h>

#include <chrono>

#include "tests/unit/sdk/kv_fixture.h"

namespace tarn::sdk {
namespace {

using std::chrono::milliseconds;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

int64_t ms_since(Instant begin) {
  return std::chrono::duration_cast<Millis>(system_clock().now() - begin).count();
}

CallOptions within(uint32_t ms) {
  CallOptions options;
  options.timeout_ms = ms;
  return options;
}

TEST_F(KvTest, APutWaitsForTheConfigThatNamesAnotherPrimary) {
  start(2);
  Chain chain("a", 12);
  ASSERT_THAT(put(chain), ElementsAre(Outcome::ok));
  cluster->server(0).stop();
  Chain next("b", 12);
  Transfer transfer = space->put_kv(next.writes());
  EXPECT_FALSE(transfer.wait(100)) << "some of them belong to the server that died";
  cluster->declare_down(0);
  EXPECT_THAT(outcomes(transfer), ElementsAre(Outcome::ok));
  EXPECT_THAT(get(next), ElementsAre(Outcome::ok));
  EXPECT_TRUE(next.is_whole());
}

TEST_F(KvTest, BlocksOfADeadServerAreMissesSoon) {
  start(2);
  Chain chain("a", 40);
  ASSERT_THAT(put(chain), ElementsAre(Outcome::ok));
  ASSERT_GT(cluster->server(0).block_count(), 0u);
  cluster->server(0).stop();
  const Instant begin = system_clock().now();
  Transfer transfer = space->get_kv(chain.reads());
  ASSERT_TRUE(transfer.wait());
  EXPECT_LT(ms_since(begin), 3000);
  for (size_t i = 0; i < 40; ++i) {
    const BlockOutcome& outcome = transfer.outcomes()[i];
    const bool is_there = cluster->server(1).has(chain.hashes[i]);
    EXPECT_EQ(outcome.outcome, is_there ? Outcome::ok : Outcome::miss) << outcome.message;
  }
}

TEST_F(KvTest, AServerThatHangsCostsAGetNoMoreThanItsShare) {
  start(2);
  Chain chain("a", 20);
  ASSERT_THAT(put(chain), ElementsAre(Outcome::ok));
  ASSERT_GT(cluster->server(0).block_count(), 0u);
  cluster->server(0).hang(true);
  const Instant begin = system_clock().now();
  Transfer transfer = space->get_kv(chain.reads(), within(1000));
  ASSERT_TRUE(transfer.wait());
  EXPECT_LT(ms_since(begin), 990) << "half of the time for the first owner";
  for (size_t i = 0; i < 20; ++i) {
    if (cluster->server(1).has(chain.hashes[i])) {
      EXPECT_EQ(transfer.outcomes()[i].outcome, Outcome::ok);
    } else {
      EXPECT_EQ(transfer.outcomes()[i].outcome, Outcome::miss);
    }
  }
  cluster->server(0).hang(false);
  EXPECT_THAT(get(chain), ElementsAre(Outcome::ok));
}

TEST_F(KvTest, ALostConnectionIsMadeAgainWithoutAMiss) {
  start(2);
  Chain chain("a", 20);
  ASSERT_THAT(put(chain), ElementsAre(Outcome::ok));
  fault::arm("link.send", {fault::Action::fail, 0, 1, 0});
  EXPECT_THAT(get(chain), ElementsAre(Outcome::ok));
  EXPECT_EQ(cluster->server(0).connects() + cluster->server(1).connects(), 3u);
}

TEST_F(KvTest, NothingOutlivesItsDeadline) {
  start(1);
  Chain chain("a", 3, 300'000);
  ASSERT_THAT(put(chain), ElementsAre(Outcome::ok));
  cluster->server(0).hang(true);
  Chain other("b", 3, 300'000);
  const Instant begin = system_clock().now();
  Transfer put = space->put_kv(other.writes(), within(200));
  Transfer get = space->get_kv(chain.reads(), within(200));
  EXPECT_FALSE(space->exists(chain.hashes, within(200)));
  EXPECT_TRUE(put.wait());
  EXPECT_TRUE(get.wait());
  EXPECT_LT(ms_since(begin), 900);
  for (const BlockOutcome& outcome : put.outcomes()) {
    EXPECT_TRUE(outcome.outcome == Outcome::deadline_exceeded ||
                outcome.outcome == Outcome::unavailable)
        << outcome_name(outcome.outcome);
  }
  cluster->server(0).hang(false);
}

TEST_F(KvTest, ATransferIsCancelled) {
  start(1);
  Chain chain("a", 5);
  ASSERT_THAT(put(chain), ElementsAre(Outcome::ok));
  cluster->server(0).hang(true);
  const Instant begin = system_clock().now();
  Transfer get = space->get_kv(chain.reads());
  get.cancel();
  EXPECT_THAT(outcomes(get), ElementsAre(Outcome::cancelled));
  EXPECT_FALSE(get.all_ok());
  {
    Chain other("b", 2);
    const Transfer dropped = space->put_kv(other.writes());
  }
  EXPECT_LT(ms_since(begin), 2000) << "the end of a Transfer cancels it";
  cluster->server(0).hang(false);
}

TEST_F(KvTest, ServersThatAreBusyAreAskedAgain) {
  start(1);
  Chain chain("a", 4);
  cluster->server(0).refuse(Code::overloaded, 2);
  EXPECT_THAT(put(chain), ElementsAre(Outcome::ok));
  cluster->server(0).refuse(Code::stale_epoch, 1);
  Chain more("b", 1);
  EXPECT_THAT(put(more), ElementsAre(Outcome::ok));
  cluster->server(0).refuse(Code::overloaded, 1);
  EXPECT_THAT(get(chain), ElementsAre(Outcome::ok));
  cluster->server(0).refuse(Code::permission_denied, 1);
  Chain last("c", 1);
  Transfer refused = space->put_kv(last.writes());
  EXPECT_THAT(outcomes(refused), ElementsAre(Outcome::permission_denied));
  EXPECT_EQ(refused.outcomes()[0].message, "as the test says");
}

TEST_F(KvTest, ATicketThatIsNotTakenAnyMoreIsRenewed) {
  start(1);
  Chain chain("a", 1);
  ASSERT_THAT(put(chain), ElementsAre(Outcome::ok));
  EXPECT_EQ(cluster->state().tickets, 1u);
  cluster->server(0).refuse(Code::unauthenticated, 1);
  Chain more("b", 1);
  EXPECT_THAT(put(more), ElementsAre(Outcome::ok));
  EXPECT_EQ(cluster->state().tickets, 2u);
  EXPECT_EQ(cluster->server(0).connects(), 2u);
}

TEST_F(KvTest, AServerThatCannotBeReachedIsTriedAgain) {
  start(1);
  fault::arm("sdk.connect", {fault::Action::fail, 0, 2, 0});
  Chain chain("a", 2);
  EXPECT_THAT(put(chain), ElementsAre(Outcome::ok));
  EXPECT_EQ(fault::hits("sdk.connect"), 3u);
  fault::arm("sdk.put_before_send", {fault::Action::fail, 0, 3, 0});
  Chain more("b", 4);
  EXPECT_THAT(put(more), ElementsAre(Outcome::ok));
}

TEST_F(KvTest, AGetFromUnreachableServersSaysSoEarly) {
  start(1);
  Chain chain("a", 2);
  ASSERT_THAT(put(chain), ElementsAre(Outcome::ok));
  cluster->server(0).stop();
  const Instant begin = system_clock().now();
  Transfer get = space->get_kv(chain.reads());
  EXPECT_THAT(outcomes(get), ElementsAre(Outcome::unavailable));
  EXPECT_LT(ms_since(begin), 4000) << "and not at the deadline";
  EXPECT_THAT(get.outcomes()[0].message, HasSubstr("owner"));
  const auto connections = client->connections();
  ASSERT_EQ(connections.size(), 1u);
  EXPECT_EQ(connections[0].server, "s1");
  EXPECT_NE(connections[0].note, "");
}

TEST_F(KvTest, RoutersAreTriedInTurn) {
  cluster = std::make_unique<FakeCluster>(1);
  cluster->add_router();
  client.emplace(Client::connect(cluster->options()).value());
  cluster->router(0).stop();
  space.emplace(open());
  Chain chain("a", 3);
  EXPECT_THAT(put(chain), ElementsAre(Outcome::ok));
  EXPECT_EQ(space->match(chain.hashes)->matched, 0u);
  fault::arm("sdk.router_call", {fault::Action::fail, 0, 3, 0});
  EXPECT_TRUE(space->match(chain.hashes));
  fault::arm("sdk.router_call", {fault::Action::fail, 0, 0, 0});
  const auto matched = space->match(chain.hashes, within(50));
  ASSERT_FALSE(matched);
  EXPECT_EQ(matched.error().outcome, Outcome::unavailable);
}

TEST_F(KvTest, WithoutARouterNothingConnects) {
  cluster = std::make_unique<FakeCluster>(1);
  ClientOptions options = cluster->options();
  options.timeout_ms = 100;
  cluster->router(0).stop();
  const auto connected = Client::connect(options);
  ASSERT_FALSE(connected);
  EXPECT_TRUE(connected.error().outcome == Outcome::unavailable ||
              connected.error().outcome == Outcome::deadline_exceeded);
}

}  // namespace
}  // namespace tarn::sdk
