// Misses that a router should hear of.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <deque>
#include <set>
#include <thread>

#include "sdk/cpp/src/flight.h"
#include "tests/unit/sdk/kv_fixture.h"

namespace tarn::sdk {
namespace {

using ::testing::ElementsAre;

class MissesTest : public KvTest {
 protected:
  // The routers' index says that the chain is somewhere, in extents of 4.
  void index_says(const Chain& chain) {
    const std::lock_guard lock(cluster->state().mutex);
    for (size_t i = 0; i < chain.hashes.size(); ++i) {
      const auto index = static_cast<uint32_t>(i % 4);
      cluster->state().located[chain.hashes[i]] = {chain.hashes[i / 4 * 4], index, false};
    }
  }
  // By whom the router was told that the block is missed there.
  std::multiset<uint32_t> told(const std::string& hash) {
    const std::lock_guard lock(cluster->state().mutex);
    std::multiset<uint32_t> servers;
    const auto [begin, end] = cluster->state().missed.equal_range(hash);
    for (auto at = begin; at != end; ++at)
      servers.insert(at->second);
    return servers;
  }
  static bool eventually(const std::function<bool()>& holds) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!holds() && std::chrono::steady_clock::now() < end)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return holds();
  }
};

TEST_F(MissesTest, ARouterHearsWhichServersLackWhatItsIndexHas) {
  start(2);
  Chain chain("gone", 6);
  index_says(chain);
  EXPECT_THAT(get(chain), ElementsAre(Outcome::miss));
  for (const std::string& hash : chain.hashes) {
    // Both owners were asked, each once.
    EXPECT_TRUE(eventually([&] { return told(hash) == std::multiset<uint32_t>{1, 2}; })) << hash;
  }
}

TEST_F(MissesTest, ARouterHearsOfAnOwnerThatLacksWhatTheNextOneHas) {
  start(2);
  cluster->declare_down(0);
  auto second = Client::connect(cluster->options());
  ASSERT_TRUE(second);
  space.emplace(second->open_space(space->spec()).value());
  // Chains of one block, of which some belong to the server that is down.
  std::deque<Chain> chains;
  for (int i = 0; i < 12; ++i) {
    ASSERT_THAT(put(chains.emplace_back("c" + std::to_string(i), 1)), ElementsAre(Outcome::ok));
    index_says(chains.back());
  }
  {
    const std::lock_guard lock(cluster->state().mutex);
    cluster->state().config.epoch.value += 1;
    for (ring::Member& member : cluster->state().config.members)
      member.state = ring::MemberState::up;
  }
  auto third = Client::connect(cluster->options());
  ASSERT_TRUE(third);
  space.emplace(third->open_space(space->spec()).value());
  std::vector<GetItem> items;
  for (Chain& chain : chains)
    items.push_back(chain.reads()[0]);
  Transfer transfer = space->get_kv(items);
  EXPECT_THAT(outcomes(transfer), ElementsAre(Outcome::ok));
  size_t reported = 0;
  EXPECT_TRUE(eventually([&] {
    reported = 0;
    for (const Chain& chain : chains)
      reported += told(chain.hashes[0]).count(1);
    return reported > 0;
  }));
  for (const Chain& chain : chains)
    EXPECT_EQ(told(chain.hashes[0]).count(2), 0u) << "that server gave it";
}

TEST_F(MissesTest, WhatNoIndexKnewIsNoNews) {
  start(2);
  Chain unknown("unknown", 3);
  EXPECT_THAT(get(unknown), ElementsAre(Outcome::miss));
  // Told of with the first report that there is.
  Chain known("known", 1);
  index_says(known);
  EXPECT_THAT(get(known), ElementsAre(Outcome::miss));
  EXPECT_TRUE(eventually([&] { return !told("known-0").empty(); }));
  for (const std::string& hash : unknown.hashes)
    EXPECT_TRUE(told(hash).empty()) << hash;
}

TEST_F(MissesTest, MoreMissesThanOneReportHoldsAreNotTold) {
  start(1);
  Chain chain("many", 400, 64);
  index_says(chain);
  EXPECT_THAT(get(chain), ElementsAre(Outcome::miss));
  EXPECT_TRUE(eventually([&] { return !told("many-0").empty(); }));
  const std::lock_guard lock(cluster->state().mutex);
  EXPECT_LE(cluster->state().missed.size(), kMissedMax);
}

TEST_F(MissesTest, AMissIsAMissAlsoWhereNoRouterTakesReports) {
  start(2);
  Chain chain("gone", 2);
  index_says(chain);
  Chain warm("warm", 1);
  ASSERT_THAT(put(warm), ElementsAre(Outcome::ok));
  EXPECT_THAT(get(chain), ElementsAre(Outcome::miss));
  EXPECT_TRUE(eventually([&] { return !told("gone-0").empty(); }));
  cluster->router(0).stop();
  EXPECT_THAT(get(warm), ElementsAre(Outcome::ok));
  EXPECT_THAT(get(chain), ElementsAre(Outcome::miss));
}

}  // namespace
}  // namespace tarn::sdk
