#include "server/store/descent.h"

#include <barrier>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace tarn::store {
namespace {

TEST(Descent, ABlockIsContinuedWhileAnyLaneHasAnExtentBehindIt) {
  Descent descent;
  const BlockPrint parent{17};
  EXPECT_EQ(descent.lanes_behind(parent), 0u);
  descent.add(parent, 0);
  descent.add(parent, 3);
  descent.add(parent, 3);
  EXPECT_EQ(descent.lanes_behind(parent), lane_bit(0) | lane_bit(3));
  descent.remove(parent);
  descent.remove(parent);
  EXPECT_NE(descent.lanes_behind(parent), 0u) << "one is left";
  descent.remove(parent);
  EXPECT_EQ(descent.lanes_behind(parent), 0u);
  EXPECT_EQ(descent.size(), 0u) << "nothing is kept of blocks that nobody continues";
}

TEST(Descent, LanesBeyondSixtyFourShareABit) {
  Descent descent;
  descent.add({5}, 70);
  EXPECT_EQ(descent.lanes_behind({5}), lane_bit(6));
  EXPECT_EQ(lane_bit(70), lane_bit(6));
}

TEST(Descent, PrintsDifferByTenantSpaceAndHash) {
  const auto hash = *block::BlockHash::from("one");
  const auto other_hash = *block::BlockHash::from("two");
  TenantId tenant, other_tenant;
  SpaceId space, other_space;
  other_tenant.bytes[15] = 1;
  other_space.bytes[15] = 1;
  const BlockPrint print = print_of(tenant, space, hash);
  EXPECT_EQ(print, print_of(tenant, space, hash));
  EXPECT_NE(print, print_of(other_tenant, space, hash));
  EXPECT_NE(print, print_of(tenant, other_space, hash));
  EXPECT_NE(print, print_of(tenant, space, other_hash));
}

TEST(Descent, LanesThatAddAndRemoveAtOnceLeaveNothing) {
  constexpr uint32_t kLanes = 4;
  Descent descent;
  std::barrier start(kLanes);
  std::vector<std::thread> lanes;
  for (uint32_t lane = 0; lane < kLanes; ++lane) {
    lanes.emplace_back([&, lane] {
      start.arrive_and_wait();
      for (uint64_t i = 0; i < 4000; ++i) {
        const BlockPrint parent{i % 50};
        descent.add(parent, lane);
        // Whatever the others do, this lane's own extent shows.
        ASSERT_NE(descent.lanes_behind(parent) & lane_bit(lane), 0u);
        descent.remove(parent);
      }
    });
  }
  for (auto& lane : lanes)
    lane.join();
  EXPECT_EQ(descent.size(), 0u);
}

}  // namespace
}  // namespace tarn::store
