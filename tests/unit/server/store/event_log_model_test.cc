// Readers of an event log that keep up, fall behind, and outlive their server: what they were told,
// with the gaps they were told of, is what happened.
#include <barrier>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "server/store/event_log.h"
#include "tests/unit/server/store/tier_rig.h"

namespace tarn::store {
namespace {

// A change whose number can be read from it.
BlockChange change(uint64_t number) {
  BlockChange made;
  made.header.payload_bytes = number;
  made.removed = number % 3 == 0;
  return made;
}

// Follows a log as a router does.
class Reader {
 public:
  // Returns how many changes it took; -1 for a gap.
  int read(const EventLog& log, size_t most) {
    const ChangeBatch batch = log.after(x_heard, most, Nanos(0));
    EXPECT_LE(batch.changes.size(), most);
    if (batch.gap) {
      x_heard = log.last_sequence();
      return -1;
    }
    EXPECT_EQ(batch.first_sequence, x_heard + 1);
    for (const BlockChange& each : batch.changes)
      EXPECT_EQ(each.header.payload_bytes, ++x_heard) << "in order, none left out, none twice";
    return static_cast<int>(batch.changes.size());
  }

  uint64_t heard() const { return x_heard; }
  void resume_at(uint64_t sequence) { x_heard = sequence; }

 private:
  uint64_t x_heard = 0;
};

class EventLogModel : public testing::TestWithParam<size_t> {};

TEST_P(EventLogModel, AReaderHearsEverythingOrOfAGap) {
  const size_t capacity = GetParam();
  std::mt19937_64 random(capacity);
  EventLog log(capacity);
  Reader reader;
  uint64_t written = 0;
  int gaps = 0;
  for (int step = 0; step < 3000; ++step) {
    for (uint64_t i = random() % (capacity + capacity / 2 + 2); i > 0; --i)
      log.append(change(++written));
    ASSERT_EQ(log.last_sequence(), written);
    const bool must_be_gap = written - reader.heard() > capacity;
    const int got = reader.read(log, 1 + random() % (2 * capacity));
    EXPECT_EQ(got < 0, must_be_gap) << "step " << step;
    gaps += got < 0;
  }
  EXPECT_GT(gaps, 10);
}

INSTANTIATE_TEST_SUITE_P(Capacities, EventLogModel, testing::Values(1u, 2u, 7u, 64u));

TEST(EventLogEdges, TheOldestKeptIsHeardAndTheOneBeforeItIsAGap) {
  EventLog log(8);
  for (uint64_t i = 1; i <= 20; ++i)
    log.append(change(i));
  EXPECT_FALSE(log.after(12, 100, Nanos(0)).gap) << "13 to 20 are kept";
  EXPECT_EQ(log.after(12, 100, Nanos(0)).changes.size(), 8u);
  EXPECT_TRUE(log.after(11, 100, Nanos(0)).gap);
  EXPECT_FALSE(log.after(20, 100, Nanos(0)).gap) << "nothing new is no gap";
  EXPECT_TRUE(log.after(21, 100, Nanos(0)).gap) << "of a life that this is not";
}

TEST(EventLogEdges, AServersNextLifeIsAGapForAllThatReadTheFirst) {
  // Numbers rise with the clock from life to life, whatever happened in between.
  EventLog first(8, 1'000'000);
  for (uint64_t i = 1; i <= 5; ++i)
    first.append(change(i));
  EventLog second(8, 2'000'000);
  for (uint64_t heard = first.last_sequence() - 5; heard <= first.last_sequence(); ++heard)
    EXPECT_TRUE(second.after(heard, 10, Nanos(0)).gap) << heard;
  second.append(change(1));
  EXPECT_TRUE(second.after(first.last_sequence(), 10, Nanos(0)).gap);
  EXPECT_FALSE(second.after(2'000'000, 10, Nanos(0)).gap);
}

TEST(EventLogThreads, LanesWriteAndRoutersReadAtOnceWithoutLossOrDisorder) {
  constexpr int kLanes = 3;
  constexpr uint64_t kEach = 3000;
  EventLog log(kLanes * kEach);
  std::barrier start(kLanes + 2);
  std::vector<std::thread> threads;
  for (uint64_t lane = 1; lane <= kLanes; ++lane) {
    threads.emplace_back([&, lane] {
      start.arrive_and_wait();
      for (uint64_t i = 0; i < kEach; ++i)
        log.append(change(lane << 32 | i));
    });
  }
  for (int reader = 0; reader < 2; ++reader) {
    threads.emplace_back([&] {
      std::vector<uint64_t> next(kLanes + 1);
      uint64_t heard = 0;
      start.arrive_and_wait();
      while (heard < kLanes * kEach) {
        const ChangeBatch batch = log.after(heard, 100, std::chrono::seconds(10));
        ASSERT_FALSE(batch.gap);
        ASSERT_FALSE(batch.changes.empty()) << "a wait ends with a change";
        for (const BlockChange& each : batch.changes) {
          const uint64_t lane = each.header.payload_bytes >> 32;
          ASSERT_EQ(each.header.payload_bytes & 0xffffffff, next[lane]++) << "lane " << lane;
        }
        heard += batch.changes.size();
      }
    });
  }
  for (auto& thread : threads)
    thread.join();
}

TEST(EventLogThreads, ClosingEndsEveryWaiterAndLosesNothing) {
  EventLog log(8);
  std::barrier start(5);
  std::vector<std::thread> waiters;
  for (int i = 0; i < 4; ++i) {
    waiters.emplace_back([&] {
      start.arrive_and_wait();
      const ChangeBatch batch = log.after(0, 10, std::chrono::seconds(60));
      EXPECT_FALSE(batch.gap);
    });
  }
  start.arrive_and_wait();
  log.close();
  for (auto& waiter : waiters)
    waiter.join();
  log.append(change(1));
  EXPECT_EQ(log.after(0, 10, std::chrono::seconds(60)).changes.size(), 1u);
}

}  // namespace
}  // namespace tarn::store
