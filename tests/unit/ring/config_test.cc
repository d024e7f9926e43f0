#include "common/ring/config.h"

#include <gtest/gtest.h>

#include "common/block/key.h"
#include "tests/unit/ring/cluster.h"

namespace tarn::ring {
namespace {

ServerId server(uint32_t id) {
  return ServerId{id};
}

template <typename Change>
std::string refusal(Change change) {
  ClusterConfig config = make_cluster(3);
  change(config);
  const Status status = validate(config);
  EXPECT_EQ(status.code(), status.is_ok() ? Code::ok : Code::invalid_argument);
  return status.message();
}

TEST(Config, accepts_an_empty_cluster_and_a_full_one) {
  EXPECT_TRUE(validate(make_cluster(0)).is_ok());
  EXPECT_TRUE(validate(make_cluster(kMembersMax)).is_ok());
  EXPECT_EQ(refusal([](ClusterConfig& c) { c.cluster = ""; }), "cluster: must have 1 to 128 bytes");
}

TEST(Config, refuses_members_that_cannot_be) {
  EXPECT_EQ(refusal([](ClusterConfig& c) { c.members[0].id = kNoServer; }), "members[0].id: is 0");
  EXPECT_EQ(refusal([](ClusterConfig& c) { c.members[1].name = ""; }),
            "members[2].name: must have 1 to 128 bytes");
  EXPECT_EQ(refusal([](ClusterConfig& c) { c.members[1].domain = std::string(129, 'd'); }),
            "members[2].domain: longer than 128 bytes");
  EXPECT_EQ(refusal([](ClusterConfig& c) { c.members[1].weight = 1001; }),
            "members[2].weight: above 1000");
  EXPECT_EQ(refusal([](ClusterConfig& c) { c.members[1].lanes = 0; }),
            "members[2].lanes: must be 1 to 1024");
  EXPECT_EQ(refusal([](ClusterConfig& c) { c.members[1].state = MemberState{9}; }),
            "members[2].state: unknown");
  EXPECT_EQ(refusal([](ClusterConfig& c) { c.members[1].id = server(1); }),
            "members: id 1 is there twice");
  EXPECT_EQ(refusal([](ClusterConfig& c) { c.members[1].name = "s1"; }),
            "members: name s1 is there twice");
  EXPECT_EQ(refusal([](ClusterConfig& c) { c.members = make_cluster(1025).members; }),
            "members: more than 1024");
}

TEST(Config, refuses_slots_that_cannot_be) {
  EXPECT_EQ(refusal([](ClusterConfig& c) { c.slots.pop_back(); }), "slots: 1023, must be 1024");
  EXPECT_EQ(refusal([](ClusterConfig& c) {
              c.slots[7] = {server(1), {server(1), server(9)}, {}};
            }),
            "slots[7]: names an unknown server");
  EXPECT_EQ(refusal([](ClusterConfig& c) {
              c.slots[7] = {server(1), {server(1)}, {server(1)}};
            }),
            "slots[7]: names a server twice");
  EXPECT_EQ(refusal([](ClusterConfig& c) {
              c.slots[7] = {server(2), {server(1)}, {}};
            }),
            "slots[7].primary: is not one of synced");
}

TEST(Config, a_lost_slot_may_remember_a_server_that_is_gone) {
  EXPECT_EQ(refusal([](ClusterConfig& c) { c.slots[7] = {server(99), {}, {}}; }), "");
}

TEST(Config, refuses_ticket_keys_that_cannot_be) {
  const TicketKey key{1, std::string(kTicketSecretBytes, 'k'), 0};
  EXPECT_EQ(refusal([&](ClusterConfig& c) { c.ticket_keys = {key}; }), "");
  EXPECT_EQ(refusal([&](ClusterConfig& c) {
              c.ticket_keys = {key, key};
            }),
            "ticket_keys: an id is there twice");
  EXPECT_EQ(refusal([&](ClusterConfig& c) {
              c.ticket_keys = {{2, "short", 0}};
            }),
            "ticket_keys: a secret that has not 32 bytes");
  EXPECT_EQ(refusal([&](ClusterConfig& c) { c.ticket_keys.assign(9, key); }),
            "ticket_keys: more than 8");
}

TEST(Config, the_highest_floor_that_covers_a_space_holds) {
  const TenantId a = block::tenant_id("a"), b = block::tenant_id("b");
  SpaceId one, two;
  one.bytes[0] = 1;
  two.bytes[0] = 2;
  ClusterConfig config = make_cluster(1);
  config.floors = {{a, SpaceId{}, Epoch{5}}, {a, one, Epoch{9}}, {a, two, Epoch{3}}};
  EXPECT_EQ(floor_of(config, a, one), Epoch{9});
  EXPECT_EQ(floor_of(config, a, two), Epoch{5});
  EXPECT_EQ(floor_of(config, b, one), Epoch{0});
}

TEST(Config, finds_members_and_names_their_domains) {
  ClusterConfig config = make_cluster(4, 2);
  EXPECT_EQ(find_member(config, server(5)), nullptr);
  EXPECT_EQ(find_member(config, server(3))->name, "s3");
  EXPECT_EQ(domain_of(config.members[0]), domain_of(config.members[2]));
  config.members[0].domain = "";
  config.members[2].domain = "";
  EXPECT_NE(domain_of(config.members[0]), domain_of(config.members[2]));
}

TEST(Config, names_every_state) {
  EXPECT_EQ(member_state_name(MemberState::joining), "joining");
  EXPECT_EQ(member_state_name(MemberState::up), "up");
  EXPECT_EQ(member_state_name(MemberState::draining), "draining");
  EXPECT_EQ(member_state_name(MemberState::down), "down");
  EXPECT_EQ(member_state_name(MemberState{200}), "unknown");
}

}  // namespace
}  // namespace tarn::ring
