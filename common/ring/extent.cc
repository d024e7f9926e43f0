#include "common/ring/extent.h"

#include <xxhash.h>

#include <algorithm>
#include <string>

#include "common/base/check.h"
#include "common/ring/position.h"

namespace tarn::ring {
namespace {

Status check_extent_blocks(uint32_t extent_blocks) {
  if (extent_blocks >= 1 && extent_blocks <= kExtentBlocksMax) return Status::ok();
  return invalid_argument("extent_blocks: is " + std::to_string(extent_blocks) +
                          ", must be 1 to 64");
}

bool can_join(const std::optional<KnownPlace>& parent, uint32_t extent_blocks) {
  return parent.has_value() && parent->is_last && parent->place.index < extent_blocks - 1;
}

Status extent_full(const std::string& why) {
  return {Code::extent_full, why + "; begin an extent with the block's own hash"};
}

}  // namespace

Result<std::vector<BlockPlace>> plan_extents(const ExtentPlan& plan) {
  TARN_RETURN_IF_ERROR(check_extent_blocks(plan.extent_blocks));
  std::vector<BlockPlace> places;
  places.reserve(plan.blocks.size());
  std::optional<KnownPlace> parent = plan.parent;
  for (const ChainBlock& next : plan.blocks) {
    if (next.hash.is_empty())
      return invalid_argument("blocks[" + std::to_string(places.size()) + "].hash: empty");
    if (next.known.has_value()) {
      parent = next.known;
    } else if (can_join(parent, plan.extent_blocks)) {
      ++parent->place.index;
    } else {
      parent = KnownPlace{{next.hash, 0}, true};
    }
    places.push_back(parent->place);
  }
  TARN_CHECK(places.size() == plan.blocks.size());
  return places;
}

size_t ExtentKeyHash::operator()(const ExtentKey& key) const {
  return position_of(key.tenant, key.space, key.anchor).value;
}

Status ExtentTable::admit(const ExtentKey& extent, const ExtentSeat& seat) {
  TARN_RETURN_IF_ERROR(check_extent_blocks(seat.extent_blocks));
  if (extent.anchor.is_empty() || seat.hash.is_empty())
    return invalid_argument("block: without hash or anchor");
  if ((seat.index == 0) != (seat.hash == extent.anchor))
    return invalid_argument("block: the anchor, and only it, stands at index 0");
  if (seat.index >= seat.extent_blocks) return extent_full("index is past the extent's end");
  auto row = x_rows.find(extent);
  if (row == x_rows.end()) {
    if (x_rows.size() >= x_extents_max) return overloaded("extent table is full");
    row = x_rows.try_emplace(extent).first;
  }
  Row& cells = row->second;
  if (cells.size() <= seat.index) cells.resize(seat.index + 1);
  Cell& cell = cells[seat.index];
  const uint64_t fingerprint = block::hash_value(seat.hash);
  if (cell.copies > 0 && cell.fingerprint != fingerprint)
    return extent_full("another block stands at this index");
  cell.fingerprint = fingerprint;
  ++cell.copies;
  return Status::ok();
}

void ExtentTable::forget(const ExtentKey& extent, const ExtentSeat& seat) {
  const auto row = x_rows.find(extent);
  if (row == x_rows.end() || seat.index >= row->second.size()) return;
  Row& cells = row->second;
  Cell& cell = cells[seat.index];
  if (cell.copies == 0 || cell.fingerprint != block::hash_value(seat.hash)) return;
  --cell.copies;
  while (!cells.empty() && cells.back().copies == 0)
    cells.pop_back();
  if (cells.empty()) x_rows.erase(row);
}

bool ExtentTable::is_last(const ExtentKey& extent, uint32_t index) const {
  const auto row = x_rows.find(extent);
  return row != x_rows.end() && row->second.size() == size_t{index} + 1;
}

}  // namespace tarn::ring
