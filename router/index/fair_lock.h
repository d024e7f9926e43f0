#pragma once

#include <mutex>
#include <shared_mutex>

#include "common/base/thread_annotations.h"

namespace tarn::index {

// A shared_mutex at which everyone takes a turn: glibc's own lets readers that overlap keep a
// writer out for ever, others let writers do so to readers. Who asks waits at the turnstile behind
// whoever asked before; a writer stands in it until it is in. Thread-safe.
class TARN_CAPABILITY("shared mutex") FairLock {
 public:
  void lock() TARN_ACQUIRE() {
    const std::lock_guard turn(x_turn);
    x_shared.lock();
  }
  void unlock() TARN_RELEASE() { x_shared.unlock(); }
  void lock_shared() TARN_ACQUIRE_SHARED() {
    const std::lock_guard turn(x_turn);
    x_shared.lock_shared();
  }
  void unlock_shared() TARN_RELEASE_SHARED() { x_shared.unlock_shared(); }

 private:
  std::mutex x_turn;
  std::shared_mutex x_shared;
};

// A writer's turn, for its own lifetime.
class TARN_SCOPED_CAPABILITY WriteTurn {
 public:
  explicit WriteTurn(FairLock& lock) TARN_ACQUIRE(lock) : x_lock(lock) { x_lock.lock(); }
  ~WriteTurn() TARN_RELEASE() { x_lock.unlock(); }
  WriteTurn(const WriteTurn&) = delete;
  WriteTurn& operator=(const WriteTurn&) = delete;

 private:
  FairLock& x_lock;
};

// A reader's turn, for its own lifetime.
class TARN_SCOPED_CAPABILITY ReadTurn {
 public:
  explicit ReadTurn(FairLock& lock) TARN_ACQUIRE_SHARED(lock) : x_lock(lock) {
    x_lock.lock_shared();
  }
  ~ReadTurn() TARN_RELEASE() { x_lock.unlock_shared(); }
  ReadTurn(const ReadTurn&) = delete;
  ReadTurn& operator=(const ReadTurn&) = delete;

 private:
  FairLock& x_lock;
};

}  // namespace tarn::index
