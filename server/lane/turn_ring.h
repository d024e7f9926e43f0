#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "server/lane/line.h"

namespace tarn::lane {

struct TurnTag;

// What takes its turn in a TurnRing.
class TurnTaker : public InLine<TurnTag> {
 private:
  template <typename T>
  friend class TurnRing;
  int64_t x_credit = 0;  // bytes that it may still send in the round `x_round`
  uint64_t x_round = 0;
};

// Deficit round robin by bytes: in each round every member may send kQuantum. Who sent more, since
// a block is never split, sits out as many rounds; also when it has left meanwhile and comes back.
// Who has sent nothing in this round goes first. One-thread; no step allocates.
template <typename T>
class TurnRing {
 public:
  static constexpr int64_t kQuantum = 256 << 10;

  bool empty() const { return x_line.empty(); }
  size_t size() const { return x_line.size(); }
  static bool holds(const T& taker) { return Members::holds(taker); }

  void add(T& taker) {
    if (settle(taker) > 0) {
      x_line.push_front(taker);
    } else {
      x_line.push_back(taker);
    }
  }
  void remove(T& taker) { x_line.remove(taker); }

  // Whose turn it is, of those that `may` send now; null: none. Looks at each at most twice.
  template <typename May>
  T* pick(May may) {
    uint64_t rounds = std::numeric_limits<uint64_t>::max();
    for (size_t left = x_line.size(); left > 0; --left) {
      T& first = x_line.front();
      if (may(first)) {
        const int64_t credit = settle(first);
        if (credit > 0) return &first;
        rounds = std::min(rounds, static_cast<uint64_t>(-credit / kQuantum) + 1);
      }
      x_line.move_to_back(first);
    }
    if (rounds == std::numeric_limits<uint64_t>::max()) return nullptr;
    x_round += rounds;
    while (!may(x_line.front()) || settle(x_line.front()) <= 0)
      x_line.move_to_back(x_line.front());
    return &x_line.front();
  }

  void charge(T& taker, uint64_t bytes) {
    const int64_t credit = settle(taker);
    taker.x_credit = credit - static_cast<int64_t>(bytes);
    if (taker.x_credit <= 0 && holds(taker)) x_line.move_to_back(taker);
  }

 private:
  using Members = Line<T, TurnTag>;

  // Credit for the rounds that have begun since it was last looked at; none is saved up.
  int64_t settle(TurnTaker& taker) const {
    constexpr uint64_t kMany = uint64_t{1} << 32;
    const auto missed = static_cast<int64_t>(std::min(x_round - taker.x_round, kMany));
    taker.x_credit = std::min(kQuantum, taker.x_credit + missed * kQuantum);
    taker.x_round = x_round;
    return taker.x_credit;
  }

  Members x_line;
  uint64_t x_round = 1;  // a newcomer has missed one: it has credit
};

}  // namespace tarn::lane
