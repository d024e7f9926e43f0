#include "tests/unit/sdk/kv_fixture.h"

#include <gmock/gmock.h>
#include <poll.h>

#include <set>

namespace tarn::sdk {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST_F(KvTest, WhatWasPutIsGot) {
  start(2);
  Chain chain("a", 40);
  EXPECT_THAT(put(chain), ElementsAre(Outcome::ok));
  EXPECT_THAT(get(chain), ElementsAre(Outcome::ok));
  EXPECT_TRUE(chain.is_whole());
  EXPECT_THAT(put(chain), ElementsAre(Outcome::exists));
  EXPECT_EQ(cluster->server(0).block_count() + cluster->server(1).block_count(), 40u);
  EXPECT_EQ(cluster->state().locates, 0u) << "the caches knew it all";
}

TEST_F(KvTest, ATransferIsReadableWhenItHasEnded) {
  start(1);
  Chain chain("a", 3);
  Transfer transfer = space->put_kv(chain.writes());
  pollfd readable{transfer.fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&readable, 1, 5000), 1);
  EXPECT_TRUE(transfer.poll());
  EXPECT_TRUE(transfer.all_ok());
  EXPECT_EQ(transfer.outcomes().size(), 3u);
  EXPECT_EQ(transfer.outcomes()[1].bytes, 5000u);
  EXPECT_EQ(transfer.outcomes()[1].copies, 1u);
  EXPECT_EQ(transfer.outcomes()[1].server, "s1");
}

TEST_F(KvTest, BlocksOfAChainStandInExtentsOfItsOwn) {
  start(1);
  Chain chain("a", 10);
  ASSERT_THAT(put(chain), ElementsAre(Outcome::ok));
  EXPECT_EQ(cluster->server(0).anchor_of("a-3"), "a-0");
  EXPECT_EQ(cluster->server(0).anchor_of("a-4"), "a-4");
  EXPECT_EQ(cluster->server(0).anchor_of("a-9"), "a-8");
}

TEST_F(KvTest, AFullExtentMakesTheRestOfTheChainBeginAnother) {
  start(1);
  Chain first("a", 2);
  ASSERT_THAT(put(first), ElementsAre(Outcome::ok));
  // Another client forks the chain at its second block; this one does not know.
  auto other = Client::connect(cluster->options());
  ASSERT_TRUE(other);
  {
    const std::lock_guard lock(cluster->state().mutex);
    cluster->state().located["a-1"] = {"a-0", 1, true};
  }
  Space theirs = other->open_space(space->spec()).value();
  Chain fork("b", 2);
  auto items = fork.writes();
  items[0].parent = "a-1";
  Transfer forked = theirs.put_kv(items);
  ASSERT_THAT(outcomes(forked), ElementsAre(Outcome::ok));
  EXPECT_EQ(cluster->server(0).anchor_of("b-1"), "a-0");

  Chain rest("a", 4);
  ASSERT_THAT(put(rest), ElementsAre(Outcome::exists, Outcome::ok));
  EXPECT_EQ(cluster->server(0).anchor_of("a-2"), "a-2");
  EXPECT_EQ(cluster->server(0).anchor_of("a-3"), "a-2");
  EXPECT_THAT(get(rest), ElementsAre(Outcome::ok));
  EXPECT_TRUE(rest.is_whole());
}

TEST_F(KvTest, AMissIsAMiss) {
  start(2);
  Chain chain("nowhere", 5);
  EXPECT_THAT(get(chain), ElementsAre(Outcome::miss));
  EXPECT_EQ(cluster->state().locates, 1u);
}

TEST_F(KvTest, ACorruptBlockIsNotGiven) {
  start(1);
  Chain chain("a", 3);
  ASSERT_THAT(put(chain), ElementsAre(Outcome::ok));
  cluster->server(0).corrupt("a-1");
  EXPECT_THAT(get(chain), ElementsAre(Outcome::ok, Outcome::corrupt, Outcome::ok));
}

TEST_F(KvTest, ShardsAreBlocksOfTheirOwn) {
  start(1);
  space.emplace(open(2));
  Chain chain("a", 2);
  Transfer put = space->put_kv(chain.writes(0, 1));
  ASSERT_THAT(outcomes(put), ElementsAre(Outcome::ok));
  EXPECT_THAT(get(chain), ElementsAre(Outcome::miss));
  Transfer second = space->get_kv(chain.reads(1));
  EXPECT_THAT(outcomes(second), ElementsAre(Outcome::ok));
  EXPECT_FALSE(space->exists(chain.hashes).value()[0]) << "shard 0 is not there";
}

TEST_F(KvTest, InAFlatSpaceEveryBlockStandsAlone) {
  start(2);
  space.emplace(open(1, true));
  Chain chain("k", 8);
  auto items = chain.writes();
  for (PutItem& item : items)
    item.parent.clear();
  Transfer put = space->put_kv(items);
  ASSERT_THAT(outcomes(put), ElementsAre(Outcome::ok));
  EXPECT_THAT(get(chain), ElementsAre(Outcome::ok));
  EXPECT_TRUE(chain.is_whole());
  EXPECT_EQ(cluster->state().locates, 0u);
  items[0].parent = "k-1";
  Transfer wrong = space->put_kv(std::span(items).first(1));
  EXPECT_THAT(outcomes(wrong), ElementsAre(Outcome::invalid_argument));
}

TEST_F(KvTest, ExistsAsksTheOwners) {
  start(3);
  Chain chain("a", 6);
  auto items = chain.writes();
  Transfer put = space->put_kv(std::span(items).first(5));
  ASSERT_THAT(outcomes(put), ElementsAre(Outcome::ok));
  const auto here = space->exists(chain.hashes);
  ASSERT_TRUE(here) << here.error().message;
  EXPECT_THAT(here.value(), ElementsAre(true, true, true, true, true, false));
  // Who does not know the anchors asks everyone.
  auto other = Client::connect(cluster->options());
  ASSERT_TRUE(other);
  Space theirs = other->open_space(space->spec()).value();
  EXPECT_THAT(theirs.exists(chain.hashes).value(),
              ElementsAre(true, true, true, true, true, false));
  EXPECT_TRUE(theirs.exists({})->empty());
}

TEST_F(KvTest, WhatIsNotValidIsNamed) {
  start(1);
  Chain chain("a", 6);
  auto items = chain.writes();
  items[0].hash.clear();
  items[1].slices.clear();
  items[2].slices[0].data = nullptr;
  items[3].shard = 7;
  items[4].parent = std::string(33, 'p');
  Transfer put = space->put_kv(items);
  ASSERT_TRUE(put.wait());
  const auto all = put.outcomes();
  EXPECT_EQ(all[0].outcome, Outcome::invalid_argument);
  EXPECT_THAT(all[0].message, HasSubstr("items[0].hash"));
  EXPECT_THAT(all[1].message, HasSubstr("items[1].slices"));
  EXPECT_THAT(all[2].message, HasSubstr("items[2].slices[0]"));
  EXPECT_THAT(all[3].message, HasSubstr("items[3].shard"));
  EXPECT_THAT(all[4].message, HasSubstr("items[4].parent"));
  EXPECT_EQ(all[5].outcome, Outcome::ok);
  EXPECT_FALSE(put.all_ok());

  CallOptions options;
  options.copies = 17;
  EXPECT_THAT(this->put(chain, options), ElementsAre(Outcome::invalid_argument));
  Transfer nothing = space->put_kv({});
  EXPECT_TRUE(nothing.wait());
  EXPECT_TRUE(nothing.all_ok());
}

TEST_F(KvTest, AGetIntoMemoryOfAnotherSizeIsRefused) {
  start(1);
  Chain chain("a", 1);
  ASSERT_THAT(put(chain), ElementsAre(Outcome::ok));
  GetItem item{chain.hashes[0], {Slice::of(chain.rooms[0].data(), 100)}, 0};
  Transfer get = space->get_kv({&item, 1});
  EXPECT_THAT(outcomes(get), ElementsAre(Outcome::invalid_argument));
}

TEST_F(KvTest, ABatchLargerThanAMessageTravelsInParts) {
  start(2);
  Chain chain("a", 1500, 64);
  EXPECT_THAT(put(chain), ElementsAre(Outcome::ok));
  EXPECT_THAT(get(chain), ElementsAre(Outcome::ok));
  EXPECT_TRUE(chain.is_whole());
}

TEST_F(KvTest, MoreThanMayBeInFlightWaitsItsTurn) {
  ClientOptions options;
  options.in_flight_bytes_max = 8000;
  start(1, options);
  Chain chain("a", 30);
  EXPECT_THAT(put(chain), ElementsAre(Outcome::ok));
  EXPECT_THAT(get(chain), ElementsAre(Outcome::ok));
  EXPECT_TRUE(chain.is_whole());
}

TEST_F(KvTest, BuffersAreUsedUntilTheyAreFreed) {
  start(1);
  Slice stale;
  {
    Buffer buffer = client->allocate(8192).value();
    EXPECT_EQ(buffer.size(), 8192u);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 4096, 0u);
    buffer.data()[5000] = std::byte{9};
    stale = buffer.slice(4096, 4096);
    PutItem item;
    item.hash = "b";
    item.slices = {stale};
    Transfer put = space->put_kv({&item, 1});
    EXPECT_THAT(outcomes(put), ElementsAre(Outcome::ok));
    EXPECT_EQ(buffer.slice(8000, 200).data, nullptr);
  }
  GetItem item{"b", {stale}, 0};
  Transfer get = space->get_kv({&item, 1});
  EXPECT_THAT(outcomes(get), ElementsAre(Outcome::invalid_argument));
  EXPECT_THAT(get.outcomes()[0].message, HasSubstr("freed"));

  std::vector<std::byte> mine(4096);
  Buffer registered = client->register_memory(mine.data(), mine.size()).value();
  item.slices = {registered.slice(0, 4096)};
  Transfer again = space->get_kv({&item, 1});
  EXPECT_THAT(outcomes(again), ElementsAre(Outcome::ok));
  EXPECT_EQ(mine[904], std::byte{9});
  EXPECT_FALSE(client->register_memory(nullptr, 5));
  EXPECT_FALSE(client->allocate(0));
}

TEST_F(KvTest, AClientThatGoesSaysSo) {
  start(1);
  Chain chain("a", 1);
  ASSERT_THAT(put(chain), ElementsAre(Outcome::ok));
  space.reset();
  EXPECT_EQ(cluster->server(0).disconnects(), 0u);
  client.reset();
  EXPECT_EQ(cluster->server(0).disconnects(), 1u);
}

TEST_F(KvTest, ManyTransfersRunAtOnce) {
  start(3);
  std::deque<Chain> chains;
  std::vector<Transfer> puts;
  for (int i = 0; i < 30; ++i) {
    Chain& chain = chains.emplace_back("chain" + std::to_string(i), 8);
    puts.push_back(space->put_kv(chain.writes()));
  }
  for (Transfer& put : puts)
    EXPECT_THAT(outcomes(put), ElementsAre(Outcome::ok));
  std::vector<Transfer> gets;
  for (Chain& chain : chains)
    gets.push_back(space->get_kv(chain.reads()));
  for (Transfer& get : gets)
    EXPECT_THAT(outcomes(get), ElementsAre(Outcome::ok));
  for (const Chain& chain : chains)
    EXPECT_TRUE(chain.is_whole());
}

}  // namespace
}  // namespace tarn::sdk
