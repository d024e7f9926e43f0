#include <gtest/gtest.h>

#include "common/ring/slots.h"
#include "tests/unit/ring/cluster.h"

namespace tarn::ring {
namespace {

// A slot in the middle of a drain whose primary and third member died at once could be given to the
// dead one, though the draining member had the whole log and answered: its sessions stood still
// until the controller's next look.
TEST(RemoveMember, ADrainingMemberIsPrimaryBeforeADeadOne) {
  for (uint32_t slot = 0; slot < kSessionSlots; slot += 8) {
    ClusterConfig config = make_cluster(3);
    config.slots[slot] = {ServerId{1}, {ServerId{1}, ServerId{2}, ServerId{3}}, {}};
    set_state(config, 1, MemberState::down);
    set_state(config, 2, MemberState::draining);
    set_state(config, 3, MemberState::down);
    config.slots = remove_member(config, ServerId{1});
    ASSERT_EQ(config.slots[slot].primary, ServerId{2}) << "slot " << slot;
    ASSERT_TRUE(slot_is_available(config, SlotId{slot}));
  }
}

}  // namespace
}  // namespace tarn::ring
