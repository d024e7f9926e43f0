#include "server/store/descent.h"

#include "common/base/check.h"
#include "common/ring/position.h"

namespace tarn::store {

BlockPrint print_of(const TenantId& tenant, const SpaceId& space, const block::BlockHash& hash) {
  return {ring::position_of(tenant, space, hash).value};
}

void Descent::add(BlockPrint parent, uint32_t lane) {
  Part& part = part_of(parent);
  const MutexLock lock(part.mutex);
  Children& children = part.children[parent.value];
  ++children.extents;
  children.lanes |= lane_bit(lane);
}

void Descent::remove(BlockPrint parent) {
  Part& part = part_of(parent);
  const MutexLock lock(part.mutex);
  const auto found = part.children.find(parent.value);
  TARN_CHECK(found != part.children.end() && found->second.extents > 0);
  if (--found->second.extents == 0) part.children.erase(found);
}

LaneSet Descent::lanes_behind(BlockPrint parent) const {
  const Part& part = part_of(parent);
  const MutexLock lock(part.mutex);
  const auto found = part.children.find(parent.value);
  return found == part.children.end() ? 0 : found->second.lanes;
}

size_t Descent::size() const {
  size_t sum = 0;
  for (const Part& part : x_parts) {
    const MutexLock lock(part.mutex);
    sum += part.children.size();
  }
  return sum;
}

}  // namespace tarn::store
