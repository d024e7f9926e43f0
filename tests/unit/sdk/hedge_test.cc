// Gets whose first server is late, and are answered by a second one.
#include "sdk/cpp/src/hedges.h"

#include <gmock/gmock.h>

#include <limits>
#include <memory>

#include "tests/unit/sdk/kv_fixture.h"

namespace tarn::sdk {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;

TEST(Hedges, WaitLongerThan95OfTheLast100Answers) {
  Hedges hedges(0.05);
  EXPECT_EQ(hedges.patience({4096}), Nanos::max()) << "nothing is known";
  for (int i = 1; i <= 128; ++i)
    hedges.on_answer({4096}, milliseconds(i));
  EXPECT_EQ(hedges.patience({4096}), milliseconds(122));
  EXPECT_EQ(hedges.patience({100}), Nanos::max()) << "of another size";
  for (int i = 1; i <= 128; ++i)
    hedges.on_answer({4096}, Micros(10));
  EXPECT_EQ(hedges.patience({4096}), kHedgeLeast) << "the old ones are forgotten";
}

TEST(Hedges, TellTheFirstBlockOfAnOperationFromThoseThatFollow) {
  Hedges hedges(0.05);
  for (int i = 0; i < 128; ++i)
    hedges.on_answer({4096, true}, milliseconds(9));
  EXPECT_EQ(hedges.patience({4096, false}), milliseconds(9)) << "while nothing better is known";
  for (int i = 0; i < 128; ++i)
    hedges.on_answer({4096, false}, milliseconds(2));
  EXPECT_EQ(hedges.patience({4096, true}), milliseconds(9));
  EXPECT_EQ(hedges.patience({4096, false}), milliseconds(2));
}

TEST(Hedges, KnowTooLittleBelowSoManyAnswers) {
  Hedges hedges(0.05);
  for (size_t i = 1; i < kHedgeSamplesLeast; ++i)
    hedges.on_answer({4096}, milliseconds(5));
  EXPECT_EQ(hedges.patience({4096}), Nanos::max());
  hedges.on_answer({4096}, milliseconds(5));
  EXPECT_EQ(hedges.patience({4096}), milliseconds(5));
}

TEST(Hedges, AreAFractionOfTheBlocksThatWereAskedFor) {
  Hedges hedges(0.05);
  EXPECT_FALSE(hedges.take());
  size_t taken = 0;
  for (int i = 0; i < 1000; ++i) {
    hedges.on_asked(1);
    taken += hedges.take() ? 1 : 0;
  }
  EXPECT_GE(taken, 49u);
  EXPECT_LE(taken, 50u);
  hedges.on_asked(1'000'000);
  taken = 0;
  while (hedges.take())
    ++taken;
  EXPECT_EQ(taken, static_cast<size_t>(kHedgesSaved)) << "a long calm saves up no storm";
  EXPECT_GE(hedges.counters().asked_twice.load(), 49u + taken);
}

TEST(Hedges, OfNoFractionAreNone) {
  Hedges hedges(0);
  for (int i = 0; i < 200; ++i)
    hedges.on_answer({4096}, milliseconds(1));
  hedges.on_asked(1'000'000);
  EXPECT_EQ(hedges.patience({4096}), Nanos::max());
  EXPECT_FALSE(hedges.take());
}

// Of a call that is to be over long before it.
constexpr uint32_t kLongMs = 60'000;
constexpr uint32_t kSoonMs = 10'000;

class HedgeTest : public KvTest {
 protected:
  // Two servers; the client has learned how fast they are, and that both can be reached.
  void start_calm(double fraction = 1, bool has_ucx = false) {
    ClientOptions options;
    options.hedge_fraction = fraction;
    start(2, options, has_ucx);
    ASSERT_THAT(put(warm), ElementsAre(Outcome::ok));
    // Who has no block is asked too, for one that nobody has.
    Chain none("none", 1);
    ASSERT_THAT(get(none), ElementsAre(Outcome::miss));
    learn();
    // Some of these may have been late themselves.
    calm = client->counters();
  }
  void learn() {
    for (int i = 0; i < 64; ++i)
      ASSERT_THAT(get(warm), ElementsAre(Outcome::ok));
  }
  // Puts blocks whose first server is the late one.
  void put_late(Chain& chain, bool on_both) {
    ASSERT_THAT(put(chain), ElementsAre(Outcome::ok));
    first = cluster->server(0).has(chain.hashes[0]) ? 0 : 1;
    for (size_t i = 0; i < chain.hashes.size(); ++i)
      if (on_both) other().copy(chain.hashes[i], chain.texts[i]);
    late().hold_blocks(chain.hashes);
  }
  FakeServer& late() { return cluster->server(first); }
  FakeServer& other() { return cluster->server(1 - first); }
  // Since the calm.
  uint64_t asked_twice() const {
    return client->counters().blocks_asked_twice - calm.blocks_asked_twice;
  }
  uint64_t from_second() const {
    return client->counters().blocks_from_second - calm.blocks_from_second;
  }
  // Begins a get, and returns when all its blocks have been asked for twice.
  Transfer get_twice(Chain& chain, uint32_t timeout_ms = kLongMs) {
    const uint64_t before = asked_twice();
    Transfer transfer = space->get_kv(chain.reads(), {.timeout_ms = timeout_ms});
    EXPECT_TRUE(becomes([&] { return asked_twice() == before + chain.hashes.size(); }));
    return transfer;
  }

  Chain warm{"warm", 1};
  size_t first = 0;
  ClientCounters calm;
};

TEST_F(HedgeTest, TheOtherCopyComesBeforeALateServer) {
  start_calm();
  Chain chain("a", 1);
  put_late(chain, true);
  Transfer transfer = get_twice(chain);
  ASSERT_TRUE(transfer.wait(kSoonMs)) << "nothing is owed by the late one, which is told so";
  ASSERT_THAT(outcomes(transfer), ElementsAre(Outcome::ok));
  EXPECT_TRUE(chain.is_whole());
  EXPECT_EQ(from_second(), 1u);
  EXPECT_EQ(late().connects(), 1u) << "its connection stays";
  // The late answer finds nobody: the memory is the caller's again.
  chain.rooms[0].assign(chain.rooms[0].size(), '#');
  late().hold_blocks({});
  learn();
  EXPECT_EQ(chain.rooms[0], std::string(chain.rooms[0].size(), '#'));
}

TEST_F(HedgeTest, ASecondThatIsNotConnectedYetIsAskedOnceItIs) {
  ClientOptions options;
  options.hedge_fraction = 1;
  start(2, options);
  ASSERT_THAT(put(warm), ElementsAre(Outcome::ok));
  for (int i = 0; i < 64; ++i)
    ASSERT_THAT(get(warm), ElementsAre(Outcome::ok));
  calm = client->counters();
  first = cluster->server(0).has(warm.hashes[0]) ? 0 : 1;
  other().copy(warm.hashes[0], warm.texts[0]);
  late().hold_blocks(warm.hashes);
  Transfer transfer = get_twice(warm);
  ASSERT_TRUE(transfer.wait(kSoonMs));
  ASSERT_THAT(outcomes(transfer), ElementsAre(Outcome::ok));
  EXPECT_EQ(from_second(), 1u);
}

TEST_F(HedgeTest, AServerThatHangsIsWaitedForByNobody) {
  start_calm();
  Chain chain("a", 3);
  put_late(chain, true);
  late().hang(true);
  Transfer transfer = get_twice(chain);
  EXPECT_TRUE(transfer.wait(kSoonMs));
  EXPECT_TRUE(chain.is_whole());
  EXPECT_EQ(from_second(), 3u);
  late().hang(false);
}

// One operation asks the first server for two blocks: it has one answer from there, and the other
// block from the second server, so nothing keeps the transfer from its end.
TEST_F(HedgeTest, AnOperationIsLetGoWhoseOtherBlocksHaveMissed) {
  start_calm();
  Chain chain("a", 2);
  put_late(chain, true);
  late().judge(chain.hashes[0], Code::not_found);
  late().hold_blocks({chain.hashes[1]});
  Transfer transfer = space->get_kv(chain.reads(), {.timeout_ms = kLongMs});
  ASSERT_TRUE(transfer.wait(kSoonMs));
  ASSERT_THAT(outcomes(transfer), ElementsAre(Outcome::ok));
  EXPECT_TRUE(chain.is_whole());
  EXPECT_GE(from_second(), 1u);
}

TEST_F(HedgeTest, ASecondThatHasNothingLeavesItToTheFirst) {
  start_calm();
  Chain chain("a", 1);
  put_late(chain, false);
  Transfer transfer = get_twice(chain);
  EXPECT_FALSE(transfer.wait(50)) << "one owner may have it yet";
  late().hold_blocks({});
  ASSERT_THAT(outcomes(transfer), ElementsAre(Outcome::ok));
  EXPECT_TRUE(chain.is_whole());
  EXPECT_EQ(from_second(), 0u);
}

TEST_F(HedgeTest, ASecondWithRottenBytesLeavesItToTheFirst) {
  start_calm();
  Chain chain("a", 1);
  put_late(chain, true);
  other().corrupt(chain.hashes[0]);
  Transfer transfer = get_twice(chain);
  EXPECT_FALSE(transfer.wait(50));
  late().hold_blocks({});
  ASSERT_THAT(outcomes(transfer), ElementsAre(Outcome::ok));
  EXPECT_TRUE(chain.is_whole());
}

TEST_F(HedgeTest, AFirstThatDiesLeavesItToTheSecond) {
  start_calm();
  Chain chain("a", 1);
  put_late(chain, true);
  other().hold_blocks(chain.hashes);
  Transfer transfer = get_twice(chain);
  late().stop();
  other().hold_blocks({});
  ASSERT_THAT(outcomes(transfer), ElementsAre(Outcome::ok));
  EXPECT_TRUE(chain.is_whole());
}

TEST_F(HedgeTest, WhenBothFailTheGetSaysSo) {
  start_calm();
  Chain chain("a", 1);
  put_late(chain, false);
  Transfer transfer = get_twice(chain, 5000);
  late().stop();
  EXPECT_TRUE(transfer.wait(kSoonMs));
  EXPECT_NE(transfer.outcomes()[0].outcome, Outcome::ok);
}

// What only one of two servers says counts once the other has nothing better, as it does where they
// are asked one after the other.
TEST_F(HedgeTest, AVerdictOfTheSecondCountsWhenTheFirstHasNothing) {
  start_calm();
  for (const bool has_first : {false, true}) {
    Chain chain(has_first ? "b" : "a", 1);
    put_late(chain, false);
    other().judge(chain.hashes[0], Code::permission_denied);
    if (!has_first) late().judge(chain.hashes[0], Code::not_found);
    Transfer transfer = get_twice(chain);
    EXPECT_FALSE(transfer.wait(50));
    late().hold_blocks({});
    EXPECT_THAT(outcomes(transfer),
                ElementsAre(has_first ? Outcome::ok : Outcome::permission_denied));
    other().hold_blocks({});
  }
}

TEST_F(HedgeTest, ACancelEndsBothQuestions) {
  start_calm();
  Chain chain("a", 1);
  put_late(chain, false);
  other().hold_blocks(chain.hashes);
  Transfer transfer = get_twice(chain);
  transfer.cancel();
  ASSERT_TRUE(transfer.wait(kSoonMs));
  ASSERT_THAT(outcomes(transfer), ElementsAre(Outcome::cancelled));
}

TEST_F(HedgeTest, TheDeadlineEndsBothQuestions) {
  start_calm();
  Chain chain("a", 1);
  put_late(chain, false);
  other().hold_blocks(chain.hashes);
  Transfer transfer = get_twice(chain, 5000);
  ASSERT_TRUE(transfer.wait(kSoonMs));
  EXPECT_NE(transfer.outcomes()[0].outcome, Outcome::ok);
}

// Over UCX, or over gRPC.
class HedgeRaceTest : public HedgeTest, public ::testing::WithParamInterface<bool> {};

// Both answers come at once, whichever is first: the bytes are whole, and after its end nothing
// writes into a transfer's memory.
TEST_P(HedgeRaceTest, OfTwoAnswersAtOnceOneIsWritten) {
  start_calm(1, GetParam());
  std::vector<std::unique_ptr<Chain>> done;
  for (int i = 0; i < 24; ++i) {
    // Large ones cross in steps, small ones within the message.
    const size_t bytes = i % 2 == 0 ? 5000 : 700'000;
    done.push_back(std::make_unique<Chain>("r" + std::to_string(i), 2, bytes));
    Chain& chain = *done.back();
    put_late(chain, true);
    if (i < 2) {
      late().hold_blocks({});
      for (int j = 0; j < 64; ++j)
        ASSERT_THAT(get(chain), ElementsAre(Outcome::ok));
      late().hold_blocks(chain.hashes);
    }
    other().hold_blocks(chain.hashes);
    Transfer transfer = get_twice(chain);
    (i % 4 < 2 ? late() : other()).hold_blocks({});
    (i % 4 < 2 ? other() : late()).hold_blocks({});
    ASSERT_THAT(outcomes(transfer), ElementsAre(Outcome::ok)) << i;
    ASSERT_TRUE(chain.is_whole()) << i;
    for (std::string& room : chain.rooms)
      room.assign(room.size(), '#');
  }
  learn();
  for (const auto& chain : done)
    for (const std::string& room : chain->rooms)
      EXPECT_EQ(room.find_first_not_of('#'), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Over, HedgeRaceTest, ::testing::Bool(),
                         [](const auto& which) { return which.param ? "ucx" : "grpc"; });

TEST_F(HedgeTest, WhereTheBucketIsEmptyTheNextOwnerIsStillAsked) {
  start_calm(1e-6);
  Chain chain("a", 1);
  put_late(chain, true);
  late().judge(chain.hashes[0], Code::not_found);
  Transfer transfer = space->get_kv(chain.reads());
  EXPECT_FALSE(transfer.wait(50)) << "late, and nobody else may be asked";
  EXPECT_EQ(asked_twice(), 0u);
  late().hold_blocks({});
  ASSERT_THAT(outcomes(transfer), ElementsAre(Outcome::ok));
}

TEST_F(HedgeTest, ViewsAndLayersAreAskedForOnce) {
  start_calm();
  Chain chain("a", 1);
  put_late(chain, true);
  late().hold_pieces_from(0);
  Transfer layers = space->get_kv(chain.reads(), {.layer_ends = {1000, 5000}});
  const std::vector<ViewItem> wanted = {{.hash = chain.hashes[0], .bytes_max = 5000}};
  Transfer views = space->get_views(wanted);
  EXPECT_FALSE(layers.wait(50));
  EXPECT_FALSE(views.wait(1));
  EXPECT_EQ(asked_twice(), 0u);
  late().hold_pieces_from(UINT32_MAX);
  late().hold_blocks({});
  EXPECT_THAT(outcomes(layers), ElementsAre(Outcome::ok));
  EXPECT_THAT(outcomes(views), ElementsAre(Outcome::ok));
}

TEST_F(HedgeTest, NobodyIsAskedTwiceWhoHasForbiddenIt) {
  start_calm(0);
  Chain chain("a", 1);
  put_late(chain, true);
  Transfer transfer = space->get_kv(chain.reads());
  EXPECT_FALSE(transfer.wait(50));
  EXPECT_EQ(asked_twice(), 0u);
  late().hold_blocks({});
  ASSERT_THAT(outcomes(transfer), ElementsAre(Outcome::ok));
}

TEST_F(HedgeTest, FractionsAreChecked) {
  start(1);
  for (const double fraction : {-0.1, 1.1, std::numeric_limits<double>::quiet_NaN()}) {
    ClientOptions options = cluster->options();
    options.hedge_fraction = fraction;
    const auto refused = Client::connect(options);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().outcome, Outcome::invalid_argument);
    EXPECT_EQ(refused.error().message, "hedge_fraction: must be 0 to 1");
  }
}

}  // namespace
}  // namespace tarn::sdk
