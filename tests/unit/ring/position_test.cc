#include "common/ring/position.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "common/base/units.h"
#include "tests/unit/ring/cluster.h"

namespace tarn::ring {
namespace {

block::BlockHash hash(std::string_view bytes) {
  return block::BlockHash::from(bytes).value();
}

TEST(Position, slots_are_the_top_ten_bits) {
  EXPECT_EQ(slot_of(Position{0}).value, 0u);
  EXPECT_EQ(slot_of(Position{UINT64_MAX}).value, kSessionSlots - 1);
  EXPECT_EQ(slot_of(Position{uint64_t{5} << 54}).value, 5u);
}

TEST(Position, each_field_counts) {
  const TenantId tenant = block::tenant_id("acme");
  SpaceId other_space;
  other_space.bytes[15] = 1;
  const std::set<Position> positions = {
      position_of(tenant, SpaceId{}, hash("a")),
      position_of(block::tenant_id("blue"), SpaceId{}, hash("a")),
      position_of(tenant, other_space, hash("a")),
      position_of(tenant, SpaceId{}, hash("b")),
      position_of(tenant, SpaceId{}, hash(std::string_view("a\0", 2))),
      session_position(tenant, "a"),
      session_position(block::tenant_id("blue"), "a"),
      session_position(tenant, std::string(16, '\0')),
      session_position(tenant, "")};
  EXPECT_EQ(positions.size(), 9u);
}

TEST(Position, a_session_id_of_any_length_has_one) {
  const TenantId tenant = block::tenant_id("acme");
  std::set<Position> positions;
  for (size_t length = 0; length <= 1000; ++length)
    positions.insert(session_position(tenant, std::string(length, 's')));
  EXPECT_EQ(positions.size(), 1001u);
}

TEST(Lane, stays_below_the_count_and_uses_all) {
  for (const uint32_t lanes : {1u, 2u, 3u, 7u, 64u, 1024u}) {
    std::vector<uint32_t> seen(lanes);
    for (const Position position : sample_positions(lanes * 100))
      ++seen.at(lane_of(position, lanes));
    for (const uint32_t count : seen)
      EXPECT_GT(count, 40u) << lanes << " lanes";
  }
  EXPECT_EQ(lane_of(Position{UINT64_MAX}, 5), 4u);
  EXPECT_EQ(lane_of(Position{0}, 5), 0u);
}

TEST(LaneDeathTest, needs_a_lane) {
  EXPECT_DEATH((void)lane_of(Position{1}, 0), "check failed");
}

}  // namespace
}  // namespace tarn::ring
