#pragma once

#include <cstddef>
#include <utility>

#include "common/base/check.h"

namespace tarn::lane {

// What can stand in one Line of the kind `Tag`, by inheritance; of several kinds at a time.
template <typename Tag>
class InLine {
 public:
  InLine() = default;
  ~InLine() { TARN_CHECK(x_after == nullptr); }
  InLine(const InLine&) = delete;
  InLine& operator=(const InLine&) = delete;

 private:
  template <typename T, typename OfTag>
  friend class Line;
  InLine* x_before = nullptr;
  InLine* x_after = nullptr;  // null: in no line
};

// A list of objects linked through themselves: no step allocates. One-thread; owns nothing, and is
// empty when it goes.
template <typename T, typename Tag>
class Line {
 public:
  Line() { x_ends.x_before = x_ends.x_after = &x_ends; }
  ~Line() {
    TARN_CHECK(empty());
    x_ends.x_before = x_ends.x_after = nullptr;
  }

  bool empty() const { return x_ends.x_after == &x_ends; }
  size_t size() const { return x_size; }
  T& front() const {
    TARN_DCHECK(!empty());
    return static_cast<T&>(*x_ends.x_after);
  }
  static bool holds(const T& object) {
    return static_cast<const InLine<Tag>&>(object).x_after != nullptr;
  }

  void push_back(T& object) { insert(object, x_ends); }
  void push_front(T& object) { insert(object, *x_ends.x_after); }
  void remove(T& object) {
    InLine<Tag>& link = object;
    TARN_CHECK(link.x_after != nullptr);
    link.x_before->x_after = link.x_after;
    link.x_after->x_before = link.x_before;
    link.x_before = link.x_after = nullptr;
    --x_size;
  }
  void move_to_back(T& object) {
    remove(object);
    push_back(object);
  }

 private:
  void insert(InLine<Tag>& link, InLine<Tag>& after) {
    TARN_CHECK(link.x_after == nullptr);
    link.x_after = &after;
    link.x_before = after.x_before;
    link.x_before->x_after = &link;
    after.x_before = &link;
    ++x_size;
  }

  InLine<Tag> x_ends;
  size_t x_size = 0;
};

}  // namespace tarn::lane
