#include "common/ring/slots.h"

#include <gtest/gtest.h>

#include <map>

#include "common/ring/config.h"

namespace tarn::ring {
namespace {

ClusterConfig cluster(uint32_t servers) {
  ClusterConfig config;
  config.epoch = Epoch{1};
  config.cluster = "test";
  for (uint32_t i = 1; i <= servers; ++i) {
    Member member;
    member.id = ServerId{i};
    member.name = "s" + std::to_string(i);
    member.state = MemberState::up;
    config.members.push_back(member);
  }
  return config;
}

TEST(AssignSlots, gives_every_slot_a_primary_and_a_backup) {
  ClusterConfig config = cluster(3);
  config.slots = assign_slots(config);
  EXPECT_TRUE(validate(config).is_ok()) << validate(config).to_string();
  std::map<uint32_t, int> primaries, copies;
  for (const SlotEntry& slot : config.slots) {
    ASSERT_EQ(slot.synced.size(), 2u);
    ++primaries[slot.primary.value];
    for (const ServerId id : slot.synced)
      ++copies[id.value];
  }
  for (uint32_t id = 1; id <= 3; ++id) {
    EXPECT_NEAR(primaries[id], 341, 1);
    EXPECT_NEAR(copies[id], 683, 1);
  }
  EXPECT_EQ(assign_slots(config), config.slots);
}

TEST(RemoveMember, promotes_and_keeps_the_last) {
  ClusterConfig config = cluster(2);
  config.slots = assign_slots(config);
  config.slots = remove_member(config, ServerId{1});
  find_member(config, ServerId{1})->state = MemberState::down;
  for (const SlotEntry& slot : config.slots) {
    EXPECT_EQ(slot.primary, ServerId{2});
    EXPECT_EQ(slot.synced, std::vector<ServerId>{ServerId{2}});
  }
  config.slots = remove_member(config, ServerId{2});
  find_member(config, ServerId{2})->state = MemberState::down;
  EXPECT_EQ(config.slots[0].primary, ServerId{2});
  EXPECT_FALSE(slot_is_available(config, SlotId{0}));
}

}  // namespace
}  // namespace tarn::ring
