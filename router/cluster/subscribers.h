#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <utility>

#include "common/base/check.h"
#include "common/base/mutex.h"

namespace tarn::cluster {

// Who wants to be called with each T. Thread-safe. Subscribers are called one at a time, on the
// caller's thread, and must be quick; a subscription is never ended from within its call.
template <typename T>
class Subscribers {
 public:
  using Call = std::function<void(const T&)>;

  // Ends the calls to one subscriber with its own life; once it is destroyed none runs. The
  // Subscribers must outlive it.
  class Subscription {
   public:
    Subscription() = default;
    Subscription(Subscription&& other) noexcept
        : x_from(std::exchange(other.x_from, nullptr)), x_id(other.x_id) {}
    Subscription& operator=(Subscription&& other) noexcept {
      std::swap(x_from, other.x_from);
      std::swap(x_id, other.x_id);
      return *this;
    }
    ~Subscription() {
      if (x_from != nullptr) x_from->remove(x_id);
    }

   private:
    friend class Subscribers;
    Subscription(Subscribers* from, uint64_t id) : x_from(from), x_id(id) {}

    Subscribers* x_from = nullptr;
    uint64_t x_id = 0;
  };

  Subscribers() = default;
  Subscribers(const Subscribers&) = delete;
  Subscribers& operator=(const Subscribers&) = delete;
  ~Subscribers() {
    MutexLock lock(x_mutex);
    TARN_CHECK(x_calls.empty());
  }

  // `first` runs before any call to the new subscriber and after all calls to the others.
  [[nodiscard]] Subscription add(Call call, const std::function<void()>& first = {}) {
    TARN_CHECK(call != nullptr);
    MutexLock lock(x_mutex);
    if (first) first();
    const uint64_t id = x_next_id++;
    x_calls.emplace(id, std::move(call));
    return {this, id};
  }

  // Calls everyone with what `make` gives; null: nobody.
  void call(const std::function<const T*()>& make) {
    MutexLock lock(x_mutex);
    const T* const value = make();
    if (value == nullptr) return;
    for (const auto& [id, subscriber] : x_calls)
      subscriber(*value);
  }

 private:
  void remove(uint64_t id) {
    MutexLock lock(x_mutex);
    x_calls.erase(id);
  }

  Mutex x_mutex;
  uint64_t x_next_id TARN_GUARDED_BY(x_mutex) = 1;
  std::map<uint64_t, Call> x_calls TARN_GUARDED_BY(x_mutex);
};

}  // namespace tarn::cluster
