// The same cluster gives the same answers everywhere: whatever way its config has come, and in
// whatever order it lists its members.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "common/ring/ring.h"
#include "common/ring/slots.h"
#include "common/rpc/convert.h"
#include "tests/unit/ring/random_cluster.h"

namespace tarn::ring {
namespace {

using Servers = std::vector<ServerId>;

template <typename Id>
Id random_id(std::mt19937_64& random) {
  Id id;
  for (auto& byte : id.bytes)
    byte = static_cast<uint8_t>(random());
  return id;
}

// With a table of slots as a cluster has it after some history, and with everything else filled in.
ClusterConfig random_config(uint64_t seed) {
  std::mt19937_64 random(seed);
  ClusterConfig config = random_cluster(random);
  config.epoch = Epoch{random()};
  for (Member& member : config.members) {
    member.control_endpoint = "10.0.0." + std::to_string(random() % 256) + ":7400";
    member.incarnation = Incarnation{random()};
    member.lanes = 1 + static_cast<uint32_t>(random() % kLanesMax);
  }
  config.slots = assign_slots(config);
  for (Member& member : config.members) {
    if (random() % 4 != 0 || member.state != MemberState::up) continue;
    member.state = random() % 2 == 0 ? MemberState::down : MemberState::draining;
    config.slots = remove_member(config, member.id);
  }
  config.slots = add_learners(config, {.per_server_max = 100});
  config.slots[random() % kSessionSlots] = {ServerId{77}, {}, {}};  // lost, by one who is gone
  for (uint32_t id = 0; id < random() % kTicketKeysMax; ++id)
    config.ticket_keys.push_back({id, std::string(kTicketSecretBytes, 'a'), 1'000 + id});
  for (int i = 0; i < 3; ++i) {
    config.revocations["tenant-" + std::to_string(random() % 9)] = random();
    config.floors.push_back(
        {random_id<TenantId>(random), random_id<SpaceId>(random), Epoch{random()}});
  }
  EXPECT_TRUE(validate(config).is_ok()) << validate(config).to_string();
  return config;
}

TEST(Stable, AConfigThatTravelledGivesTheSameOwners) {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const ClusterConfig config = random_config(seed);
    const std::string bytes = rpc::to_proto(config).SerializeAsString();
    v1::ClusterConfig arrived;
    ASSERT_TRUE(arrived.ParseFromString(bytes));
    const ClusterConfig copy = rpc::from_proto(arrived).value();
    ASSERT_EQ(copy, config);
    const Ring here = Ring::build(config).value(), there = Ring::build(copy).value();
    for (const Position position : sample_positions(300, seed)) {
      ASSERT_EQ(here.owners(position, 4), there.owners(position, 4));
      ASSERT_EQ(here.owners_for_read(position, 4), there.owners_for_read(position, 4));
    }
    EXPECT_EQ(rpc::to_proto(copy).SerializeAsString().size(), bytes.size());
  }
}

struct Move {
  SlotTable table;
  bool forgets = false;  // logs that are gone

  friend bool operator==(const Move&, const Move&) = default;
};

// All moves of the controller on one config.
std::vector<Move> moves(const ClusterConfig& config) {
  std::vector<Move> all = {{assign_slots(config)},
                           {balance_primaries(config)},
                           {balance_primaries(config, 7)},
                           {add_learners(config)},
                           {add_learners(config, {.per_server_max = 5, .rebalance = true})}};
  for (uint32_t id = 1; id <= 16; ++id) {
    if (find_member(config, ServerId{id}) == nullptr) continue;
    all.push_back({remove_member(config, ServerId{id})});
    all.push_back({forget_incarnation(config, ServerId{id}), true});
    for (uint32_t slot = id; slot < kSessionSlots; slot += 97) {
      const auto promoted = promote_learner(config, SlotId{slot}, ServerId{id});
      if (promoted.has_value()) all.push_back({*promoted});
    }
  }
  return all;
}

// Two routers that list the members in another order propose the same next table.
TEST(Stable, TheOrderOfMembersMovesNoSlot) {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    const ClusterConfig config = random_config(seed);
    ClusterConfig shuffled = config;
    std::reverse(shuffled.members.begin(), shuffled.members.end());
    ASSERT_EQ(moves(shuffled), moves(config)) << "seed " << seed;
  }
}

bool is_subset(const Servers& some, const std::set<ServerId>& all) {
  return std::all_of(some.begin(), some.end(), [&](ServerId id) { return all.contains(id); });
}

// Whatever the controller does: the table stays valid, nobody is synced who was not, or learning,
// before, and no slot that could answer stops answering, unless logs are gone.
TEST(Stable, EveryMoveKeepsWhatASlotHas) {
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const ClusterConfig config = random_config(seed);
    for (const Move& move : moves(config)) {
      ClusterConfig next = config;
      next.slots = move.table;
      ASSERT_TRUE(validate(next).is_ok()) << validate(next).to_string();
      for (uint32_t i = 0; i < kSessionSlots; ++i) {
        const SlotEntry& before = config.slots[i];
        const SlotEntry& after = move.table[i];
        if (before.primary == kNoServer) continue;
        std::set<ServerId> knew(before.synced.begin(), before.synced.end());
        knew.insert(before.learners.begin(), before.learners.end());
        ASSERT_TRUE(is_subset(after.synced, knew)) << "slot " << i << " trusts a stranger";
        ASSERT_NE(after.primary, kNoServer) << "slot " << i << " forgot that it has a history";
        if (move.forgets || before.synced.empty()) continue;
        ASSERT_FALSE(after.synced.empty()) << "slot " << i << " is lost by a move";
        if (!slot_is_available(config, SlotId{i})) continue;
        ASSERT_TRUE(slot_is_available(next, SlotId{i})) << "slot " << i << " stops answering";
      }
    }
  }
}

// What was just done needs no doing: a controller that is restarted proposes nothing new.
TEST(Stable, AMoveMadeTwiceIsMadeOnce) {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    ClusterConfig config = random_config(seed);
    config.slots = assign_slots(config);
    EXPECT_EQ(assign_slots(config), config.slots);
    config.slots = add_learners(config);
    EXPECT_EQ(add_learners(config), config.slots);
    for (const Member& member : config.members) {
      if (member.state != MemberState::down) continue;
      config.slots = remove_member(config, member.id);
      EXPECT_EQ(remove_member(config, member.id), config.slots);
    }
  }
}

}  // namespace
}  // namespace tarn::ring
