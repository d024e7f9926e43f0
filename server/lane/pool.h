#pragma once

#include <cstddef>
#include <memory>
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

 private:
  const size_t x_capacity;
  std::vector<std::unique_ptr<T>> x_all;
  std::vector<T*> x_free;
};

}  // namespace tarn::lane
