#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>

#include "router/index/row_table.h"

namespace tarn::index {

// Prints that are looked up one after another, before whose look-ups it asks for the memory that
// those further on will touch: a block is a line of the table, a row, its body and its print, each
// known from the one before, and at ten million blocks each is a wait. Life: within one turn at the
// lock.
class Walk {
 public:
  struct Way {
    std::span<const Fingerprint> prints;  // 0: nothing is looked up there
    // Where the prints are those of anchors: what is read in the row of each. Empty: the block
    // itself.
    std::span<const uint32_t> indexes;
    // From one look-up to the next; so many blocks of the row are read.
    size_t stride = 1;
  };

  // Asks for what the first look-ups need, from prints[begin] on.
  Walk(const RowTable& rows, const Way& way, size_t begin = 0);

  // prints[at] is looked up next. Each time one stride on, or the guesses are idle.
  void go_to(size_t at) {
    ++x_step;
    ask(at, 0);
  }
  void go_to(size_t at, size_t stride) {
    x_way.stride = stride;
    go_to(at);
  }

 private:
  // Look-ups between which a place is asked for and the one that it leads to.
  static constexpr size_t kPause = 5;
  static constexpr size_t kAheadMost = 4 * kPause;
  static constexpr size_t kGuesses = 32;
  static_assert(kGuesses > kAheadMost && (kGuesses & (kGuesses - 1)) == 0);

  struct Guess {
    const Row* row = nullptr;
    uint32_t index = 0;
  };

  // For look-ups that are so many steps ahead or more.
  void ask(size_t at, size_t least);
  void ask_for_row(size_t at, size_t steps);
  void ask_for_body(const Guess& guess) const;
  void ask_for_prints(const Guess& guess) const;
  Guess& guess_of(size_t steps) { return x_guesses[(x_step + steps) % kGuesses]; }

  const RowTable& x_rows;
  Way x_way;
  size_t x_step = 0;
  std::array<Guess, kGuesses> x_guesses{};
};

}  // namespace tarn::index
