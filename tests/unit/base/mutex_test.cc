#include "common/base/mutex.h"

#include <gtest/gtest.h>

#include <deque>
#include <thread>
#include <vector>

namespace tarn {
namespace {

// A queue as servers use it: one lock, one condition.
class Queue {
 public:
  void push(int value) {
    MutexLock lock(x_mutex);
    x_values.push_back(value);
    x_changed.notify_one();
  }

  int pop() {
    MutexLock lock(x_mutex);
    while (x_values.empty())
      x_changed.wait(x_mutex);
    const int value = x_values.front();
    x_values.pop_front();
    return value;
  }

  bool wait_for_any(Nanos span) {
    MutexLock lock(x_mutex);
    return !x_values.empty() || x_changed.wait_for(x_mutex, span);
  }

 private:
  Mutex x_mutex;
  CondVar x_changed;
  std::deque<int> x_values TARN_GUARDED_BY(x_mutex);
};

TEST(Mutex, hands_every_value_from_writers_to_readers_once) {
  constexpr int kEach = 1000;
  Queue queue;
  std::vector<std::thread> writers;
  for (int writer = 0; writer < 2; writer++) {
    writers.emplace_back([&queue] {
      for (int i = 1; i <= kEach; i++)
        queue.push(i);
    });
  }
  int sum = 0;
  for (int i = 0; i < 2 * kEach; i++)
    sum += queue.pop();
  for (std::thread& writer : writers)
    writer.join();
  EXPECT_EQ(sum, kEach * (kEach + 1));
}

TEST(Mutex, try_lock_says_whether_it_got_it) {
  Mutex mutex;
  MutexLock lock(mutex);
  std::thread([&mutex] {
    const bool got = mutex.try_lock();
    if (got) mutex.unlock();
    EXPECT_FALSE(got);
  }).join();
}

TEST(CondVar, a_timed_wait_ends_and_leaves_the_lock_held) {
  Queue queue;
  EXPECT_FALSE(queue.wait_for_any(Millis(1)));
  queue.push(1);
  EXPECT_TRUE(queue.wait_for_any(Millis(1)));
  EXPECT_EQ(queue.pop(), 1);
}

}  // namespace
}  // namespace tarn
