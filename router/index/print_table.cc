#include "router/index/print_table.h"

namespace tarn::index {

std::vector<RowRef> PrintTable::refs_of(const Set& set) {
  std::vector<RowRef> refs;
  refs.reserve(set.count);
  for (const Chunk& chunk : set.chunks) {
    for (uint32_t slot = 0; slot < kSlots; ++slot)
      if (chunk.tags[slot] != 0) refs.push_back(chunk.refs[slot]);
  }
  TARN_CHECK(refs.size() == set.count);
  return refs;
}

void PrintTable::put(Set& set, Fingerprint print, RowRef ref) {
  for (uint32_t at = home(set, print);; at = next(set, at)) {
    Chunk& chunk = set.chunks[at];
    const Slots free(chunk, 0);
    if (!free.is_empty()) {
      chunk.tags[free.first()] = tag_of(print);
      chunk.refs[free.first()] = ref;
      return;
    }
    if (chunk.passed < UINT8_MAX) ++chunk.passed;
  }
}

void PrintTable::erase(Fingerprint print, RowRef ref) {
  Set& set = set_of(print);
  TARN_CHECK(set.count > 0);
  uint32_t at = home(set, print);
  for (size_t looked = 0; looked < set.chunks.size(); ++looked) {
    Chunk& chunk = set.chunks[at];
    for (Slots slots(chunk, tag_of(print)); !slots.is_empty(); slots.drop()) {
      if (chunk.refs[slots.first()].value != ref.value) continue;
      chunk.tags[slots.first()] = 0;
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

uint64_t PrintTable::memory_bytes() const {
  uint64_t bytes = x_sets.size() * sizeof(Set);
  for (const Set& set : x_sets)
    bytes += set.chunks.capacity() * sizeof(Chunk);
  return bytes;
}

}  // namespace tarn::index
