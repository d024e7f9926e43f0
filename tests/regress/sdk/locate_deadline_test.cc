// A transfer whose blocks no client had placed waited for its Locate in a queue that knew no
// deadline: with routers that hung and forty gets ahead of it, one of 200 ms was begun after ten
// seconds. Its wait() failed with outcomes that were not settled, a cancel was not heard, and its
// destructor blocked until its turn had come.
#include <gmock/gmock.h>

#include <algorithm>
#include <deque>
#include <optional>

#include "sdk/cpp/src/batch.h"
#include "tests/unit/sdk/kv_fixture.h"

namespace tarn::sdk {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;

// More than the threads that ask routers work off while one of these tests runs.
constexpr size_t kAhead = 40;
constexpr Nanos kSlack = seconds(1);

CallOptions within(uint32_t ms) {
  CallOptions options;
  options.timeout_ms = ms;
  return options;
}

class LocateDeadline : public KvTest {
 protected:
  void SetUp() override {
    start(1);
    cluster->router(0).hang(true);
  }
  void TearDown() override {
    cluster->router(0).hang(false);
    KvTest::TearDown();
  }
  // Gets of blocks that nobody knows: the first ones ask, the others wait to.
  void stand_ahead(uint32_t timeout_ms = 30'000) {
    for (size_t i = 0; i < kAhead; ++i) {
      Chain& unknown = chains.emplace_back("ahead-" + std::to_string(i), 1, 64);
      ahead.push_back(space->get_kv(unknown.reads(), within(timeout_ms)));
    }
  }
  // Items whose place only a router knows: those of a put go on from a block that it has not seen.
  Transfer begin(bool is_put, Chain& chain, CallOptions options) {
    if (is_put) return space->put_kv(chain.writes(1), options);
    return space->get_kv(chain.reads(), options);
  }
  Nanos time_of(const std::function<void()>& what) {
    const Instant start_at = system_clock().now();
    what();
    return system_clock().now() - start_at;
  }

  std::deque<Chain> chains;
  std::vector<Transfer> ahead;
};

TEST_F(LocateDeadline, EndsATransferThatHasNotBeenAskedFor) {
  stand_ahead();
  for (const bool is_put : {false, true}) {
    Chain chain(is_put ? "put" : "get", 3);
    const Instant start_at = system_clock().now();
    Transfer transfer = begin(is_put, chain, within(200));
    ASSERT_TRUE(transfer.wait()) << is_put;
    const Nanos took = system_clock().now() - start_at;
    EXPECT_GE(took, milliseconds(199)) << is_put;
    EXPECT_LT(took, milliseconds(200) + kSlack) << is_put;
    EXPECT_THAT(outcomes(transfer), ElementsAre(Outcome::deadline_exceeded)) << is_put;
  }
  const auto has_ended = [](const Transfer& each) { return each.poll(); };
  EXPECT_TRUE(std::none_of(ahead.begin(), ahead.end(), has_ended)) << "they have time left";
}

TEST_F(LocateDeadline, IsHeldWhereverInTheQueueATransferStands) {
  stand_ahead(200);
  for (Transfer& each : ahead)
    EXPECT_THAT(outcomes(each), ElementsAre(Outcome::deadline_exceeded));
  cluster->router(0).hang(false);
  Chain chain("next", 3);
  EXPECT_THAT(put(chain), ElementsAre(Outcome::ok)) << "what has ended is in nobody's way";
  EXPECT_THAT(get(chain), ElementsAre(Outcome::ok));
}

TEST_F(LocateDeadline, ACancelIsHeardBeforeAndWhileARouterIsAsked) {
  stand_ahead();
  const Nanos took = time_of([&] {
    for (Transfer& each : ahead)
      each.cancel();
    for (Transfer& each : ahead)
      EXPECT_THAT(outcomes(each), ElementsAre(Outcome::cancelled));
  });
  EXPECT_LT(took, kSlack);
}

// Under asan this is the proof that a late answer finds nothing to write to.
TEST_F(LocateDeadline, AnAnswerThatComesAfterTheEndChangesNothing) {
  stand_ahead();
  const Nanos took = time_of([&] { ahead.clear(); });
  EXPECT_LT(took, kSlack) << "destructors do not wait for a router";
  chains.clear();
  cluster->router(0).hang(false);
  Chain chain("next", 3);
  EXPECT_THAT(put(chain), ElementsAre(Outcome::ok));
  EXPECT_THAT(get(chain), ElementsAre(Outcome::ok));
  EXPECT_TRUE(chain.is_whole());
}

TEST_F(LocateDeadline, AnAnswerInTimePlacesTheBlocks) {
  Chain chain("a", 3);
  of_state([&](ClusterState& s) {
    for (uint32_t i = 0; i < chain.hashes.size(); ++i)
      s.located[chain.hashes[i]] = {"elsewhere", i, i + 1 == chain.hashes.size()};
  });
  for (size_t i = 0; i < chain.hashes.size(); ++i)
    cluster->server(0).copy(chain.hashes[i], chain.texts[i]);
  Transfer get = begin(false, chain, within(10'000));
  EXPECT_FALSE(get.wait(50));
  cluster->router(0).hang(false);
  EXPECT_THAT(outcomes(get), ElementsAre(Outcome::ok));
  EXPECT_TRUE(chain.is_whole());
  Chain longer("a", 4);
  Transfer put = space->put_kv(longer.writes(3));
  ASSERT_THAT(outcomes(put), ElementsAre(Outcome::ok));
  EXPECT_EQ(cluster->server(0).anchor_of(longer.hashes[3]), "elsewhere");
}

TEST_F(LocateDeadline, AClientMayGoWhileItsTransfersWait) {
  stand_ahead(500);
  const Nanos took = time_of([&] {
    ahead.clear();
    space.reset();
    client.reset();
  });
  EXPECT_LT(took, milliseconds(500) + kSlack) << "what is being asked ends by its own deadline";
}

// Whoever frees a Buffer after its transfers may unmap the memory next.
TEST_F(LocateDeadline, ABufferIsLetGoBeforeTheAnswerComes) {
  cluster->router(0).hang(false);
  const std::shared_ptr<Core> core = Core::open(cluster->options()).value();
  cluster->router(0).hang(true);
  auto memory = Memory::allocate(4096).value();
  core->buffers()->add(memory);
  const std::weak_ptr<const Memory> held = memory;
  const std::vector<GetItem> items{{"unknown", {{memory->data(), 4096, memory->id()}}, 0}};
  auto flight = make_get(*core, core->space({}, {}), items, within(30'000));
  const auto state = flight->shared_state();
  place_and_launch(*core, std::move(flight));
  core->buffers()->remove(memory->id());
  memory.reset();
  EXPECT_FALSE(held.expired()) << "the transfer runs";
  state->cancel();
  core->io().wake();
  ASSERT_TRUE(state->wait(system_clock().now() + kSlack));
  EXPECT_TRUE(held.expired());
  cluster->router(0).hang(false);
}

}  // namespace
}  // namespace tarn::sdk
