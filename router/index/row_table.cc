#include "router/index/row_table.h"

#include <algorithm>
#include <bit>
#include <memory>
#include <new>
#include <utility>

#include "common/base/check.h"
#include "common/base/units.h"

namespace tarn::index {
namespace {

static_assert(kExtentBlocksMax <= 1u << RowRef::kIndexBits);
static_assert(kExtentBlocksMax <= 64, "a holder's blocks are one word");

// What the allocator adds to each piece of memory, roughly.
constexpr size_t kAllocatorBytes = 16;
// Prints grow in steps of a cache line: doubling would waste as much as they take.
constexpr size_t kPrintStep = 8;

size_t bytes_of(const std::vector<Holder>& more) {
  return more.capacity() == 0 ? 0 : more.capacity() * sizeof(Holder) + kAllocatorBytes;
}

bool is_same(const Holder& a, const Holder& b) {
  return a.server == b.server && a.shard == b.shard && a.tier == b.tier;
}

// The entry of `as` in the row, or null.
Holder* find_holder(Row& row, const Holder& as) {
  if (is_same(row.first, as)) return &row.first;
  if (row.body == nullptr) return nullptr;
  for (Holder& holder : row.body->more) {
    if (is_same(holder, as)) return &holder;
  }
  return nullptr;
}

bool has_room(const Row& row, Handle server) {
  std::array<Handle, kHoldersMax> seen{};
  uint32_t count = 0;
  bool is_there = false;
  row.for_each_holder([&](const Holder& holder) {
    is_there |= holder.server == server;
    if (std::find(seen.begin(), seen.begin() + count, holder.server) != seen.begin() + count) {
      return;
    }
    if (count < kHoldersMax) seen[count++] = holder.server;
  });
  return is_there || count < kHoldersMax;
}

}  // namespace

uint64_t Row::blocks() const {
  uint64_t all = 0;
  for_each_holder([&all](const Holder& holder) { all |= holder.blocks; });
  return all;
}

uint32_t Row::count_from(uint32_t index, std::span<const Fingerprint> next) const {
  if (next.empty() || print(index) != next[0]) return 0;
  const std::span<const Fingerprint> rest = body != nullptr && index < body->count
                                                ? std::as_const(*body).prints().subspan(index)
                                                : std::span<const Fingerprint>();
  const auto from = next.begin() + 1;
  const auto common = std::mismatch(rest.begin(), rest.end(), from, next.end());
  return 1 + static_cast<uint32_t>(common.second - from);
}

RowTable::RowTable() = default;

// Bodies own memory outside of the arena, too.
RowTable::~RowTable() {
  for (Range& range : x_ranges) {
    for (uint32_t number = 0; number < range.used; ++number) {
      Row& row = range.chunks[number / kChunk][number % kChunk];
      if (row.body != nullptr) free_body(row);
    }
  }
}

std::optional<RowRef> RowTable::add_row(Position position, uint32_t domain,
                                        Fingerprint anchor_print) {
  TARN_DCHECK(anchor_print != 0 && !find(anchor_print));
  Range& range = x_ranges[range_of(position)];
  uint32_t number = range.free;
  if (number == UINT32_MAX) {
    if (range.used == RowRef::kNumbers) return std::nullopt;
    number = range.used++;
    if (number / kChunk == range.chunks.size()) {
      auto* const chunk = static_cast<Row*>(x_arena.take(kChunk * sizeof(Row)));
      std::uninitialized_value_construct_n(chunk, kChunk);
      range.chunks.push_back(chunk);
    }
  }
  const RowRef ref = RowRef::of(range_of(position), number);
  Row& added = row(ref);
  TARN_CHECK(added.anchor_print == 0);
  if (number == range.free) range.free = added.domain;
  added.position = position;
  added.domain = domain;
  added.anchor_print = anchor_print;
  x_prints.insert(anchor_print, ref);
  ++range.changes;
  ++x_rows;
  return ref;
}

Row::Body& RowTable::body_of(Row& row, size_t prints) {
  if (row.body != nullptr && row.body->room >= prints) return *row.body;
  const size_t room = round_up(prints, kPrintStep);
  auto* const body = new (x_arena.take(Row::Body::bytes_with(room))) Row::Body();
  body->room = static_cast<uint8_t>(room);
  if (row.body != nullptr) {
    body->more = std::move(row.body->more);
    body->anchor = row.body->anchor;
    body->count = row.body->count;
    std::ranges::copy(row.body->prints(), body->prints().begin());
    free_body(row);
  }
  row.body = body;
  return *body;
}

void RowTable::free_body(Row& row) {
  Row::Body* const body = std::exchange(row.body, nullptr);
  const size_t bytes = Row::Body::bytes_with(body->room);
  x_more_bytes -= bytes_of(body->more);
  std::destroy_at(body);
  x_arena.give(body, bytes);
}

void RowTable::set_print(RowRef ref, uint32_t index, Fingerprint print) {
  TARN_CHECK(index >= 1 && index < kExtentBlocksMax);
  TARN_DCHECK(print != 0 && !find(print));
  Row::Body& body = body_of(row(ref), index);
  if (body.count < index) {
    const size_t known = body.count;
    body.count = static_cast<uint8_t>(index);
    std::ranges::fill(body.prints().subspan(known), 0);
  }
  TARN_CHECK(body.prints()[index - 1] == 0);
  body.prints()[index - 1] = print;
  x_prints.insert(print, ref.at(index));
  ++x_ranges[ref.range()].changes;
}

bool RowTable::has_room_for(RowRef ref, Handle server) const {
  return has_room(row(ref), server);
}

void RowTable::hold(RowRef ref, uint32_t index, const Holder& as) {
  Row& row = this->row(ref);
  TARN_DCHECK(row.print(index) != 0 && as.server != kNoHandle);
  const uint64_t bit = uint64_t{1} << index;
  const uint64_t before = row.blocks();
  Holder* holder = find_holder(row, as);
  if (holder == nullptr) {
    TARN_DCHECK(has_room(row, as.server));
    if (row.first.server == kNoHandle) {
      row.first = as;
      holder = &row.first;
    } else {
      std::vector<Holder>& more = body_of(row, 0).more;
      x_more_bytes -= bytes_of(more);
      holder = &more.emplace_back(as);
      x_more_bytes += bytes_of(more);
    }
    holder->blocks = 0;
  }
  if ((holder->blocks & bit) == 0) ++x_ranges[ref.range()].changes;
  holder->blocks |= bit;
  if ((before & bit) == 0) ++x_blocks;
}

void RowTable::forget_unheld(RowRef ref) {
  Row& row = this->row(ref);
  const uint64_t held = row.blocks();
  for (uint32_t i = 1; row.body != nullptr && i <= row.body->count; ++i) {
    Fingerprint& print = row.body->prints()[i - 1];
    if (print == 0 || (held >> i & 1) != 0) continue;
    x_prints.erase(print, ref.at(i));
    print = 0;
  }
  if (held == 0) free_row(ref);
}

void RowTable::settle(RowRef ref, uint64_t before) {
  Row& row = this->row(ref);
  drop_empty_holders(row);
  const uint64_t after = row.blocks();
  ++x_ranges[ref.range()].changes;
  for (uint64_t gone = before & ~after; gone != 0; gone &= gone - 1) {
    const auto index = static_cast<uint32_t>(std::countr_zero(gone));
    --x_blocks;
    if (index == 0) continue;
    TARN_CHECK(row.body != nullptr && index <= row.body->count);
    x_prints.erase(std::exchange(row.body->prints()[index - 1], 0), ref.at(index));
  }
  if (after == 0) free_row(ref);
}

void RowTable::drop_empty_holders(Row& row) {
  if (row.body != nullptr) {
    std::erase_if(row.body->more, [](const Holder& holder) { return holder.blocks == 0; });
  }
  if (row.first.blocks != 0) return;
  row.first = {};
  if (row.body == nullptr || row.body->more.empty()) return;
  row.first = row.body->more.back();
  row.body->more.pop_back();
}

void RowTable::free_row(RowRef ref) {
  Row& row = this->row(ref);
  Range& range = x_ranges[ref.range()];
  TARN_CHECK(row.anchor_print != 0);
  if (row.body != nullptr) free_body(row);
  x_prints.erase(row.anchor_print, ref.at(0));
  row = Row();
  row.domain = range.free;
  range.free = ref.number();
  --x_rows;
}

void RowTable::touch_all() {
  for (Range& range : x_ranges)
    ++range.changes;
}

}  // namespace tarn::index
