#include "router/index/print_table.h"

#include <memory>

namespace tarn::index {

void PrintTable::insert(Fingerprint print, RowRef ref) {
  Set& set = set_of(print);
  if (set.count >= set.size * kFullSlots) grow(set);
  put(set, check_of(print), ref);
  ++set.count;
}

void PrintTable::put(Set& set, uint32_t check, RowRef ref) {
  constexpr uint8_t kAll = (1u << kSlots) - 1;
  for (uint32_t at = home(set, check);; at = next(set, at)) {
    Chunk& chunk = set.chunks[at];
    if (chunk.used != kAll) {
      const auto slot = static_cast<uint32_t>(std::countr_one(chunk.used));
      chunk.checks[slot] = check;
      chunk.refs[slot] = ref;
      chunk.used = static_cast<uint8_t>(chunk.used | 1u << slot);
      return;
    }
    if (chunk.passed < UINT8_MAX) ++chunk.passed;
  }
}

void PrintTable::erase(Fingerprint print, RowRef ref) {
  Set& set = set_of(print);
  const uint32_t check = check_of(print);
  TARN_CHECK(set.count > 0);
  uint32_t at = home(set, check);
  for (uint32_t looked = 0; looked < set.size; ++looked) {
    Chunk& chunk = set.chunks[at];
    for (uint32_t slots = chunk.slots_with(check); slots != 0; slots &= slots - 1) {
      const auto slot = static_cast<uint32_t>(std::countr_zero(slots));
      if (chunk.refs[slot].value != ref.value) continue;
      chunk.used = static_cast<uint8_t>(chunk.used & ~(1u << slot));
      --set.count;
      return;
    }
    // It went on from here.
    TARN_CHECK(chunk.passed > 0);
    if (chunk.passed < UINT8_MAX) --chunk.passed;
    at = next(set, at);
  }
  TARN_CHECK(false);
}

// From the first chunk to the last in both: an entry's home stays in about the same part of a set.
void PrintTable::grow(Set& set) {
  const Set before = set;
  set.size = before.size + before.size / 2 + 1;
  set.chunks = static_cast<Chunk*>(x_arena.take(set.size * sizeof(Chunk)));
  std::uninitialized_value_construct_n(set.chunks, set.size);
  uint32_t moved = 0;
  for (uint32_t at = 0; at < before.size; ++at) {
    const Chunk& chunk = before.chunks[at];
    for (uint32_t slots = chunk.used; slots != 0; slots &= slots - 1, ++moved) {
      const auto slot = static_cast<size_t>(std::countr_zero(slots));
      put(set, chunk.checks[slot], chunk.refs[slot]);
    }
  }
  TARN_CHECK(moved == set.count);
  if (before.size > 0) x_arena.give(before.chunks, before.size * sizeof(Chunk));
}

}  // namespace tarn::index
