// Parts of the SDK that need no cluster.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <array>
#include <barrier>
#include <thread>

#include "common/base/fault_point.h"
#include "sdk/cpp/src/background.h"
#include "sdk/cpp/src/buffer.h"
#include "sdk/cpp/src/chain_cache.h"
#include "sdk/cpp/src/outcome.h"
#include "sdk/cpp/src/transfer.h"
#include "tests/unit/sdk/kv_fixture.h"

namespace tarn::sdk {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

block::BlockHash hash(const std::string& name) {
  return block::BlockHash::from(name).value();
}

block::SpaceSpec spec(uint32_t extent_blocks) {
  block::SpaceSpec spec;
  spec.extent_blocks = extent_blocks;
  return spec;
}

TEST(Outcome, EveryCodeHasOne) {
  EXPECT_EQ(outcome_name(Outcome::miss), "miss");
  EXPECT_EQ(outcome_name(Outcome::deadline_exceeded), "deadline_exceeded");
  EXPECT_EQ(outcome_of(Code::extent_full), Outcome::unavailable);
  EXPECT_EQ(outcome_of(Code::stale_epoch), Outcome::unavailable);
  EXPECT_EQ(outcome_of(Code::not_found), Outcome::miss);
}

TEST(ChainCacheTest, ABatchIsPlacedByTheWritersRule) {
  ChainCache cache(spec(2));
  const std::vector<ChainLink> batch{
      {hash("a"), {}}, {hash("b"), hash("a")}, {hash("c"), hash("b")}, {hash("x"), hash("a")}};
  EXPECT_TRUE(cache.unknown_for(batch).empty());
  const auto places = cache.plan(batch);
  EXPECT_EQ(places[1], (ring::BlockPlace{hash("a"), 1}));
  EXPECT_EQ(places[2], (ring::BlockPlace{hash("c"), 0})) << "the extent is full";
  EXPECT_EQ(places[3], (ring::BlockPlace{hash("x"), 0})) << "a fork";
  EXPECT_EQ(cache.plan(batch), places);
  EXPECT_EQ(cache.find(hash("b"))->place, places[1]);
  EXPECT_FALSE(cache.find(hash("a"))->is_last);
}

TEST(ChainCacheTest, WhatMustBeLocatedIsNamed) {
  ChainCache cache(spec(4));
  const std::vector<ChainLink> batch{{hash("b"), hash("a")}, {hash("c"), hash("b")}};
  EXPECT_THAT(cache.unknown_for(batch), ElementsAre(hash("a"), hash("b")));
  cache.learn(hash("a"), {{hash("r"), 2}, true});
  EXPECT_TRUE(cache.unknown_for(batch).empty());
  const auto places = cache.plan(batch);
  EXPECT_EQ(places[0], (ring::BlockPlace{hash("r"), 3}));
  EXPECT_EQ(places[1], (ring::BlockPlace{hash("c"), 0}));
  cache.correct(hash("b"), {hash("b"), 0}, true);
  EXPECT_EQ(cache.find(hash("b"))->place.anchor, hash("b"));
}

TEST(ChainCacheTest, RunsAreLearnt) {
  ChainCache cache(spec(4));
  const std::vector<block::BlockHash> hashes{hash("a"), hash("b")};
  cache.learn({hash("r"), 1, hashes, true});
  EXPECT_EQ(cache.find(hash("b"))->place, (ring::BlockPlace{hash("r"), 2}));
  EXPECT_TRUE(cache.find(hash("b"))->is_last);
  EXPECT_FALSE(cache.find(hash("a"))->is_last);
  // What a manifest says goes before what was known.
  const std::vector<block::BlockHash> moved{hash("b")};
  cache.learn({hash("b"), 0, moved, true});
  EXPECT_EQ(cache.find(hash("b"))->place.anchor, hash("b"));
  cache.forget(hash("b"));
  EXPECT_FALSE(cache.find(hash("b")));
}

TEST(ChainCacheTest, ForgetsTheOlderHalf) {
  ChainCache cache(spec(1));
  for (size_t i = 0; i < kChainCacheBlocksMax + 10; ++i)
    cache.learn(hash("h" + std::to_string(i)), {{hash("h" + std::to_string(i)), 0}, true});
  EXPECT_LE(cache.size(), kChainCacheBlocksMax);
  EXPECT_FALSE(cache.find(hash("h0")));
  EXPECT_TRUE(cache.find(hash("h" + std::to_string(kChainCacheBlocksMax))));
}

TEST(BackgroundTest, RunsJobsUntilItIsStopped) {
  Background background;
  std::atomic<int> ran{0};
  for (int i = 0; i < 20; ++i)
    ASSERT_TRUE(background.submit([&ran] { ++ran; }).is_ok());
  while (ran < 20)
    std::this_thread::yield();
  background.stop();
  EXPECT_EQ(background.submit([] {}).code(), Code::cancelled);
}

TEST(BackgroundTest, TakesNoMoreThanItsLimit) {
  Background background;
  std::atomic<bool> may_end{false};
  size_t taken = 0;
  while (background.submit([&may_end] { may_end.wait(false); }).is_ok())
    ++taken;
  EXPECT_GE(taken, kBackgroundJobsMax);
  EXPECT_LE(taken, kBackgroundJobsMax + kBackgroundThreads);
  may_end = true;
  may_end.notify_all();
}

TEST(TransferStateTest, EndsOnce) {
  const auto state = TransferState::open(2, system_clock().now());
  EXPECT_FALSE(state->has_ended());
  EXPECT_FALSE(state->wait(system_clock().now()));
  state->outcome(1).outcome = Outcome::ok;
  state->end();
  EXPECT_TRUE(state->wait(kNever));
  EXPECT_EQ(state->outcomes()[1].outcome, Outcome::ok);
}

bool is_readable(int fd) {
  pollfd watched{fd, POLLIN, 0};
  return poll(&watched, 1, 0) == 1;
}

TEST(TransferStateTest, ItsDescriptorTellsOfAnEndBeforeItWasAskedForAndAfter) {
  const auto before = TransferState::open(1, kNever);
  const int fd = before->fd();
  EXPECT_FALSE(is_readable(fd));
  before->end();
  EXPECT_TRUE(is_readable(fd));
  EXPECT_EQ(before->fd(), fd);
  const auto after = TransferState::open(1, kNever);
  after->end();
  EXPECT_TRUE(is_readable(after->fd()));
}

// Who asks for the descriptor just as the transfer ends is not left waiting, whoever is first.
TEST(TransferStateTest, ItsDescriptorMissesNoEnd) {
  for (int round = 0; round < 300; ++round) {
    const auto state = TransferState::open(1, kNever);
    std::barrier start(3);
    std::array<int, 2> fds{};
    const auto ask = [&](size_t i) {
      start.arrive_and_wait();
      fds[i] = state->fd();
    };
    std::thread one(ask, 0);
    std::thread two(ask, 1);
    start.arrive_and_wait();
    state->end();
    one.join();
    two.join();
    EXPECT_EQ(fds[0], fds[1]);
    EXPECT_TRUE(is_readable(fds[0]));
  }
}

TEST(TransferStateTest, CanBeWaitedForWhereNoFileDescriptorIsLeft) {
  const auto state = TransferState::open(2, kNever);
  fault::arm("sdk.transfer_fd", {});
  EXPECT_EQ(state->fd(), -1);
  EXPECT_FALSE(state->wait(system_clock().now() + std::chrono::milliseconds(3)));
  std::thread ends([&] { state->end(); });
  EXPECT_TRUE(state->wait(kNever));
  ends.join();
  fault::disarm_all();
  EXPECT_TRUE(is_readable(state->fd())) << "there are descriptors again";
}

TEST(MemoryTest, ThereMayBeNoMore) {
  fault::arm("sdk.allocate", {});
  EXPECT_EQ(Memory::allocate(4096).error().code(), Code::overloaded);
  fault::disarm_all();
  EXPECT_EQ(Memory::allocate(0).error().code(), Code::invalid_argument);
}

TEST(MemoryTest, ForeignAndWrongSlicesAreRefused) {
  BufferRegistry ours;
  BufferRegistry theirs;
  const auto memory = Memory::allocate(8192).value();
  ours.add(memory);
  EXPECT_TRUE(ours.check({memory->data() + 100, 8092, memory->id()}));
  EXPECT_FALSE(ours.check({memory->data() + 100, 8093, memory->id()}));
  EXPECT_FALSE(ours.check({memory->data(), 0, memory->id()}));
  EXPECT_FALSE(theirs.check({memory->data(), 8192, memory->id()}));
  ours.remove(memory->id());
  EXPECT_FALSE(ours.check({memory->data(), 8192, memory->id()}));
}

TEST(HasherTest, NamesBlocksAsTheEnginesDo) {
  std::vector<uint32_t> tokens(35, 7);
  const Hasher hasher = Hasher::open("sha256_cbor", "0", 16).value();
  EXPECT_THAT(hasher.hash(tokens), SizeIs(2));
  EXPECT_EQ(hasher.hash(tokens)[0].size(), 32u);
  const std::vector<std::string> extra{"lora", "salt"};
  const auto salted = hasher.hash(tokens, extra);
  EXPECT_NE(salted, hasher.hash(tokens));
  const std::vector<std::string> none{"", ""};
  EXPECT_EQ(hasher.hash(tokens, none), hasher.hash(tokens));
  EXPECT_THAT(Hasher::open("sha256_u32le", "", 16)->hash(tokens, extra), SizeIs(0));
  EXPECT_EQ(Hasher::open("md5", "", 16).error().outcome, Outcome::invalid_argument);
  EXPECT_THAT(version(), HasSubstr("UCX"));
}

}  // namespace
}  // namespace tarn::sdk
