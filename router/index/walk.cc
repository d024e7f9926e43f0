#include "router/index/walk.h"

#include <algorithm>

#include "common/base/check.h"

namespace tarn::index {
namespace {

constexpr size_t kLineBytes = 64;
constexpr size_t kLinePrints = kLineBytes / sizeof(Fingerprint);

}  // namespace

Walk::Walk(const RowTable& rows, const Way& way, size_t begin) : x_rows(rows), x_way(way) {
  TARN_DCHECK(way.stride > 0);
  TARN_DCHECK(way.indexes.empty() || way.indexes.size() == way.prints.size());
  // As if it had come from afar: the places that do not depend on each other go out together.
  for (size_t least = kAheadMost; least > 0; --least) {
    ++x_step;
    ask(begin - least * way.stride, least);
  }
}

void Walk::ask(size_t at, size_t least) {
  const size_t table = at + 4 * kPause * x_way.stride;
  if (table < x_way.prints.size() && x_way.prints[table] != 0) x_rows.fetch(x_way.prints[table]);
  if (3 * kPause >= least) ask_for_row(at + 3 * kPause * x_way.stride, 3 * kPause);
  if (2 * kPause >= least) ask_for_body(guess_of(2 * kPause));
  if (kPause >= least) ask_for_prints(guess_of(kPause));
}

void Walk::ask_for_row(size_t at, size_t steps) {
  Guess& guess = guess_of(steps);
  guess.row = nullptr;
  if (at >= x_way.prints.size() || x_way.prints[at] == 0) return;
  const auto ref = x_rows.guess(x_way.prints[at]);
  if (!ref) return;
  guess.row = &x_rows.row(*ref);
  guess.index = x_way.indexes.empty() ? ref->index() : x_way.indexes[at];
  __builtin_prefetch(guess.row);
  // Of four rows in their places two lie across lines.
  __builtin_prefetch(reinterpret_cast<const char*>(guess.row + 1) - 1);
}

void Walk::ask_for_body(const Guess& guess) const {
  if (guess.row != nullptr) __builtin_prefetch(guess.row->body);
}

void Walk::ask_for_prints(const Guess& guess) const {
  if (guess.row == nullptr || guess.row->body == nullptr) return;
  const auto prints = guess.row->body->prints();
  const size_t first = guess.index == 0 ? 0 : guess.index - 1;
  const size_t end = std::min(first + x_way.stride, prints.size());
  for (size_t i = first; i < end; i += kLinePrints)
    __builtin_prefetch(&prints[i]);
}

}  // namespace tarn::index
