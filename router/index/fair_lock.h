#pragma once

#include <mutex>
#include <shared_mutex>

namespace tarn::index {

// A shared_mutex at which everyone takes a turn: glibc's own lets readers that overlap keep a
// writer out for ever, others let writers do so to readers. Who asks waits at the turnstile behind
// whoever asked before; a writer stands in it until it is in. Thread-safe.
class FairLock {
 public:
  void lock() {
    const std::lock_guard turn(x_turn);
    x_shared.lock();
  }
  void unlock() { x_shared.unlock(); }
  void lock_shared() {
    const std::lock_guard turn(x_turn);
    x_shared.lock_shared();
  }
  void unlock_shared() { x_shared.unlock_shared(); }

 private:
  std::mutex x_turn;
  std::shared_mutex x_shared;
};

}  // namespace tarn::index
