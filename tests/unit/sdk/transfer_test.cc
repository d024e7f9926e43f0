// A Transfer's life: waited for, polled, cancelled, moved, dropped in flight, many at once.
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <barrier>
#include <thread>

#include "sdk/cpp/src/io_loop.h"
#include "tests/unit/sdk/kv_fixture.h"

namespace tarn::sdk {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::Each;
using ::testing::ElementsAre;

constexpr int kThreads = 4;

CallOptions within(uint32_t ms) {
  CallOptions options;
  options.timeout_ms = ms;
  return options;
}

class TransferTest : public KvTest {
 protected:
  // A chain that is stored, behind a server that does not answer.
  Chain& stored_and_silent(size_t count = 3) {
    chain.emplace("a", count);
    EXPECT_THAT(put(*chain), ElementsAre(Outcome::ok));
    cluster->server(0).hang(true);
    return *chain;
  }
  void answer() { cluster->server(0).hang(false); }

  std::optional<Chain> chain;
};

// Processor time of the calling thread.
milliseconds own_time() {
  rusage used{};
  EXPECT_EQ(getrusage(RUSAGE_THREAD, &used), 0);
  const auto ms = [](const timeval& time) { return time.tv_sec * 1000 + time.tv_usec / 1000; };
  return milliseconds(ms(used.ru_utime) + ms(used.ru_stime));
}

TEST_F(TransferTest, WhoWaitsSleepsUnlessItsClientIsPolling) {
  for (const bool is_polling : {false, true}) {
    ClientOptions options;
    options.polling = is_polling;
    start(1, options);
    Transfer get = space->get_kv(stored_and_silent().reads());
    const milliseconds before = own_time();
    EXPECT_EQ(get.wait(200).error().outcome, Outcome::deadline_exceeded);
    const milliseconds used = own_time() - before;
    // A tenth of a busy machine is as much as it is sure to have.
    EXPECT_EQ(used >= milliseconds(20), is_polling) << used.count() << " ms of 200";
    answer();
    EXPECT_TRUE(get.wait());
    EXPECT_TRUE(get.all_ok());
    space.reset();
    client.reset();
  }
}

TEST_F(TransferTest, IsQuietUntilItHasEndedAndReadableEverAfter) {
  start(1);
  Transfer get = space->get_kv(stored_and_silent().reads());
  pollfd readable{get.fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&readable, 1, 0), 0);
  EXPECT_FALSE(get.poll());
  EXPECT_FALSE(get.all_ok());
  EXPECT_EQ(get.wait(1).error().outcome, Outcome::deadline_exceeded) << "of the wait alone";
  answer();
  EXPECT_TRUE(get.wait());
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(::poll(&readable, 1, 0), 1);
    EXPECT_TRUE(get.wait(1)) << "as often as one likes";
  }
  EXPECT_TRUE(get.all_ok());
}

TEST_F(TransferTest, ManyAreWaitedForByOneEpoll) {
  start(2);
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  std::deque<Chain> chains;
  std::vector<Transfer> puts;
  for (uint32_t i = 0; i < 20; ++i) {
    puts.push_back(space->put_kv(chains.emplace_back("c" + std::to_string(i), 2).writes()));
    epoll_event wanted{};
    wanted.events = EPOLLIN;
    wanted.data.u32 = i;
    ASSERT_EQ(epoll_ctl(epoll, EPOLL_CTL_ADD, puts.back().fd(), &wanted), 0);
  }
  size_t ended = 0;
  while (ended < puts.size()) {
    epoll_event ready{};
    ASSERT_EQ(epoll_wait(epoll, &ready, 1, 10'000), 1);
    Transfer& put = puts[ready.data.u32];
    EXPECT_TRUE(put.poll() && put.all_ok());
    epoll_ctl(epoll, EPOLL_CTL_DEL, put.fd(), nullptr);
    ++ended;
  }
  ::close(epoll);
}

// Who waits does the work of the client's thread meanwhile, and has to leave it to others.
TEST_F(TransferTest, WhatAWaitLeavesBehindGoesOnByItself) {
  start(1);
  Transfer get = space->get_kv(stored_and_silent().reads());
  EXPECT_EQ(get.wait(5).error().outcome, Outcome::deadline_exceeded);
  answer();
  pollfd readable{get.fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&readable, 1, 10'000), 1) << "without another wait";
  EXPECT_TRUE(get.all_ok());
}

TEST_F(TransferTest, AWaitThatGivesUpLeavesOthersToTheirs) {
  start(1);
  Transfer first = space->get_kv(stored_and_silent().reads());
  Chain again("a", 3);
  Transfer second = space->get_kv(again.reads());
  std::barrier both(2);
  std::thread waiter([&] {
    both.arrive_and_wait();
    EXPECT_TRUE(second.wait());
  });
  both.arrive_and_wait();
  EXPECT_EQ(first.wait(20).error().outcome, Outcome::deadline_exceeded);
  answer();
  waiter.join();
  EXPECT_TRUE(second.all_ok());
  EXPECT_TRUE(first.wait());
}

TEST_F(TransferTest, MovedFromHasEndedAndHoldsNothing) {
  start(1);
  Chain& in_flight = stored_and_silent();
  Transfer get = space->get_kv(in_flight.reads());
  Transfer moved = std::move(get);
  EXPECT_EQ(get.fd(), -1);  // NOLINT: a moved-from one is asked on purpose
  EXPECT_TRUE(get.poll());
  EXPECT_TRUE(get.wait());
  EXPECT_TRUE(get.outcomes().empty());
  get.cancel();
  EXPECT_FALSE(moved.poll()) << "what was moved goes on";
  answer();
  EXPECT_TRUE(moved.wait());
  EXPECT_TRUE(moved.all_ok());
}

// Under asan this is the proof that nobody writes to memory after the destructor.
TEST_F(TransferTest, DroppedInFlightLetsGoOfItsMemory) {
  start(1);
  chain.emplace("a", 4, 300'000);
  ASSERT_THAT(put(*chain), ElementsAre(Outcome::ok));
  for (int round = 0; round < 8; ++round) {
    std::vector<std::string> rooms(4, std::string(300'000, '\0'));
    std::vector<GetItem> items;
    for (size_t i = 0; i < 4; ++i)
      items.push_back({chain->hashes[i], {Slice::of(rooms[i].data(), rooms[i].size())}, 0});
    { const Transfer dropped = space->get_kv(items); }
    if (round % 2 == 0) std::this_thread::yield();
  }
  EXPECT_THAT(get(*chain), ElementsAre(Outcome::ok)) << "the connection works, or another does";
  EXPECT_TRUE(chain->is_whole());
}

TEST_F(TransferTest, AssignedOverEndsWhatItWasBefore) {
  start(1);
  Chain& in_flight = stored_and_silent();
  Transfer transfer = space->get_kv(in_flight.reads());
  const Instant begin = system_clock().now();
  transfer = space->get_kv({});
  EXPECT_LT(system_clock().now() - begin, seconds(2));
  EXPECT_TRUE(transfer.poll());
  answer();
}

TEST_F(TransferTest, CancelIsHeardAtEveryStageAndMayBeRepeated) {
  start(1);
  Chain unplaced("nobody-knows", 2);
  cluster->router(0).hang(true);
  Transfer locating = space->get_kv(unplaced.reads());
  locating.cancel();
  locating.cancel();
  cluster->router(0).hang(false);
  EXPECT_TRUE(locating.wait(5000));
  EXPECT_THAT(outcomes(locating), ElementsAre(Outcome::cancelled));

  Transfer flying = space->get_kv(stored_and_silent().reads());
  flying.cancel();
  EXPECT_TRUE(flying.wait(2000));
  EXPECT_THAT(outcomes(flying), ElementsAre(Outcome::cancelled));
  answer();

  Transfer ended = space->get_kv(chain->reads());
  ASSERT_TRUE(ended.wait());
  ended.cancel();
  EXPECT_TRUE(ended.all_ok()) << "outcomes never change again";
}

TEST_F(TransferTest, ACancelFromAnotherThreadEndsAWait) {
  start(1);
  Transfer get = space->get_kv(stored_and_silent().reads());
  std::barrier start_line(2);
  std::thread other([&] {
    start_line.arrive_and_wait();
    get.cancel();
  });
  start_line.arrive_and_wait();
  const Instant begin = system_clock().now();
  EXPECT_TRUE(get.wait());
  EXPECT_LT(system_clock().now() - begin, seconds(3));
  other.join();
  answer();
}

TEST_F(TransferTest, AThousandAreInFlightAtOnce) {
  start(2);
  constexpr size_t kCount = 1000;
  std::deque<Chain> chains;
  std::vector<Transfer> puts;
  for (size_t i = 0; i < kCount; ++i)
    puts.push_back(space->put_kv(chains.emplace_back("t" + std::to_string(i), 1, 64).writes()));
  for (Transfer& put : puts)
    ASSERT_THAT(outcomes(put), ElementsAre(Outcome::ok));
  std::vector<Transfer> gets;
  for (Chain& each : chains)
    gets.push_back(space->get_kv(each.reads()));
  for (size_t i = gets.size(); i-- > 0;)
    ASSERT_THAT(outcomes(gets[i]), ElementsAre(Outcome::ok)) << "waited for in any order";
  for (const Chain& each : chains)
    ASSERT_TRUE(each.is_whole());
}

TEST_F(TransferTest, OneMoreThanMayBeUnderWayIsOverloadedAtOnce) {
  start(1);
  Chain& silent = stored_and_silent(1);
  const auto reads = silent.reads();
  std::vector<Transfer> gets;
  size_t refused = 0;
  for (size_t i = 0; i < kFlightsMax + 8; ++i) {
    gets.push_back(space->get_kv(reads));
    if (!gets.back().poll()) continue;
    ++refused;
    EXPECT_EQ(gets.back().outcomes()[0].outcome, Outcome::overloaded);
  }
  EXPECT_EQ(refused, 8u);
  for (Transfer& get : gets)
    get.cancel();
  gets.clear();
  answer();
  EXPECT_THAT(get(silent), ElementsAre(Outcome::ok)) << "there is room again";
}

TEST_F(TransferTest, ThreadsShareAClientAndASpace) {
  start(2);
  std::barrier start_line(kThreads);
  std::vector<std::thread> threads;
  std::atomic<int> whole{0};
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      Space mine = *space;
      start_line.arrive_and_wait();
      for (int k = 0; k < 8; ++k) {
        Chain own("th" + std::to_string(i) + "-" + std::to_string(k), 5, 700);
        Transfer put = mine.put_kv(own.writes());
        if (!put.wait() || !put.all_ok()) continue;
        Transfer get = mine.get_kv(own.reads());
        if (!get.wait() || !get.all_ok()) continue;
        const auto exists = mine.exists(own.hashes);
        if (own.is_whole() && exists && *exists == std::vector<bool>(5, true)) ++whole;
      }
    });
  }
  for (std::thread& each : threads)
    each.join();
  EXPECT_EQ(whole, kThreads * 8);
}

// The same chain from several threads: one of them wins each block, all end well.
TEST_F(TransferTest, ThreadsThatPutTheSameBlocksAllSucceed) {
  start(2);
  std::barrier start_line(kThreads);
  std::vector<std::thread> threads;
  std::atomic<size_t> fresh{0};
  std::atomic<int> good{0};
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      Chain same("same", 20, 500);
      const auto items = same.writes();
      start_line.arrive_and_wait();
      Transfer put = space->put_kv(items);
      if (!put.wait() || !put.all_ok()) return;
      ++good;
      for (const BlockOutcome& outcome : put.outcomes())
        fresh += outcome.outcome == Outcome::ok ? 1 : 0;
    });
  }
  for (std::thread& each : threads)
    each.join();
  EXPECT_EQ(good, kThreads);
  EXPECT_GE(fresh, 20u);
  EXPECT_EQ(cluster->server(0).block_count() + cluster->server(1).block_count(), 20u);
}

// Every handle keeps what it needs: the order in which they go does not matter.
TEST_F(TransferTest, OutlivesItsSpaceAndItsClient) {
  start(1);
  Chain& silent = stored_and_silent();
  Transfer get = space->get_kv(silent.reads());
  space.reset();
  client.reset();
  answer();
  EXPECT_TRUE(get.wait());
  EXPECT_TRUE(get.all_ok());
}

TEST_F(TransferTest, TheClientMayGoWhileCallsRun) {
  start(1);
  Chain& silent = stored_and_silent();
  Space copy = *space;
  Session session = space->open_session("s");
  Transfer get = space->get_kv(silent.reads(), within(500));
  std::thread caller([&] { EXPECT_FALSE(copy.exists(silent.hashes, within(300))); });
  space.reset();
  client.reset();
  caller.join();
  EXPECT_TRUE(get.wait());
  EXPECT_FALSE(session.resolve(within(500)).has_value());
  answer();
}

TEST_F(TransferTest, AWaitIsNeverLongerThanItsDeadlineAndABit) {
  start(1);
  Chain& silent = stored_and_silent();
  for (const uint32_t ms : {1u, 50u, 200u}) {
    const Instant begin = system_clock().now();
    Transfer get = space->get_kv(silent.reads(), within(ms));
    EXPECT_TRUE(get.wait());
    EXPECT_GE(system_clock().now() - begin, milliseconds(ms) - milliseconds(1));
    EXPECT_LT(system_clock().now() - begin, milliseconds(ms) + seconds(1));
  }
  answer();
}

TEST_F(TransferTest, AtMostSoManyBytesAreInFlightAndNoneStarves) {
  ClientOptions options;
  options.in_flight_bytes_max = 10'000;
  start(1, options);
  Chain small("s", 20, 400);
  Chain large("l", 3, 50'000);
  Transfer first = space->put_kv(small.writes());
  Transfer second = space->put_kv(large.writes());
  EXPECT_THAT(outcomes(second), ElementsAre(Outcome::ok)) << "one block may pass the limit alone";
  EXPECT_THAT(outcomes(first), ElementsAre(Outcome::ok));
}

#ifndef __SANITIZE_THREAD__
// The child has the client's memory and none of its threads.
int in_a_child(const std::function<bool()>& check) {
  const pid_t child = fork();
  if (child == 0) _exit(check() ? 0 : 1);
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(TransferTest, AForkedChildIsToldSoAndEndsWithoutWaiting) {
  start(1);
  Chain& silent = stored_and_silent();
  std::optional<Transfer> in_flight = space->get_kv(silent.reads());
  std::optional<Buffer> buffer = client->allocate(4096).value();
  const std::vector<BlockHash> hashes{"a"};
  EXPECT_EQ(in_a_child([&] {
              Transfer get = space->get_kv(silent.reads());
              bool is_told = get.wait(1000).has_value();
              for (const BlockOutcome& outcome : get.outcomes())
                is_told &= outcome.outcome == Outcome::unsupported;
              is_told &= space->match(hashes).error().outcome == Outcome::unsupported;
              is_told &= space->exists(hashes).error().outcome == Outcome::unsupported;
              is_told &= client->allocate(10).error().outcome == Outcome::unsupported;
              is_told &= client->register_worker(*space, {"w", "e"}).error().outcome ==
                         Outcome::unsupported;
              is_told &=
                  Client::connect(cluster->options()).error().outcome == Outcome::unsupported;
              return is_told;
            }),
            0);
  EXPECT_EQ(in_a_child([&] {
              in_flight.reset();
              buffer.reset();
              space.reset();
              client.reset();
              return true;
            }),
            0)
      << "all handles go without a wait";
  answer();
  EXPECT_TRUE(in_flight->wait());
  EXPECT_TRUE(in_flight->all_ok()) << "the parent goes on";
}
#endif

}  // namespace
}  // namespace tarn::sdk
