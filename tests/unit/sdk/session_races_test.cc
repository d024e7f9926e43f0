// Sessions under races, lost answers and limits.
#include <gmock/gmock.h>

#include <barrier>
#include <random>
#include <set>
#include <thread>

#include "common/base/units.h"
#include "tests/unit/sdk/kv_fixture.h"

namespace tarn::sdk {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr int kWriters = 4;

CallOptions within(uint32_t ms) {
  CallOptions options;
  options.timeout_ms = ms;
  return options;
}

class SessionTest : public KvTest {
 protected:
  void SetUp() override { start(1); }
  Session create(const std::string& id) { return space->create_session(id).value(); }
  static Append tail(const std::string& text, uint64_t tokens = 1) {
    Append append;
    append.tail = text;
    append.token_count = tokens;
    return append;
  }
  void lose_answers(uint32_t times) {
    of_state([&](ClusterState& s) { return s.lose_answers = times; });
  }
  // Of the tries of all changes since the last call: how many there were, and how many differ.
  std::pair<size_t, size_t> tries() {
    return of_state([](ClusterState& s) {
      const std::set<std::string> different(s.request_ids.begin(), s.request_ids.end());
      const std::pair<size_t, size_t> counts{s.request_ids.size(), different.size()};
      s.request_ids.clear();
      return counts;
    });
  }
};

// The writers of one session: each goes on from what it saw, and no append is lost or doubled.
TEST_F(SessionTest, RacingAppendsMakeOneHistory) {
  create("talk");
  std::barrier start_line(kWriters);
  std::vector<std::thread> writers;
  std::atomic<uint64_t> won{0};
  std::mutex mutex;
  std::set<uint64_t> versions;
  for (int i = 0; i < kWriters; ++i) {
    writers.emplace_back([&] {
      Session mine = space->open_session("talk");
      start_line.arrive_and_wait();
      for (int done = 0; done < 10;) {
        auto seen = mine.resolve();
        if (!seen) continue;
        const auto version = mine.append(seen->version, tail("t"));
        if (!version) {
          EXPECT_EQ(version.error().outcome, Outcome::conflict);
          continue;
        }
        const std::lock_guard lock(mutex);
        EXPECT_TRUE(versions.insert(*version).second) << "two writers got version " << *version;
        ++done;
        ++won;
      }
    });
  }
  for (std::thread& each : writers)
    each.join();
  EXPECT_EQ(won, 10u * kWriters);
  EXPECT_EQ(space->open_session("talk").resolve()->version, 1 + 10u * kWriters);
}

TEST_F(SessionTest, AChangeWhoseAnswersAreLostIsTriedUnderOneRequestIdAndAppliedOnce) {
  lose_answers(1);
  Session session = create("talk");
  EXPECT_EQ(tries(), (std::pair<size_t, size_t>{2, 1})) << "create";

  lose_answers(1);
  EXPECT_EQ(session.append(1, tail("x")).value(), 2u);
  EXPECT_EQ(tries(), (std::pair<size_t, size_t>{2, 1})) << "append";

  lose_answers(1);
  EXPECT_EQ(session.fork("twig")->id(), "twig");
  EXPECT_EQ(tries(), (std::pair<size_t, size_t>{2, 1})) << "fork";

  lose_answers(1);
  EXPECT_EQ(session.truncate(2, {}).value(), 3u);
  EXPECT_EQ(tries(), (std::pair<size_t, size_t>{2, 1})) << "truncate";
  EXPECT_EQ(session.resolve()->version, 3u);
}

TEST_F(SessionTest, TwoCallsNeverShareARequestId) {
  Session session = create("talk");
  for (uint64_t version = 1; version < 20; ++version)
    ASSERT_TRUE(session.append(version, tail("x")));
  EXPECT_EQ(tries(), (std::pair<size_t, size_t>{20, 20}));
}

// The second of two appends at one version loses, also where the first one's answer is lost.
TEST_F(SessionTest, ALostAcknowledgementDoesNotLetASecondWriterIn) {
  Session session = create("talk");
  lose_answers(1);
  EXPECT_EQ(session.append(1, tail("mine")).value(), 2u);
  Session theirs = space->open_session("talk");
  EXPECT_EQ(theirs.append(1, tail("theirs")).error().outcome, Outcome::conflict);
  EXPECT_EQ(session.resolve()->tail, "mine");
}

TEST_F(SessionTest, AnOutcomeThatStaysUnknownIsUnavailableAndShowsByResolve) {
  Session session = create("talk");
  lose_answers(1'000'000);
  const auto append = session.append(1, tail("kept"), within(100));
  lose_answers(0);
  // The retries were given the first result; had none come through, it would be unavailable.
  if (!append) {
    EXPECT_EQ(append.error().outcome, Outcome::unavailable);
  }
  EXPECT_EQ(session.resolve()->version, 2u);
  EXPECT_EQ(session.resolve()->tail, "kept");
}

TEST_F(SessionTest, ATailHasItsLimit) {
  Session session = create("talk");
  const std::string most(kSessionTailBytesMax, 't');
  EXPECT_EQ(session.append(1, tail(most)).value(), 2u);
  EXPECT_EQ(session.resolve()->tail, most);
  const auto more = session.append(2, tail(most + "t"));
  EXPECT_EQ(more.error().outcome, Outcome::invalid_argument);
  EXPECT_THAT(more.error().message, HasSubstr("tail"));
  Truncate to;
  to.tail = most + "t";
  EXPECT_THAT(session.truncate(2, to).error().message, HasSubstr("64 KiB"));
  to.tail = most;
  EXPECT_EQ(session.truncate(2, to).value(), 3u);
}

TEST_F(SessionTest, ATruncateIsACompareAndSwapToo) {
  Chain chain("a", 4);
  ASSERT_THAT(put(chain), ElementsAre(Outcome::ok));
  Session session = create("talk");
  Append append;
  append.blocks = chain.hashes;
  append.token_count = 64;
  ASSERT_TRUE(session.append(1, append));
  Truncate to;
  to.block_count = 2;
  to.token_count = 35;
  to.tail = "rest";
  EXPECT_EQ(session.truncate(1, to).error().outcome, Outcome::conflict);
  EXPECT_EQ(session.truncate(2, to).value(), 3u);
  const Manifest manifest = session.resolve().value();
  EXPECT_THAT(manifest.blocks, ElementsAre("a-0", "a-1"));
  EXPECT_EQ(manifest.token_count, 35u);
  EXPECT_EQ(manifest.tail, "rest");
}

// After a truncation the chain goes on elsewhere: what is put then begins an extent of its own.
TEST_F(SessionTest, ATruncatedSessionGoesOnFromWhereItWasCut) {
  Chain chain("a", 3);
  ASSERT_THAT(put(chain), ElementsAre(Outcome::ok));
  Session session = create("talk");
  Append append;
  append.blocks = chain.hashes;
  ASSERT_TRUE(session.append(1, append));
  Truncate to;
  to.block_count = 2;
  ASSERT_TRUE(session.truncate(2, to));
  Chain other("z", 1);
  auto items = other.writes();
  items[0].parent = "a-1";
  Transfer put = space->put_kv(items);
  ASSERT_THAT(outcomes(put), ElementsAre(Outcome::ok));
  append.blocks = other.hashes;
  ASSERT_TRUE(session.append(3, append));
  EXPECT_THAT(session.resolve()->blocks, ElementsAre("a-0", "a-1", "z-0"));
  EXPECT_EQ(cluster->server(0).anchor_of("z-0"), "z-0") << "a-2 has the seat behind a-1";
}

TEST_F(SessionTest, AForkAndItsParentGoTheirOwnWays) {
  Session session = create("talk");
  ASSERT_TRUE(session.append(1, tail("common")));
  Session fork = session.fork().value();
  EXPECT_THAT(fork.id(), SizeIs(32)) << "an id was drawn";
  EXPECT_EQ(fork.append(1, tail("left")).value(), 2u);
  EXPECT_EQ(session.append(2, tail("right")).value(), 3u);
  EXPECT_EQ(fork.resolve()->tail, "left");
  EXPECT_EQ(session.resolve()->tail, "right");
  EXPECT_EQ(session.fork("talk").error().outcome, Outcome::exists);
  EXPECT_EQ(space->open_session("nobody").fork("x").error().outcome, Outcome::miss);
}

TEST_F(SessionTest, DrawnIdsDiffer) {
  std::set<std::string> ids;
  for (int i = 0; i < 50; ++i)
    ids.insert(space->create_session()->id());
  EXPECT_THAT(ids, SizeIs(50));
}

TEST_F(SessionTest, ATtlIsCountedFromNowAndZeroIsNever) {
  const int64_t before_ms = system_clock().unix_ms();
  Session session = space->create_session("talk", 60'000).value();
  const int64_t expires = session.resolve()->expires_unix_ms;
  EXPECT_GE(expires, before_ms + 60'000);
  EXPECT_LE(expires, system_clock().unix_ms() + 60'000);
  EXPECT_TRUE(session.set_ttl(0));
  EXPECT_EQ(session.resolve()->expires_unix_ms, 0);
  EXPECT_EQ(create("other").resolve()->expires_unix_ms, 0);
  EXPECT_THAT(session.set_ttl(INT64_MIN).error().message, HasSubstr("ttl_ms"));
}

TEST_F(SessionTest, EveryCallOfASessionThatIsNotThereIsAMiss) {
  Session gone = space->open_session("nobody");
  EXPECT_EQ(gone.id(), "nobody");
  EXPECT_EQ(gone.resolve().error().outcome, Outcome::miss);
  EXPECT_EQ(gone.append(1, tail("x")).error().outcome, Outcome::miss);
  EXPECT_EQ(gone.truncate(1, {}).error().outcome, Outcome::miss);
  EXPECT_EQ(gone.pin(true).error().outcome, Outcome::miss);
  EXPECT_EQ(gone.set_ttl(5).error().outcome, Outcome::miss);
  EXPECT_TRUE(gone.remove()) << "gone is what was wanted";
}

TEST_F(SessionTest, AListGoesThroughAllPagesAndOnlyThisSpace) {
  std::vector<std::string> wanted;
  Space other = open(2);
  for (int i = 10; i < 35; ++i) {
    wanted.push_back("s-" + std::to_string(i));
    create(wanted.back());
    ASSERT_TRUE(other.create_session("o-" + std::to_string(i)));
  }
  std::vector<std::string> listed;
  const auto all = space->list_sessions();
  ASSERT_TRUE(all) << all.error().message;
  for (const Manifest& manifest : *all)
    listed.push_back(manifest.session_id);
  EXPECT_EQ(listed, wanted) << "in order of id, none twice";
  EXPECT_GE(of_state([](ClusterState& s) { return s.pages; }), 50u);
  EXPECT_THAT(*space->list_sessions("s-2"), SizeIs(10));
  EXPECT_THAT(*space->list_sessions("nothing"), SizeIs(0));
}

TEST_F(SessionTest, APageThatLeadsNowhereEndsTheList) {
  create("s");
  of_state([](ClusterState& s) { return s.repeats_page = true; });
  const auto listed = space->list_sessions({}, within(2000));
  ASSERT_TRUE(listed);
  EXPECT_LE(of_state([](ClusterState& s) { return s.pages; }), 2u);
}

TEST_F(SessionTest, BlocksThatNobodyHasPutAreAppendedUnderTheWritersRule) {
  Session session = create("talk");
  Append append;
  for (int i = 0; i < 6; ++i)
    append.blocks.push_back("n-" + std::to_string(i));
  ASSERT_TRUE(session.append(1, append, within(5000)));
  const auto anchors = of_state([](ClusterState& s) { return s.placed["talk"]; });
  EXPECT_THAT(anchors, ElementsAre("n-0+0", "n-0+1", "n-0+2", "n-0+3", "n-4+0", "n-4+1"));
}

}  // namespace
}  // namespace tarn::sdk
