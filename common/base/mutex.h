#pragma once

#include <condition_variable>
#include <mutex>

#include "common/base/clock.h"
#include "common/base/thread_annotations.h"

namespace tarn {

// std::mutex that clang's thread-safety analysis knows. Thread-safe.
class TARN_CAPABILITY("mutex") Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock() TARN_ACQUIRE() { x_mutex.lock(); }
  void unlock() TARN_RELEASE() { x_mutex.unlock(); }
  bool try_lock() TARN_TRY_ACQUIRE(true) { return x_mutex.try_lock(); }

 private:
  friend class CondVar;
  std::mutex x_mutex;
};

// Holds a Mutex for its own lifetime.
class TARN_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) TARN_ACQUIRE(mutex) : x_mutex(mutex) { x_mutex.lock(); }
  ~MutexLock() TARN_RELEASE() { x_mutex.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& x_mutex;
};

// Condition variable over Mutex. Thread-safe. Waits may end early, so they stand in a loop over
// what is waited for: `while (x_queue.empty()) x_changed.wait(x_mutex);`
class CondVar {
 public:
  // Precondition: the caller holds `mutex`; it is free while the call sleeps, held on return.
  void wait(Mutex& mutex) TARN_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.x_mutex, std::adopt_lock);
    x_condition.wait(lock);
    lock.release();
  }

  // The same for at most `span` of real time. False when the time ran out.
  bool wait_for(Mutex& mutex, Nanos span) TARN_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.x_mutex, std::adopt_lock);
    const std::cv_status status = x_condition.wait_for(lock, span);
    lock.release();
    return status == std::cv_status::no_timeout;
  }

  void notify_one() { x_condition.notify_one(); }
  void notify_all() { x_condition.notify_all(); }

 private:
  std::condition_variable x_condition;
};

}  // namespace tarn
