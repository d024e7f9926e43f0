#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "common/ring/slots.h"
#include "tests/unit/ring/cluster.h"

namespace tarn::ring {
namespace {

using testing::HasSubstr;

constexpr SlotId kSlot{17};

// Two servers, all slots on both.
ClusterConfig two_servers() {
  ClusterConfig config = make_cluster(2, 0);
  config.epoch = Epoch{5};
  config.slots = assign_slots(config);
  return config;
}

void wipe(ClusterConfig& config, uint32_t id) {
  ++find_member(config, ServerId{id})->incarnation.value;
  config.slots = forget_incarnation(config, ServerId{id});
}

ClusterConfig with_lost_slots() {
  ClusterConfig config = two_servers();
  set_state(config, 1, MemberState::down);
  config.slots = remove_member(config, ServerId{1});
  wipe(config, 2);
  return config;
}

ClusterConfig with_waiting_slots() {
  ClusterConfig config = two_servers();
  for (const uint32_t id : {1u, 2u}) {
    set_state(config, id, MemberState::down);
    config.slots = remove_member(config, ServerId{id});
  }
  return config;
}

TEST(SlotState, tells_what_can_answer_from_what_waits_and_what_is_lost) {
  ClusterConfig fresh = make_cluster(2, 0);
  EXPECT_EQ(slot_state(fresh, kSlot), SlotState::unused);
  EXPECT_EQ(slot_state(two_servers(), kSlot), SlotState::ok);
  EXPECT_EQ(slot_state(with_waiting_slots(), kSlot), SlotState::waiting);
  EXPECT_EQ(slot_state(with_lost_slots(), kSlot), SlotState::lost);
  ClusterConfig draining = two_servers();
  set_state(draining, 1, MemberState::draining);
  set_state(draining, 2, MemberState::down);
  EXPECT_EQ(slot_state(draining, kSlot), SlotState::ok) << "a draining server still answers";
}

TEST(AbandonSlots, a_lost_slot_begins_anew_on_servers_that_are_up) {
  ClusterConfig config = with_lost_slots();
  const auto table = abandon_slots(config, {kSlot}, Epoch{6});
  ASSERT_TRUE(table.has_value()) << table.status().to_string();
  const SlotEntry& slot = (*table)[kSlot.value];
  EXPECT_EQ(slot.begun, Epoch{6});
  EXPECT_EQ(slot.primary, ServerId{2});
  config.slots = *table;
  EXPECT_TRUE(slot_is_available(config, kSlot));
  EXPECT_TRUE(validate(config).is_ok()) << validate(config).to_string();
  EXPECT_EQ(slot_state(config, SlotId{18}), SlotState::lost) << "the others stay as they are";
}

TEST(AbandonSlots, only_what_is_lost_can_be_given_up) {
  struct Case {
    const char* what;
    ClusterConfig config;
    std::vector<SlotId> slots;
    AbandonOptions options;
    Code code;
    const char* words;
  };
  const std::vector<Case> cases = {
      {"a slot that answers", two_servers(), {kSlot}, {}, Code::conflict, "slot 17 is not lost"},
      {"even with force", two_servers(), {kSlot}, {true}, Code::conflict, "it is ok"},
      {"one never used", make_cluster(2, 0), {kSlot}, {}, Code::conflict, "it is unused"},
      {"one that may return", with_waiting_slots(), {kSlot}, {}, Code::conflict, "is down"},
      {"no slot", with_lost_slots(), {}, {}, Code::invalid_argument, "none is named"},
      {"beyond the last",
       with_lost_slots(),
       {SlotId{kSessionSlots}},
       {},
       Code::invalid_argument,
       "0 to 1023"},
  };
  for (const Case& one : cases) {
    ClusterConfig config = one.config;
    config.epoch = Epoch{5};
    const auto table = abandon_slots(config, one.slots, Epoch{6}, one.options);
    ASSERT_FALSE(table.has_value()) << one.what;
    EXPECT_EQ(table.error().code(), one.code) << one.what;
    EXPECT_THAT(table.error().message(), HasSubstr(one.words)) << one.what;
  }
}

TEST(AbandonSlots, waiting_slots_are_given_up_only_at_the_operators_word) {
  ClusterConfig config = with_waiting_slots();
  const auto table = abandon_slots(config, {kSlot}, Epoch{6}, {.even_waiting = true});
  ASSERT_TRUE(table.has_value());
  // Nobody is up: it waits as a new slot does, and remembers from when on it counts.
  EXPECT_EQ((*table)[kSlot.value], (SlotEntry{kNoServer, {}, {}, Epoch{6}}));
  config.slots = *table;
  set_state(config, 1, MemberState::up);
  config.slots = assign_slots(config);
  EXPECT_EQ(config.slots[kSlot.value].primary, ServerId{1});
  EXPECT_EQ(config.slots[kSlot.value].begun, Epoch{6});
}

TEST(AbandonSlots, one_refusal_leaves_all_as_they_were) {
  ClusterConfig config = with_lost_slots();
  config.slots[20] = {ServerId{1}, {ServerId{1}}, {}};
  set_state(config, 1, MemberState::up);
  const auto table = abandon_slots(config, {kSlot, SlotId{20}}, Epoch{6});
  EXPECT_EQ(table.error().code(), Code::conflict);
  EXPECT_THAT(table.error().message(), HasSubstr("slot 20"));
}

// Whatever the controller does later, the mark of the given-up history stays with the slot.
TEST(AbandonSlots, no_later_move_forgets_from_when_on_a_slot_counts) {
  ClusterConfig config = with_lost_slots();
  set_state(config, 1, MemberState::up);
  std::vector<SlotId> all;
  for (uint32_t i = 0; i < kSessionSlots; ++i)
    all.push_back(SlotId{i});
  config.slots = abandon_slots(config, all, Epoch{6}).value();
  std::mt19937_64 dice(7);
  for (int step = 0; step < 60; ++step) {
    const auto id = static_cast<uint32_t>(1 + dice() % 2);
    switch (dice() % 5) {
      case 0:
        set_state(config, id, MemberState::down);
        config.slots = remove_member(config, ServerId{id});
        break;
      case 1:
        set_state(config, id, MemberState::up);
        break;
      case 2:
        config.slots = add_learners(config, {.rebalance = true});
        break;
      case 3:
        config.slots = balance_primaries(config);
        break;
      default:
        wipe(config, id);
    }
    config.slots = assign_slots(config);
    for (const SlotEntry& slot : config.slots)
      ASSERT_EQ(slot.begun, Epoch{6}) << "step " << step;
    ASSERT_TRUE(validate(config).is_ok()) << validate(config).to_string();
  }
}

}  // namespace
}  // namespace tarn::ring
