#include "server/store/chain.h"

#include <algorithm>
#include <tuple>

#include "common/base/check.h"

namespace tarn::store {
namespace {

bool stands_before(const StoredBlock* a, const StoredBlock* b) {
  return std::tie(a->header.index, a->header.key.shard) <
         std::tie(b->header.index, b->header.key.shard);
}

const Extent* child_behind(const Extent& extent, uint32_t index) {
  for (const Extent* child : extent.children) {
    if (child->parent_index >= index && !child->is_empty()) return child;
  }
  return nullptr;
}

}  // namespace

void add_block(Extent& extent, StoredBlock& block) {
  const auto place =
      std::upper_bound(extent.blocks.begin(), extent.blocks.end(), &block, stands_before);
  extent.blocks.insert(place, &block);
  block.extent = &extent;
}

void take_block(Extent& extent, StoredBlock& block) {
  const auto place = std::find(extent.blocks.begin(), extent.blocks.end(), &block);
  TARN_CHECK(place != extent.blocks.end());
  extent.blocks.erase(place);
  block.extent = nullptr;
}

bool link(Extent& child, Extent& parent, uint32_t parent_index) {
  for (const Extent* up = &parent; up != nullptr; up = up->parent) {
    if (up == &child) return false;
  }
  TARN_CHECK(child.parent == nullptr);
  child.parent = &parent;
  child.parent_index = parent_index;
  parent.children.push_back(&child);
  return true;
}

void unlink(Extent& extent) {
  for (Extent* child : extent.children)
    child->parent = nullptr;
  extent.children.clear();
  if (extent.parent == nullptr) return;
  auto& siblings = extent.parent->children;
  siblings.erase(std::find(siblings.begin(), siblings.end(), &extent));
  extent.parent = nullptr;
}

StoredBlock* next_to_go(const Extent& extent) {
  const Extent* leaf = &extent;
  while (const Extent* child = child_behind(*leaf, leaf->deepest()->header.index))
    leaf = child;
  return leaf->deepest();
}

bool may_go(const StoredBlock& block) {
  return block.state == StoredBlock::State::visible && block.pins == 0;
}

}  // namespace tarn::store
