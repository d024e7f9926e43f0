#include "common/ring/slots.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "tests/unit/ring/cluster.h"

namespace tarn::ring {
namespace {

using Servers = std::vector<ServerId>;

bool contains(const Servers& servers, ServerId id) {
  return std::find(servers.begin(), servers.end(), id) != servers.end();
}

ClusterConfig assigned(uint32_t servers, uint32_t domains = 0) {
  ClusterConfig config = make_cluster(servers, domains);
  config.slots = assign_slots(config);
  EXPECT_TRUE(validate(config).is_ok()) << validate(config).to_string();
  return config;
}

void die(ClusterConfig& config, uint32_t id) {
  set_state(config, id, MemberState::down);
  config.slots = remove_member(config, ServerId{id});
}

// What the controller does when a server is heard of again.
void come_back(ClusterConfig& config, uint32_t id, bool wiped) {
  set_state(config, id, MemberState::up);
  if (wiped) {
    ++find_member(config, ServerId{id})->incarnation.value;
    config.slots = forget_incarnation(config, ServerId{id});
  }
  for (const Member& member : config.members) {
    if (member.state == MemberState::down) config.slots = remove_member(config, member.id);
  }
}

void promote_all(ClusterConfig& config) {
  for (uint32_t i = 0; i < kSessionSlots; ++i) {
    const Servers learners = config.slots[i].learners;
    for (const ServerId id : learners) {
      auto promoted = promote_learner(config, SlotId{i}, id);
      if (promoted.has_value()) config.slots = *promoted;
    }
  }
}

void heal(ClusterConfig& config) {
  config.slots = add_learners(config);
  promote_all(config);
}

struct Load {
  std::map<uint32_t, int> primaries, copies;
};

Load load_of(const ClusterConfig& config) {
  Load load;
  for (const SlotEntry& slot : config.slots) {
    ++load.primaries[slot.primary.value];
    for (const ServerId id : slot.synced)
      ++load.copies[id.value];
  }
  return load;
}

size_t domains_in(const ClusterConfig& config, const SlotEntry& slot) {
  std::set<std::string> domains;
  for (const ServerId id : slot.synced)
    domains.insert(domain_of(*find_member(config, id)));
  return domains.size();
}

TEST(AssignSlots, spreads_primaries_and_backups_evenly) {
  for (const uint32_t servers : {2u, 3u, 5u, 16u}) {
    const ClusterConfig config = assigned(servers);
    Load load = load_of(config);
    for (uint32_t id = 1; id <= servers; ++id) {
      EXPECT_NEAR(load.primaries[id], 1024.0 / servers, 1) << servers << " servers";
      EXPECT_NEAR(load.copies[id], 2048.0 / servers, 2) << servers << " servers";
    }
  }
}

TEST(AssignSlots, one_server_is_its_own_only_copy) {
  const ClusterConfig config = assigned(1);
  EXPECT_EQ(synced_target(config), 1u);
  EXPECT_EQ(config.slots[5], (SlotEntry{ServerId{1}, {ServerId{1}}, {}}));
  EXPECT_TRUE(slot_is_available(config, SlotId{5}));
}

TEST(AssignSlots, nobody_up_assigns_nothing) {
  ClusterConfig config = make_cluster(1);
  set_state(config, 1, MemberState::joining);
  EXPECT_EQ(assign_slots(config), config.slots);
  EXPECT_FALSE(slot_is_available(config, SlotId{0}));
}

TEST(AssignSlots, copies_stand_in_distinct_domains) {
  const ClusterConfig config = assigned(9, 3);
  for (const SlotEntry& slot : config.slots)
    ASSERT_EQ(domains_in(config, slot), 2u);
}

TEST(AssignSlots, the_backups_of_one_server_are_everywhere) {
  const ClusterConfig config = assigned(8);
  std::map<uint32_t, int> partners;
  for (const SlotEntry& slot : config.slots) {
    if (slot.primary == ServerId{1}) ++partners[slot.synced[1].value];
  }
  EXPECT_EQ(partners.size(), 7u);
  for (const auto& [id, count] : partners)
    EXPECT_LT(count, 45) << "server " << id;
}

TEST(AssignSlots, follows_weights_and_leaves_what_is_assigned) {
  ClusterConfig config = make_cluster(3);
  config.members[0].weight = 200;
  config.slots[9] = {ServerId{2}, {ServerId{2}}, {}};
  config.slots[10] = {ServerId{3}, {}, {}};  // lost
  const SlotTable before = config.slots;
  config.slots = assign_slots(config);
  EXPECT_EQ(config.slots[9], before[9]);
  EXPECT_EQ(config.slots[10], before[10]);
  EXPECT_NEAR(load_of(config).primaries[1], 512, 2);
  EXPECT_EQ(assign_slots(config), config.slots);
}

TEST(RemoveMember, another_synced_member_takes_over_at_once) {
  ClusterConfig config = assigned(4);
  const SlotTable before = config.slots;
  die(config, 2);
  for (size_t i = 0; i < before.size(); ++i) {
    if (!contains(before[i].synced, ServerId{2})) {
      ASSERT_EQ(config.slots[i], before[i]);
      continue;
    }
    ASSERT_EQ(config.slots[i].synced.size(), 1u);
    ASSERT_TRUE(contains(before[i].synced, config.slots[i].primary));
    ASSERT_TRUE(slot_is_available(config, SlotId{static_cast<uint32_t>(i)}));
  }
}

TEST(RemoveMember, the_last_synced_member_is_waited_for) {
  ClusterConfig config = assigned(2);
  die(config, 1);
  die(config, 2);
  EXPECT_EQ(config.slots[0], (SlotEntry{ServerId{2}, {ServerId{2}}, {}}));
  EXPECT_FALSE(slot_is_available(config, SlotId{0}));
  come_back(config, 1, false);
  heal(config);
  EXPECT_EQ(config.slots[0], (SlotEntry{ServerId{2}, {ServerId{2}}, {}})) << "1 missed appends";
  EXPECT_EQ(assign_slots(config), config.slots) << "never a fresh log";
  come_back(config, 2, false);
  heal(config);
  EXPECT_TRUE(slot_is_available(config, SlotId{0}));
  EXPECT_EQ(config.slots[0].synced.size(), 2u);
}

TEST(RemoveMember, of_two_that_died_together_the_first_to_return_serves) {
  ClusterConfig config = assigned(2);
  set_state(config, 1, MemberState::down);
  set_state(config, 2, MemberState::down);
  config.slots = remove_member(config, ServerId{1});
  config.slots = remove_member(config, ServerId{2});
  EXPECT_EQ(config.slots[0].synced.size(), 2u);
  come_back(config, 1, false);
  EXPECT_EQ(config.slots[0], (SlotEntry{ServerId{1}, {ServerId{1}}, {}}));
  EXPECT_TRUE(slot_is_available(config, SlotId{0}));
}

TEST(ForgetIncarnation, a_wiped_server_is_a_learner_everywhere) {
  ClusterConfig config = assigned(3);
  come_back(config, 1, true);
  for (const SlotEntry& slot : config.slots) {
    ASSERT_FALSE(contains(slot.synced, ServerId{1}));
    ASSERT_FALSE(slot.synced.empty());
  }
  config.slots = add_learners(config);
  const auto learns = std::count_if(config.slots.begin(), config.slots.end(), [](const auto& s) {
    return contains(s.learners, ServerId{1});
  });
  EXPECT_GT(learns, 0);
}

TEST(ForgetIncarnation, a_slot_whose_last_log_was_wiped_is_lost_and_says_so) {
  ClusterConfig config = assigned(2);
  die(config, 1);
  die(config, 2);
  come_back(config, 2, true);
  come_back(config, 1, false);
  heal(config);
  EXPECT_EQ(config.slots[0], (SlotEntry{ServerId{2}, {}, {}}));
  EXPECT_FALSE(slot_is_available(config, SlotId{0}));
  EXPECT_EQ(assign_slots(config), config.slots);
  EXPECT_EQ(balance_primaries(config), config.slots);
  EXPECT_TRUE(validate(config).is_ok());
}

TEST(AddLearners, brings_each_slot_back_to_its_target_in_distinct_domains) {
  ClusterConfig config = assigned(6, 3);
  die(config, 4);
  config.slots = add_learners(config);
  for (const SlotEntry& slot : config.slots) {
    ASSERT_EQ(slot.synced.size() + slot.learners.size(), 2u);
    ASSERT_TRUE(slot.learners.empty() || slot.synced.size() == 1u);
  }
  EXPECT_EQ(add_learners(config), config.slots) << "asking again changes nothing";
  promote_all(config);
  for (const SlotEntry& slot : config.slots)
    ASSERT_EQ(domains_in(config, slot), 2u);
}

TEST(AddLearners, mends_copies_that_share_a_domain) {
  ClusterConfig config = make_cluster(3, 1);
  config.members[2].domain = "other";
  config.slots[0] = {ServerId{1}, {ServerId{1}, ServerId{2}}, {}};
  heal(config);
  EXPECT_EQ(config.slots[0].synced.size(), 2u);
  EXPECT_TRUE(contains(config.slots[0].synced, ServerId{3}));
}

TEST(AddLearners, drops_learners_that_died_and_heeds_the_limit_per_server) {
  ClusterConfig config = assigned(4);
  die(config, 2);
  config.slots = add_learners(config, {.per_server_max = 10});
  std::map<uint32_t, int> learners;
  for (const SlotEntry& slot : config.slots) {
    for (const ServerId id : slot.learners)
      ++learners[id.value];
  }
  EXPECT_EQ(learners, (std::map<uint32_t, int>{{1, 10}, {3, 10}, {4, 10}}));
  set_state(config, 3, MemberState::down);
  config.slots = add_learners(config, {.per_server_max = 10});
  for (const SlotEntry& slot : config.slots)
    ASSERT_FALSE(contains(slot.learners, ServerId{3}));
}

TEST(AddLearners, a_slot_without_a_primary_that_answers_has_none) {
  ClusterConfig config = make_cluster(3);
  set_state(config, 1, MemberState::down);
  config.slots[0] = {ServerId{1}, {ServerId{1}}, {}};
  EXPECT_TRUE(add_learners(config)[0].learners.empty());
}

TEST(AddLearners, rebalancing_gives_a_new_server_its_share_and_moves_little_else) {
  ClusterConfig config = assigned(4);
  const SlotTable before = config.slots;
  config.members.push_back(make_cluster(5).members.back());
  heal(config);
  EXPECT_EQ(config.slots, before) << "nothing lacks a copy";
  for (int round = 0; round < 10; ++round) {
    config.slots = add_learners(config, {.per_server_max = 64, .rebalance = true});
    promote_all(config);
  }
  config.slots = balance_primaries(config);
  EXPECT_TRUE(validate(config).is_ok());
  Load load = load_of(config);
  int moved = 0;
  for (size_t i = 0; i < before.size(); ++i) {
    for (const ServerId id : config.slots[i].synced)
      moved += contains(before[i].synced, id) ? 0 : 1;
  }
  EXPECT_LE(moved, 430) << "the share of one in five is 410 of 2048 copies";
  for (uint32_t id = 1; id <= 5; ++id) {
    EXPECT_NEAR(load.copies[id], 410, 25) << "server " << id;
    EXPECT_NEAR(load.primaries[id], 205, 12) << "server " << id;
  }
}

TEST(AddLearners, rebalancing_never_gives_up_a_second_domain) {
  ClusterConfig config = make_cluster(3, 1);
  config.members[2].domain = "other";
  config.slots = assign_slots(config);
  EXPECT_EQ(load_of(config).copies[3], 1024) << "the heaviest, but alone in its domain";
  config.members.push_back(make_cluster(4, 1).members.back());
  for (int round = 0; round < 4; ++round) {
    config.slots = add_learners(config, {.rebalance = true});
    promote_all(config);
  }
  for (const SlotEntry& slot : config.slots)
    ASSERT_EQ(domains_in(config, slot), 2u);
  EXPECT_NEAR(load_of(config).copies[4], 341, 10);
}

TEST(BalancePrimaries, evens_out_after_a_return_without_moving_copies) {
  ClusterConfig config = assigned(2);
  die(config, 1);
  come_back(config, 1, false);
  heal(config);
  EXPECT_EQ(load_of(config).primaries[2], 1024);
  const SlotTable some = balance_primaries(config, 10);
  EXPECT_EQ(std::count_if(some.begin(), some.end(),
                          [](const SlotEntry& slot) { return slot.primary == ServerId{1}; }),
            10);
  config.slots = balance_primaries(config);
  EXPECT_NEAR(load_of(config).primaries[1], 512, 1);
  EXPECT_EQ(load_of(config).copies[1], 1024);
}

TEST(Drain, moves_primaries_first_then_copies_and_never_has_too_few) {
  ClusterConfig config = assigned(3);
  set_state(config, 2, MemberState::draining);
  config.slots = balance_primaries(config);
  EXPECT_EQ(load_of(config).primaries.count(2), 0u);
  config.slots = add_learners(config);
  for (const SlotEntry& slot : config.slots)
    ASSERT_EQ(slot.synced.size(), 2u) << "copies stay until learners are ready";
  promote_all(config);
  EXPECT_EQ(load_of(config).copies.count(2), 0u);
  for (const SlotEntry& slot : config.slots)
    ASSERT_EQ(slot.synced.size(), 2u);
  EXPECT_EQ(remove_member(config, ServerId{2}), config.slots) << "it may go";
}

TEST(Drain, of_both_copies_keeps_them_until_two_others_are_ready) {
  ClusterConfig config = make_cluster(4);
  config.slots[0] = {ServerId{1}, {ServerId{1}, ServerId{2}}, {ServerId{3}, ServerId{4}}};
  set_state(config, 1, MemberState::draining);
  set_state(config, 2, MemberState::draining);
  config.slots = promote_learner(config, SlotId{0}, ServerId{3}).value();
  EXPECT_EQ(config.slots[0].synced.size(), 3u);
  config.slots = promote_learner(config, SlotId{0}, ServerId{4}).value();
  EXPECT_EQ(config.slots[0].synced, (Servers{ServerId{3}, ServerId{4}}));
  EXPECT_TRUE(contains(config.slots[0].synced, config.slots[0].primary));
}

TEST(PromoteLearner, refuses_what_is_not_so) {
  ClusterConfig config = assigned(3);
  const ServerId outsider{config.slots[0].synced[0].value ^
                          config.slots[0].synced[1].value};  // of 1, 2, 3
  EXPECT_EQ(promote_learner(config, SlotId{0}, outsider).error().code(), Code::not_found);
  EXPECT_EQ(promote_learner(config, SlotId{5000}, outsider).error().code(), Code::not_found);
  config.slots[0].learners = {outsider};
  set_state(config, outsider.value, MemberState::down);
  EXPECT_EQ(promote_learner(config, SlotId{0}, outsider).error().code(), Code::unavailable);
  set_state(config, outsider.value, MemberState::up);
  config.slots[0].synced.clear();
  EXPECT_EQ(promote_learner(config, SlotId{0}, outsider).error().code(), Code::unavailable);
}

// Servers with disks under a config: who really has every acknowledged append of a slot.
class World {
 public:
  World(uint32_t servers, uint32_t domains, uint64_t seed)
      : x_config(assigned(servers, domains)), x_random(seed), x_whole(kSessionSlots) {
    for (size_t i = 0; i < kSessionSlots; ++i)
      x_whole[i].insert(x_config.slots[i].synced.begin(), x_config.slots[i].synced.end());
  }

  void step() {
    const uint32_t id = 1 + draw(static_cast<uint32_t>(x_config.members.size()));
    const MemberState state = find_member(x_config, ServerId{id})->state;
    switch (draw(5)) {
      case 0:
      case 4:
        if (state == MemberState::up) die(x_config, id);
        break;
      case 1:
        if (state == MemberState::down) return_of(id);
        break;
      case 2:
        x_config.slots = add_learners(x_config, {.per_server_max = 50, .rebalance = draw(2) == 1});
        x_config.slots = balance_primaries(x_config, draw(100));
        x_config.slots = assign_slots(x_config);
        break;
      default:
        learn_some();
    }
  }

  void verify() const {
    ASSERT_TRUE(validate(x_config).is_ok()) << validate(x_config).to_string();
    for (size_t i = 0; i < kSessionSlots; ++i) {
      const SlotEntry& slot = x_config.slots[i];
      ASSERT_NE(slot.primary, kNoServer);
      for (const ServerId id : slot.synced)
        ASSERT_TRUE(x_whole[i].contains(id)) << "slot " << i << " trusts " << id.value;
    }
  }

  // An append is acknowledged when all synced members have it; whoever is not one falls behind.
  void append_everywhere() {
    for (size_t i = 0; i < kSessionSlots; ++i) {
      const Servers& synced = x_config.slots[i].synced;
      const bool all_up = std::all_of(synced.begin(), synced.end(), [&](ServerId id) {
        return find_member(x_config, id)->state == MemberState::up;
      });
      if (!synced.empty() && all_up) x_whole[i] = std::set<ServerId>(synced.begin(), synced.end());
    }
  }

  void settle() {
    for (const Member& member : x_config.members) {
      if (member.state == MemberState::down) come_back(x_config, member.id.value, false);
    }
    for (int round = 0; round < 4; ++round)
      heal(x_config);
    for (const SlotEntry& slot : x_config.slots) {
      if (slot.synced.empty()) continue;
      ASSERT_EQ(slot.synced.size(), 2u);
      ASSERT_EQ(domains_in(x_config, slot), 2u);
      ASSERT_TRUE(slot.learners.empty());
    }
  }

 private:
  uint32_t draw(uint32_t below) { return static_cast<uint32_t>(x_random() % below); }

  void return_of(uint32_t id) {
    const bool wiped = draw(3) == 0;
    if (wiped) {
      for (auto& whole : x_whole)
        whole.erase(ServerId{id});
    }
    come_back(x_config, id, wiped);
  }

  void learn_some() {
    for (uint32_t i = draw(4); i < kSessionSlots; i += 1 + draw(4)) {
      const Servers learners = x_config.slots[i].learners;
      for (const ServerId id : learners) {
        if (!slot_is_available(x_config, SlotId{i})) continue;
        auto table = promote_learner(x_config, SlotId{i}, id);
        if (!table.has_value()) continue;
        x_whole[i].insert(id);
        x_config.slots = *table;
      }
    }
  }

  ClusterConfig x_config;
  std::mt19937_64 x_random;
  std::vector<std::set<ServerId>> x_whole;
};

TEST(Slots, nobody_is_ever_trusted_with_a_log_that_it_has_not) {
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world(3 + seed % 4, 3, seed);
    for (int i = 0; i < 50; ++i) {
      world.step();
      world.verify();
      if (testing::Test::HasFatalFailure()) return;
      world.append_everywhere();
    }
    world.settle();
    if (testing::Test::HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace tarn::ring
