#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include "common/base/check.h"

namespace tarn::wire {

// At most N values inside the object itself, so that a message can be decoded without allocation.
// Value type.
template <typename T, size_t N>
class BoundedList {
 public:
  static constexpr size_t kCapacity = N;

  BoundedList() = default;
  BoundedList(const BoundedList&) = default;
  ~BoundedList() = default;
  // Only what is there: most lists of a request are short, and have room for many.
  BoundedList& operator=(const BoundedList& other) {
    if (this == &other) return *this;
    std::copy(other.begin(), other.end(), x_values.begin());
    x_size = other.x_size;
    return *this;
  }

  size_t size() const { return x_size; }
  bool empty() const { return x_size == 0; }
  bool is_full() const { return x_size == N; }

  // Returns: false when the list is full and `value` was not taken.
  bool push_back(const T& value) {
    if (is_full()) return false;
    x_values[x_size++] = value;
    return true;
  }
  void clear() { x_size = 0; }

  const T& operator[](size_t index) const {
    TARN_DCHECK(index < x_size);
    return x_values[index];
  }
  T& operator[](size_t index) {
    TARN_DCHECK(index < x_size);
    return x_values[index];
  }

  const T* begin() const { return x_values.data(); }
  const T* end() const { return x_values.data() + x_size; }

  friend bool operator==(const BoundedList& a, const BoundedList& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }

 private:
  std::array<T, N> x_values{};
  size_t x_size = 0;
};

}  // namespace tarn::wire
