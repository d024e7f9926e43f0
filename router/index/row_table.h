#pragma once

#include <absl/container/flat_hash_set.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "common/base/ids.h"
#include "common/block/key.h"
#include "router/index/fingerprint.h"
#include "router/index/stored_block.h"

namespace tarn::index {

// The ring in equal parts: the top bits of a position. Rows of one part lie together, so that a
// part is resynced, or written to a snapshot, without looking at the others.
inline constexpr uint32_t kRangeBits = 6;
inline constexpr uint32_t kRanges = 1u << kRangeBits;

constexpr uint32_t range_of(Position position) {
  return static_cast<uint32_t>(position.value >> (64 - kRangeBits));
}

// Rows that one turn at the lock visits.
inline constexpr uint32_t kRowsPerTurn = 2048;

// A server as the rows name it: given anew whenever the server's blocks begin anew, never again.
using Handle = uint32_t;
inline constexpr Handle kNoHandle = 0;

// Blocks of one extent that one server holds of one shard in one tier.
struct Holder {
  uint64_t blocks = 0;  // bit i: the block with index i
  Handle server = kNoHandle;
  uint16_t shard = 0;
  Tier tier = Tier::dram;
};
static_assert(sizeof(Holder) == 16);

// One extent. The first holder and the anchor's fingerprint stand in the row itself, so that a
// block of a flat space on one server needs no more; a second copy of it needs a body, whose 150
// bytes or so nothing shares.
struct Row {
  struct Body {
    std::vector<Holder> more;         // after the first
    std::vector<Fingerprint> prints;  // of index 1, 2, ...; 0 where no block is known
    block::BlockHash anchor;          // empty until a block with an index above 0 came
  };

  Position position;
  Fingerprint anchor_print = 0;  // 0: the row is free
  Holder first;
  uint32_t domain = 0;       // number of {tenant, space}; in a free row the next free one
  uint32_t block_bytes = 0;  // of the latest block
  std::unique_ptr<Body> body;

  Fingerprint print(uint32_t index) const;
  // Indexes that anyone holds, those of servers that are gone included.
  uint64_t blocks() const;
  template <typename Visit>
  void for_each_holder(Visit visit) const {
    if (first.server == kNoHandle) return;
    visit(first);
    if (!body) return;
    for (const Holder& holder : body->more)
      visit(holder);
  }
};
static_assert(sizeof(Row) == 48);
static_assert(sizeof(Row::Body) == 88);

// Names a row, or with an index one block of it, in 32 bits: range, number in the range, index.
struct RowRef {
  static constexpr uint32_t kIndexBits = 6;
  static constexpr uint32_t kNumberBits = 32 - kRangeBits - kIndexBits;
  static constexpr uint32_t kNumbers = 1u << kNumberBits;

  uint32_t value = 0;

  static RowRef of(uint32_t range, uint32_t number) {
    return {range << (kNumberBits + kIndexBits) | number << kIndexBits};
  }
  RowRef at(uint32_t index) const { return {row() << kIndexBits | index}; }
  uint32_t row() const { return value >> kIndexBits; }
  uint32_t range() const { return value >> (kNumberBits + kIndexBits); }
  uint32_t number() const { return row() & (kNumbers - 1); }
  uint32_t index() const { return value & ((1u << kIndexBits) - 1); }
};

// The extent rows and the way from a fingerprint to them. Guarded by the lock of the Index.
// Invariants: each row can be found by its anchor's fingerprint; a block with an index above 0 is
// found by its own exactly while someone holds it; a fingerprint leads to one place only.
// Limits: kNumbers rows in a range, G <= 64.
class RowTable {
 public:
  RowTable();
  ~RowTable();
  RowTable(const RowTable&) = delete;
  RowTable& operator=(const RowTable&) = delete;

  // Where the fingerprint's block stands, or nothing.
  std::optional<RowRef> find(Fingerprint print) const;
  Row& row(RowRef ref) {
    return x_ranges[ref.range()].chunks[ref.number() / kChunk][ref.number() % kChunk];
  }
  const Row& row(RowRef ref) const {
    return x_ranges[ref.range()].chunks[ref.number() / kChunk][ref.number() % kChunk];
  }

  // A new row. Precondition: its anchor_print is not in the table. Nothing when the range is full.
  std::optional<RowRef> add_row(Position position, uint32_t domain, Fingerprint anchor_print);
  // The block at index >= 1 is `print` from now on. Precondition: the print is not in the table.
  void set_print(RowRef row, uint32_t index, Fingerprint print);
  // False when the row names kHoldersMax servers and this one is none of them.
  bool has_room_for(RowRef row, Handle server) const;
  // Sets the holder's bit. Preconditions: has_room_for; the block's print is in the row.
  void hold(RowRef row, uint32_t index, const Holder& as);
  // Clears bits: `keep` says which of a holder's blocks remain. Forgets blocks that nobody holds,
  // and the row with the last of them.
  template <typename Keep>
  void retain(RowRef ref, Keep keep) {
    Row& row = this->row(ref);
    const uint64_t before = row.blocks();
    row.first.blocks &= keep(row.first);
    if (row.body) {
      for (Holder& holder : row.body->more)
        holder.blocks &= keep(holder);
    }
    settle(ref, before);
  }

  // Forgets blocks of the row that have a print and no holder, and the row if that leaves nothing.
  void forget_unheld(RowRef row);

  // Rows of the range that were ever in use: numbers below this.
  uint32_t row_limit(uint32_t range) const { return x_ranges[range].used; }
  uint64_t changes(uint32_t range) const { return x_ranges[range].changes; }
  // Counts as a change of every range.
  void touch_all();
  uint64_t block_count() const { return x_blocks; }
  uint64_t row_count() const { return x_rows; }
  uint64_t memory_bytes() const;

 private:
  static constexpr uint32_t kChunk = 4096;
  // Small sets, so that one that grows stops the others for a moment only.
  static constexpr uint32_t kSetBits = 10;

  struct Range {
    std::vector<std::unique_ptr<Row[]>> chunks;
    uint32_t used = 0;
    uint32_t free = UINT32_MAX;  // the first free row, by number
    uint64_t changes = 0;
  };
  struct Hash {
    using is_transparent = void;
    const RowTable* table;
    size_t operator()(Fingerprint print) const { return print; }
    size_t operator()(RowRef ref) const { return table->print_of(ref); }
  };
  struct Equal {
    using is_transparent = void;
    const RowTable* table;
    bool operator()(RowRef a, RowRef b) const { return a.value == b.value; }
    bool operator()(RowRef ref, Fingerprint print) const { return table->print_of(ref) == print; }
    bool operator()(Fingerprint print, RowRef ref) const { return table->print_of(ref) == print; }
  };
  using Set = absl::flat_hash_set<RowRef, Hash, Equal>;

  Fingerprint print_of(RowRef ref) const { return row(ref).print(ref.index()); }
  Set& set_of(Fingerprint print) { return x_sets[print >> (64 - kSetBits)]; }
  const Set& set_of(Fingerprint print) const { return x_sets[print >> (64 - kSetBits)]; }
  Row::Body& body_of(Row& row);
  void forget_print(Fingerprint print);
  void settle(RowRef ref, uint64_t before);
  void drop_empty_holders(Row& row);
  void free_row(RowRef ref);

  std::array<Range, kRanges> x_ranges;
  std::vector<Set> x_sets;
  uint64_t x_blocks = 0;
  uint64_t x_rows = 0;
  uint64_t x_body_bytes = 0;  // roughly
};

}  // namespace tarn::index
