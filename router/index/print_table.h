#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "router/index/fingerprint.h"
#include "router/index/row_ref.h"

namespace tarn::index {

// Which block a fingerprint names: a hash table that keeps no fingerprints, as the rows have them,
// but 8 bits of each beside its RowRef, twelve to a cache line. So a look-up is one line here and
// then the row, for a block that is absent nearly always the line alone. Guarded by the lock of the
// Index. Life: whoever holds the rows asks and changes both together; a row that is named here must
// have its print. Limits: none of its own. About 8 bytes a block.
class PrintTable {
 public:
  PrintTable() : x_sets(size_t{1} << kSetBits) {}

  // The block for which `is_it(RowRef)` holds, of those that may be meant.
  template <typename IsIt>
  std::optional<RowRef> find(Fingerprint print, IsIt is_it) const {
    const Set& set = set_of(print);
    if (set.chunks.empty()) return std::nullopt;
    uint32_t at = home(set, print);
    for (size_t looked = 0; looked < set.chunks.size(); ++looked) {
      const Chunk& chunk = set.chunks[at];
      for (Slots slots(chunk, tag_of(print)); !slots.is_empty(); slots.drop()) {
        const RowRef ref = chunk.refs[slots.first()];
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
    if (!set.chunks.empty()) __builtin_prefetch(&set.chunks[home(set, print)]);
  }
  // Most likely what find() will look at first.
  std::optional<RowRef> guess(Fingerprint print) const {
    const Set& set = set_of(print);
    if (set.chunks.empty()) return std::nullopt;
    const Chunk& chunk = set.chunks[home(set, print)];
    const Slots slots(chunk, tag_of(print));
    if (slots.is_empty()) return std::nullopt;
    return chunk.refs[slots.first()];
  }

  // `rows.print_of(RowRef)` tells the prints of those that are here already; `rows.fetch(RowRef,
  // i)` asks for the i-th place of memory that it will touch, once the one before has come.
  // Precondition: the print is not here.
  template <typename Rows>
  void insert(Fingerprint print, RowRef ref, const Rows& rows) {
    Set& set = set_of(print);
    if (set.count >= set.chunks.size() * kFullSlots) grow(set, rows);
    put(set, print, ref);
    ++set.count;
  }
  // Precondition: insert(print, ref).
  void erase(Fingerprint print, RowRef ref);

  uint64_t memory_bytes() const;

 private:
  // Small sets, so that one that grows stops the others for a moment only.
  static constexpr uint32_t kSetBits = 10;
  static constexpr uint32_t kSlots = 12;
  // Of a chunk on average, at most: five sixths.
  static constexpr size_t kFullSlots = 10;

  struct alignas(64) Chunk {
    std::array<uint8_t, kSlots> tags{};  // 0: free
    uint8_t passed = 0;  // prints that found no room here and went on; 255: so many or more
    std::array<uint8_t, 3> unused{};
    std::array<RowRef, kSlots> refs{};
  };
  static_assert(sizeof(Chunk) == 64);
  static_assert(std::endian::native == std::endian::little);

  struct Set {
    std::vector<Chunk> chunks;
    size_t count = 0;
  };

  // The slots of a chunk with one tag, by the bytes of two words that are zero once the tag is
  // taken from each: in them bit 7 is set.
  class Slots {
   public:
    Slots(const Chunk& chunk, uint8_t tag) {
      const auto words = std::bit_cast<std::array<uint64_t, 8>>(chunk);
      x_low = zero_bytes(words[0] ^ kOnes * tag);
      x_high = zero_bytes(words[1] ^ kOnes * tag) & 0xffffffff;
    }
    bool is_empty() const { return (x_low | x_high) == 0; }
    uint32_t first() const {
      const auto bit = static_cast<uint32_t>(x_low != 0 ? std::countr_zero(x_low)
                                                        : 64 + std::countr_zero(x_high));
      return bit / 8;
    }
    void drop() {
      uint64_t& word = x_low != 0 ? x_low : x_high;
      word &= word - 1;
    }

   private:
    static constexpr uint64_t kOnes = 0x0101010101010101;
    static uint64_t zero_bytes(uint64_t word) {
      constexpr uint64_t kSevens = 0x7f7f7f7f7f7f7f7f;
      return ~(((word & kSevens) + kSevens) | word | kSevens);
    }
    uint64_t x_low;
    uint64_t x_high;
  };

  // The set by the top bits of a print, the chunk by those below, the tag by the lowest.
  Set& set_of(Fingerprint print) { return x_sets[print >> (64 - kSetBits)]; }
  const Set& set_of(Fingerprint print) const { return x_sets[print >> (64 - kSetBits)]; }
  static uint32_t home(const Set& set, Fingerprint print) {
    const auto bits = static_cast<uint32_t>(print >> (32 - kSetBits));
    return static_cast<uint32_t>(uint64_t{bits} * set.chunks.size() >> 32);
  }
  static uint32_t next(const Set& set, uint32_t at) {
    return at + 1 == set.chunks.size() ? 0 : at + 1;
  }
  static uint8_t tag_of(Fingerprint print) {
    const auto low = static_cast<uint8_t>(print);
    return low == 0 ? uint8_t{1} : low;
  }

  template <typename Rows>
  void grow(Set& set, const Rows& rows) {
    constexpr size_t kAhead = 4;
    const std::vector<RowRef> refs = refs_of(set);
    set.chunks = std::vector<Chunk>(set.chunks.size() + set.chunks.size() / 2 + 1);
    for (size_t i = 0; i < refs.size(); ++i) {
      for (size_t place = 0; place < Rows::kPlaces; ++place) {
        const size_t then = i + (Rows::kPlaces - place) * kAhead;
        if (then < refs.size()) rows.fetch(refs[then], place);
      }
      put(set, rows.print_of(refs[i]), refs[i]);
    }
  }
  static std::vector<RowRef> refs_of(const Set& set);
  static void put(Set& set, Fingerprint print, RowRef ref);

  std::vector<Set> x_sets;
};

}  // namespace tarn::index
