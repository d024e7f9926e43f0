#include <gmock/gmock.h>

#include "tests/unit/sdk/kv_fixture.h"

// A get called blocks missing after 20 ms when one owner had not got them and the other could not
// be reached just then (it was being connected to, or restarted): after the death of one server,
// acknowledged blocks with two copies were recomputed by clients whose connection to the second
// copy was new.
namespace tarn::sdk {
namespace {

using ::testing::ElementsAre;

TEST_F(KvTest, ABlockIsNoMissWhileItsOwnerIsOnlyAwayForAMoment) {
  start(2);
  Chain chain("a", 40);
  ASSERT_THAT(put(chain), ElementsAre(Outcome::ok));
  ASSERT_GT(cluster->server(0).block_count(), 0u);
  ASSERT_GT(cluster->server(1).block_count(), 0u);
  // Some rounds of all lanes: longer than one pause, shorter than the patience.
  cluster->server(0).refuse(Code::unavailable, 12);
  EXPECT_THAT(get(chain), ElementsAre(Outcome::ok));
  EXPECT_TRUE(chain.is_whole());
}

TEST_F(KvTest, AnOwnerThatStaysAwayCostsAGetItsPatienceAndNoMore) {
  start(2);
  Chain chain("a", 40);
  ASSERT_THAT(put(chain), ElementsAre(Outcome::ok));
  cluster->server(0).refuse(Code::unavailable, 1'000'000);
  const Instant begin = system_clock().now();
  Transfer transfer = space->get_kv(chain.reads());
  ASSERT_TRUE(transfer.wait());
  EXPECT_LT(system_clock().now() - begin, std::chrono::seconds(4));
  for (size_t i = 0; i < chain.hashes.size(); ++i) {
    const bool is_there = cluster->server(1).has(chain.hashes[i]);
    EXPECT_EQ(transfer.outcomes()[i].outcome, is_there ? Outcome::ok : Outcome::miss);
  }
}

}  // namespace
}  // namespace tarn::sdk
