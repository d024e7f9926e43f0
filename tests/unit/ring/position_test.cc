#include "common/ring/position.h"

#include <gtest/gtest.h>

#include "common/base/units.h"

namespace tarn::ring {
namespace {

TEST(Position, slots_are_the_top_ten_bits) {
  EXPECT_EQ(slot_of(Position{0}).value, 0u);
  EXPECT_EQ(slot_of(Position{UINT64_MAX}).value, kSessionSlots - 1);
  EXPECT_EQ(slot_of(Position{uint64_t{5} << 54}).value, 5u);
}

}  // namespace
}  // namespace tarn::ring
