#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "common/base/ids.h"
#include "common/block/key.h"
#include "router/index/arena.h"
#include "router/index/fingerprint.h"
#include "router/index/print_table.h"
#include "router/index/row_ref.h"
#include "router/index/stored_block.h"

namespace tarn::index {

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
// block of a flat space on one server needs no more; a second copy of it needs a body.
struct Row {
  // A cache line, and behind it the prints of index 1, 2, ...: 0 where no block is known. The
  // table's, in its arena.
  struct Body {
    std::vector<Holder> more;  // after the first
    block::BlockHash anchor;   // empty until a block with an index above 0 came
    uint8_t room = 0;          // prints that fit
    uint8_t count = 0;         // of prints

    static size_t bytes_with(size_t room) { return sizeof(Body) + room * sizeof(Fingerprint); }
    std::span<Fingerprint> prints() { return {reinterpret_cast<Fingerprint*>(this + 1), count}; }
    std::span<const Fingerprint> prints() const {
      return {reinterpret_cast<const Fingerprint*>(this + 1), count};
    }
  };

  Position position;
  Fingerprint anchor_print = 0;  // 0: the row is free
  Holder first;
  uint32_t domain = 0;       // number of {tenant, space}; in a free row the next free one
  uint32_t block_bytes = 0;  // of the latest block
  Body* body = nullptr;

  Fingerprint print(uint32_t index) const {
    if (index == 0) return anchor_print;
    if (body == nullptr || index > body->count) return 0;
    return body->prints()[index - 1];
  }
  // How many of `next` stand here one after another, from `index` on.
  uint32_t count_from(uint32_t index, std::span<const Fingerprint> next) const;
  // Indexes that anyone holds, those of servers that are gone included.
  uint64_t blocks() const;
  template <typename Visit>
  void for_each_holder(Visit visit) const {
    if (first.server == kNoHandle) return;
    visit(first);
    if (body == nullptr) return;
    for (const Holder& holder : body->more)
      visit(holder);
  }
};
static_assert(sizeof(Row) == 48);
static_assert(sizeof(Row::Body) == 64);

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
  std::optional<RowRef> find(Fingerprint print) const {
    return x_prints.find(print, [&](RowRef ref) { return print_of(ref) == print; });
  }
  // Asks for the memory that finding the print's block, or inserting it, will touch first.
  void fetch(Fingerprint print) const { x_prints.fetch(print); }
  // Most likely what find() will look at first.
  std::optional<RowRef> guess(Fingerprint print) const { return x_prints.guess(print); }
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
    if (row.body != nullptr) {
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
  // All but what was refused.
  IndexStats stats() const { return {x_blocks, x_rows, x_arena.memory_bytes() + x_more_bytes, 0}; }

 private:
  static constexpr uint32_t kChunk = 1024;

  struct Range {
    std::vector<Row*> chunks;
    uint32_t used = 0;
    uint32_t free = UINT32_MAX;  // the first free row, by number
    uint64_t changes = 0;
  };
  Fingerprint print_of(RowRef ref) const { return row(ref).print(ref.index()); }
  // Makes room for so many prints, if need be.
  Row::Body& body_of(Row& row, size_t prints);
  void free_body(Row& row);
  void settle(RowRef ref, uint64_t before);
  void drop_empty_holders(Row& row);
  void free_row(RowRef ref);

  Arena x_arena;
  std::array<Range, kRanges> x_ranges;
  PrintTable x_prints{x_arena};
  uint64_t x_blocks = 0;
  uint64_t x_rows = 0;
  uint64_t x_more_bytes = 0;  // of holders after the first, roughly
};

}  // namespace tarn::index
