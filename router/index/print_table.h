#pragma once

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <vector>

#include "common/base/check.h"
#include "router/index/arena.h"
#include "router/index/fingerprint.h"
#include "router/index/row_ref.h"

namespace tarn::index {

// Which block a fingerprint names: a hash table that keeps 32 bits of each fingerprint beside its
// RowRef, seven to a cache line; the rows have them whole. So a look-up is one line here and then
// the row, for a block that is absent nearly always the line alone, and a table that grows needs no
// rows: those 32 bits say where in the set an entry belongs. Guarded by the lock of the Index.
// Life: whoever holds the rows asks and changes both together; the arena outlives it. Limits: none
// of its own. 11 to 16 bytes a block.
class PrintTable {
 public:
  explicit PrintTable(Arena& arena) : x_arena(arena), x_sets(size_t{1} << kSetBits) {}
  PrintTable(const PrintTable&) = delete;
  PrintTable& operator=(const PrintTable&) = delete;

  // The block for which `is_it(RowRef)` holds, of those that may be meant.
  template <typename IsIt>
  std::optional<RowRef> find(Fingerprint print, IsIt is_it) const {
    const Set& set = set_of(print);
    const uint32_t check = check_of(print);
    uint32_t at = home(set, check);
    for (uint32_t looked = 0; looked < set.size; ++looked) {
      const Chunk& chunk = set.chunks[at];
      for (uint32_t slots = chunk.slots_with(check); slots != 0; slots &= slots - 1) {
        const RowRef ref = chunk.refs[static_cast<size_t>(std::countr_zero(slots))];
        if (is_it(ref)) return ref;
      }
      if (chunk.passed == 0) return std::nullopt;
      at = next(set, at);
    }
    return std::nullopt;
  }

  // Asks for the line in which the print stands or would stand.
  void fetch(Fingerprint print) const {
    const Set& set = set_of(print);
    __builtin_prefetch(set.chunks + home(set, check_of(print)));
  }
  // Most likely what find() will look at first.
  std::optional<RowRef> guess(Fingerprint print) const {
    const Set& set = set_of(print);
    if (set.size == 0) return std::nullopt;
    const uint32_t check = check_of(print);
    const Chunk& chunk = set.chunks[home(set, check)];
    const uint32_t slots = chunk.slots_with(check);
    if (slots == 0) return std::nullopt;
    return chunk.refs[static_cast<size_t>(std::countr_zero(slots))];
  }

  // Precondition: the print is not here.
  void insert(Fingerprint print, RowRef ref);
  // Precondition: insert(print, ref).
  void erase(Fingerprint print, RowRef ref);

 private:
  // Small sets, so that one that grows stops the others for a moment only.
  static constexpr uint32_t kSetBits = 8;
  static constexpr uint32_t kSlots = 7;
  // Of a chunk on average, at most.
  static constexpr uint64_t kFullSlots = 6;

  struct alignas(64) Chunk {
    std::array<uint32_t, kSlots> checks{};
    uint8_t used = 0;    // bit i: slot i
    uint8_t passed = 0;  // prints that found no room here and went on; 255: so many or more
    uint16_t unused = 0;
    std::array<RowRef, kSlots> refs{};

    // Bit i: slot i is used, and has this check.
    uint32_t slots_with(uint32_t check) const {
#ifdef __SSE2__
      // The eighth word compared is no check; `used` has no bit for it.
      const auto* const words = reinterpret_cast<const __m128i*>(this);
      const __m128i wanted = _mm_set1_epi32(static_cast<int>(check));
      const __m128i low = _mm_cmpeq_epi32(_mm_load_si128(words), wanted);
      const __m128i high = _mm_cmpeq_epi32(_mm_load_si128(words + 1), wanted);
      const int found =
          _mm_movemask_ps(_mm_castsi128_ps(low)) | _mm_movemask_ps(_mm_castsi128_ps(high)) << 4;
      return static_cast<uint32_t>(found) & used;
#else
      uint32_t slots = 0;
      for (uint32_t i = 0; i < kSlots; ++i)
        slots |= static_cast<uint32_t>(checks[i] == check) << i;
      return slots & used;
#endif
    }
  };
  static_assert(sizeof(Chunk) == 64);

  struct Set {
    Chunk* chunks = nullptr;
    uint32_t size = 0;   // chunks
    uint32_t count = 0;  // prints
  };

  // The set by the top bits of a print, the chunk by those below, as far as they tell chunks apart.
  Set& set_of(Fingerprint print) {
    return x_sets[print >> (64 - kSetBits)];
  }
  const Set& set_of(Fingerprint print) const {
    return x_sets[print >> (64 - kSetBits)];
  }
  static uint32_t check_of(Fingerprint print) {
    return static_cast<uint32_t>(print >> (32 - kSetBits));
  }
  static uint32_t home(const Set& set, uint32_t check) {
    return static_cast<uint32_t>(uint64_t{check} * set.size >> 32);
  }
  static uint32_t next(const Set& set, uint32_t at) {
    return at + 1 == set.size ? 0 : at + 1;
  }
  static void put(Set& set, uint32_t check, RowRef ref);
  void grow(Set& set);

  Arena& x_arena;
  std::vector<Set> x_sets;
};

}  // namespace tarn::index
