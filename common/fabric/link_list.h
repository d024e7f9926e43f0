#pragma once

#include <cstddef>

#include "common/base/check.h"
#include "common/fabric/link_op.h"

namespace tarn::fabric {

// A list of operations that are linked through their own State. One-thread; owns nothing.
template <LinkOp* LinkOp::State::*Next, LinkOp* LinkOp::State::*Previous,
          bool LinkOp::State::*IsMember>
class LinkOpList {
 public:
  bool empty() const { return x_first == nullptr; }
  size_t size() const { return x_size; }
  LinkOp* first() const { return x_first; }
  static LinkOp* after(const LinkOp& op) { return op.state.*Next; }

  void push_back(LinkOp& op) {
    TARN_CHECK(!(op.state.*IsMember));
    op.state.*IsMember = true;
    op.state.*Next = nullptr;
    op.state.*Previous = x_last;
    (x_last == nullptr ? x_first : x_last->state.*Next) = &op;
    x_last = &op;
    ++x_size;
  }

  void remove(LinkOp& op) {
    TARN_CHECK(op.state.*IsMember);
    LinkOp* const next = op.state.*Next;
    LinkOp* const previous = op.state.*Previous;
    (previous == nullptr ? x_first : previous->state.*Next) = next;
    (next == nullptr ? x_last : next->state.*Previous) = previous;
    op.state.*IsMember = false;
    --x_size;
  }

 private:
  LinkOp* x_first = nullptr;
  LinkOp* x_last = nullptr;
  size_t x_size = 0;
};

using ActiveOps =
    LinkOpList<&LinkOp::State::next, &LinkOp::State::previous, &LinkOp::State::is_active>;
using WaitingOps = LinkOpList<&LinkOp::State::waiting_next, &LinkOp::State::waiting_previous,
                              &LinkOp::State::is_waiting>;

}  // namespace tarn::fabric
