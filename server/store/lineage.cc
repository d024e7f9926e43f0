#include "server/store/lineage.h"

#include <algorithm>

#include "common/base/check.h"

namespace tarn::store {

BlockPrint print_of(const StoredBlock& block) {
  const block::BlockKey& key = block.header.key;
  return print_of(key.tenant, key.space, key.hash);
}

void Lineage::join(Extent& extent, const block::BlockHash& parent) {
  if (extent.parent != BlockPrint{} || parent.is_empty() || parent == extent.key.anchor) return;
  extent.parent = print_of(extent.key.tenant, extent.key.space, parent);
  x_children[extent.parent.value].push_back(&extent);
  x_descent.add(extent.parent, x_lane);
}

void Lineage::leave(Extent& extent) {
  if (extent.parent == BlockPrint{}) return;
  const auto found = x_children.find(extent.parent.value);
  TARN_CHECK(found != x_children.end());
  auto& siblings = found->second;
  const auto place = std::find(siblings.begin(), siblings.end(), &extent);
  TARN_CHECK(place != siblings.end());
  siblings.erase(place);
  if (siblings.empty()) x_children.erase(found);
  x_descent.remove(extent.parent);
  extent.parent = {};
}

Extent* Lineage::child_of(BlockPrint parent) const {
  const auto found = x_children.find(parent.value);
  return found == x_children.end() ? nullptr : found->second.front();
}

Lineage::Turn Lineage::next_to_go(Extent& extent, uint64_t search) {
  Extent* leaf = &extent;
  Turn turn;
  for (uint32_t depth = 0; search == 0 || leaf->stuck_in != search; ++depth) {
    TARN_DCHECK(!leaf->is_empty());
    const BlockPrint print = print_of(*leaf->deepest());
    Extent* child = child_of(print);
    if (child == nullptr) {
      turn = {leaf->deepest(), x_descent.lanes_behind(print)};
      break;
    }
    if (depth >= kDepthMax) {
      leave(*child);
    } else {
      leaf = child;
    }
  }
  if (search != 0 && !turn.is_free()) mark_stuck(extent, *leaf, search);
  return turn;
}

// The leaf and what it was reached by.
void Lineage::mark_stuck(Extent& from, const Extent& leaf, uint64_t search) const {
  Extent* each = &from;
  for (; each != &leaf; each = child_of(print_of(*each->deepest()))) {
    TARN_DCHECK(each->stuck_in != search);
    each->stuck_in = search;
  }
  each->stuck_in = search;
}

}  // namespace tarn::store
