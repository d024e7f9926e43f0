#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "common/base/check.h"

namespace tarn::lane {

// Objects that are used again and again, made when first needed and never more than `capacity`.
// One-thread. T has a `bool in_use` of its own; take() gives it as it was left.
template <typename T>
class Pool {
 public:
  explicit Pool(size_t capacity) : x_capacity(capacity) {}

  // Null when all are in use.
  T* take() {
    if (x_free.empty()) {
      if (x_all.size() >= x_capacity) return nullptr;
      x_all.push_back(std::make_unique<T>());
      x_free.push_back(x_all.back().get());
    }
    T* taken = x_free.back();
    x_free.pop_back();
    TARN_CHECK(!taken->in_use);
    taken->in_use = true;
    return taken;
  }

  void give_back(T& object) {
    TARN_CHECK(object.in_use);
    object.in_use = false;
    x_free.push_back(&object);
  }

  size_t used() const { return x_all.size() - x_free.size(); }

  // Calls `visit` for those in use; it may give back the one it is called for.
  template <typename Visit>
  void for_each(Visit visit) {
    for (size_t i = 0; i < x_all.size(); ++i) {
      if (x_all[i]->in_use) visit(*x_all[i]);
    }
  }

  // The same; each call begins with the next one, so that nobody always comes first.
  template <typename Visit>
  void for_each_in_turn(Visit visit) {
    const size_t first = x_first;
    bool is_first = true;
    for (size_t i = 0; i < x_all.size(); ++i) {
      const size_t at = (first + i) % x_all.size();
      if (!x_all[at]->in_use) continue;
      if (std::exchange(is_first, false)) x_first = at + 1;
      visit(*x_all[at]);
    }
  }

 private:
  const size_t x_capacity;
  size_t x_first = 0;
  std::vector<std::unique_ptr<T>> x_all;
  std::vector<T*> x_free;
};

}  // namespace tarn::lane
