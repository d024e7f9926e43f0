#include <gtest/gtest.h>

#include "common/ring/extent.h"

namespace tarn::ring {
namespace {

// A place with the largest index, as a damaged manifest or a lying router may name, wrapped around
// to index 0 of the extent: the put was refused for ever, where a new extent would have done.
TEST(PlanExtents, NobodyJoinsBehindTheLargestIndex) {
  const auto anchor = block::BlockHash::from("anchor").value();
  const ChainBlock fresh{block::BlockHash::from("fresh").value(), std::nullopt};
  for (const uint32_t index : {uint32_t{kExtentBlocksMax}, UINT32_MAX - 1, UINT32_MAX}) {
    for (const uint32_t extent_blocks : {1u, kExtentBlocksDefault, kExtentBlocksMax}) {
      const KnownPlace parent{{anchor, index}, true};
      const auto places = plan_extents({extent_blocks, parent, {&fresh, 1}}).value();
      EXPECT_EQ(places.at(0), (BlockPlace{fresh.hash, 0})) << index << " of " << extent_blocks;
    }
  }
}

}  // namespace
}  // namespace tarn::ring
