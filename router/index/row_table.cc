#include "router/index/row_table.h"

#include <algorithm>
#include <bit>

#include "common/base/check.h"
#include "common/base/units.h"

namespace tarn::index {
namespace {

static_assert(kExtentBlocksMax <= 1u << RowRef::kIndexBits);
static_assert(kExtentBlocksMax <= 64, "a holder's blocks are one word");

// What the allocator adds to each piece of memory, roughly.
constexpr size_t kAllocatorBytes = 16;
// Fingerprints grow in steps of a cache line: doubling would waste as much as they take.
constexpr size_t kPrintStep = 8;
constexpr size_t kLineBytes = 64;

size_t bytes_of(const Row& row) {
  if (!row.body) return 0;
  const Row::Body& body = *row.body;
  size_t bytes = sizeof(Row::Body) + kAllocatorBytes;
  if (body.more.capacity() > 0) {
    bytes += body.more.capacity() * sizeof(Holder) + kAllocatorBytes;
  }
  if (body.prints.capacity() > 0) {
    bytes += body.prints.capacity() * sizeof(Fingerprint) + kAllocatorBytes;
  }
  return bytes;
}

bool is_same(const Holder& a, const Holder& b) {
  return a.server == b.server && a.shard == b.shard && a.tier == b.tier;
}

// The entry of `as` in the row, or null.
Holder* find_holder(Row& row, const Holder& as) {
  if (is_same(row.first, as)) return &row.first;
  if (!row.body) return nullptr;
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

Fingerprint Row::print(uint32_t index) const {
  if (index == 0) return anchor_print;
  if (!body || index > body->prints.size()) return 0;
  return body->prints[index - 1];
}

uint64_t Row::blocks() const {
  uint64_t all = 0;
  for_each_holder([&all](const Holder& holder) { all |= holder.blocks; });
  return all;
}

uint32_t Row::count_from(uint32_t index, std::span<const Fingerprint> next) const {
  if (next.empty() || print(index) != next[0]) return 0;
  const std::span<const Fingerprint> rest =
      body && index < body->prints.size()
          ? std::span<const Fingerprint>(body->prints).subspan(index)
          : std::span<const Fingerprint>();
  const auto from = next.begin() + 1;
  const auto common = std::mismatch(rest.begin(), rest.end(), from, next.end());
  return 1 + static_cast<uint32_t>(common.second - from);
}

RowTable::RowTable() = default;
RowTable::~RowTable() = default;

void RowTable::fetch(RowRef ref, size_t place, size_t prints) const {
  const Row& row = this->row(ref);
  if (place == 0) return __builtin_prefetch(&row);
  const Row::Body* const body = row.body.get();
  if (body == nullptr) return;
  if (place == 1) {
    __builtin_prefetch(body);
    __builtin_prefetch(reinterpret_cast<const char*>(body) + kLineBytes);
    return;
  }
  const size_t first = ref.index() == 0 ? 0 : ref.index() - 1;
  const size_t end = std::min(first + prints, body->prints.size());
  for (size_t i = first; i < end; i += kLineBytes / sizeof(Fingerprint))
    __builtin_prefetch(&body->prints[i]);
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
      range.chunks.push_back(std::make_unique<Row[]>(kChunk));
    }
  }
  const RowRef ref = RowRef::of(range_of(position), number);
  Row& added = row(ref);
  TARN_CHECK(added.anchor_print == 0);
  if (number == range.free) range.free = added.domain;
  added.position = position;
  added.domain = domain;
  added.anchor_print = anchor_print;
  learn_print(anchor_print, ref);
  ++range.changes;
  ++x_rows;
  return ref;
}

Row::Body& RowTable::body_of(Row& row) {
  if (!row.body) row.body = std::make_unique<Row::Body>();
  return *row.body;
}

void RowTable::set_print(RowRef ref, uint32_t index, Fingerprint print) {
  TARN_CHECK(index >= 1 && index < kExtentBlocksMax);
  TARN_DCHECK(print != 0 && !find(print));
  Row& row = this->row(ref);
  const size_t bytes_before = bytes_of(row);
  std::vector<Fingerprint>& prints = body_of(row).prints;
  if (prints.size() < index) {
    prints.reserve(round_up(index, kPrintStep));
    prints.resize(index);
  }
  TARN_CHECK(prints[index - 1] == 0);
  prints[index - 1] = print;
  x_body_bytes += bytes_of(row) - bytes_before;
  learn_print(print, ref.at(index));
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
    const size_t bytes_before = bytes_of(row);
    if (row.first.server == kNoHandle) {
      row.first = as;
      holder = &row.first;
    } else {
      holder = &body_of(row).more.emplace_back(as);
    }
    holder->blocks = 0;
    x_body_bytes += bytes_of(row) - bytes_before;
  }
  if ((holder->blocks & bit) == 0) ++x_ranges[ref.range()].changes;
  holder->blocks |= bit;
  if ((before & bit) == 0) ++x_blocks;
}

void RowTable::learn_print(Fingerprint print, RowRef block) {
  x_prints.insert(print, block, Rows{*this});
}

void RowTable::forget_unheld(RowRef ref) {
  Row& row = this->row(ref);
  const uint64_t held = row.blocks();
  for (uint32_t i = 1; row.body && i <= row.body->prints.size(); ++i) {
    const Fingerprint print = row.body->prints[i - 1];
    if (print == 0 || (held >> i & 1) != 0) continue;
    x_prints.erase(print, ref.at(i));
    row.body->prints[i - 1] = 0;
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
    const Fingerprint print = row.print(index);
    x_prints.erase(print, ref.at(index));
    row.body->prints[index - 1] = 0;
  }
  if (after == 0) free_row(ref);
}

void RowTable::drop_empty_holders(Row& row) {
  if (row.body) {
    std::erase_if(row.body->more, [](const Holder& holder) { return holder.blocks == 0; });
  }
  if (row.first.blocks != 0) return;
  row.first = {};
  if (!row.body || row.body->more.empty()) return;
  row.first = row.body->more.back();
  row.body->more.pop_back();
}

void RowTable::free_row(RowRef ref) {
  Row& row = this->row(ref);
  Range& range = x_ranges[ref.range()];
  TARN_CHECK(row.anchor_print != 0);
  x_body_bytes -= bytes_of(row);
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

uint64_t RowTable::memory_bytes() const {
  uint64_t bytes = x_body_bytes;
  for (const Range& range : x_ranges)
    bytes += range.chunks.size() * kChunk * sizeof(Row);
  return bytes + x_prints.memory_bytes();
}

}  // namespace tarn::index
