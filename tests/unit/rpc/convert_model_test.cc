#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "common/rpc/convert.h"

// Conversions under random configs, newer peers and hostile messages.
namespace tarn::rpc {
namespace {

using testing::HasSubstr;

// Configs that validate() takes, with every field in use.
class Configs : public testing::Test {
 protected:
  uint64_t below(uint64_t end) { return x_random() % end; }
  std::string word() { return "w" + std::to_string(x_random() % 100'000); }

  ring::Member member(uint32_t id) {
    ring::Member member;
    member.id = {id};
    member.name = "s" + std::to_string(id);
    member.control_endpoint = "10.0.0." + std::to_string(id) + ":7000";
    member.incarnation = {x_random()};
    member.weight = static_cast<uint32_t>(below(ring::kWeightMax + 1));
    member.domain = below(2) == 0 ? "" : word();
    member.state = static_cast<ring::MemberState>(below(4));
    member.lanes = static_cast<uint32_t>(1 + below(ring::kLanesMax));
    return member;
  }

  ring::SlotEntry slot(uint32_t members) {
    ring::SlotEntry slot;
    if (below(4) == 0) return slot;  // never assigned
    const auto first = static_cast<uint32_t>(1 + below(members));
    slot.primary = {first};
    if (below(8) == 0) return slot;  // lost
    slot.synced.push_back({first});
    const uint32_t next = first % members + 1;
    if (next == first) return slot;
    (below(2) == 0 ? slot.synced : slot.learners).push_back({next});
    return slot;
  }

  ring::ClusterConfig config() {
    ring::ClusterConfig config;
    config.epoch = {x_random()};
    config.cluster = word();
    const auto members = static_cast<uint32_t>(1 + below(6));
    for (uint32_t id = 1; id <= members; ++id)
      config.members.push_back(member(id));
    for (ring::SlotEntry& entry : config.slots)
      entry = slot(members);
    for (uint32_t id = 1; id <= below(4); ++id) {
      config.ticket_keys.push_back({id, std::string(kTicketSecretBytes, static_cast<char>(id)),
                                    static_cast<int64_t>(below(INT64_MAX))});
    }
    for (uint64_t i = below(5); i > 0; --i)
      config.revocations[word()] = x_random();
    for (uint64_t i = below(5); i > 0; --i) {
      ring::Floor floor{block::tenant_id(word()), {}, {x_random()}};
      if (below(2) == 0) floor.space.bytes.fill(static_cast<uint8_t>(1 + below(255)));
      config.floors.push_back(floor);
    }
    return config;
  }

  std::mt19937_64 x_random{20261122};
};

TEST_F(Configs, survive_the_round_trip_through_their_bytes) {
  for (int i = 0; i < 40; ++i) {
    const ring::ClusterConfig original = config();
    ASSERT_TRUE(ring::validate(original).is_ok()) << ring::validate(original).to_string();
    v1::ClusterConfig message;
    ASSERT_TRUE(message.ParseFromString(to_proto(original).SerializeAsString()));
    const auto back = from_proto(message);
    ASSERT_TRUE(back.has_value()) << back.error().to_string();
    ASSERT_EQ(*back, original) << "round " << i;
  }
}

// Varints and bytes under field numbers that this version does not know.
std::string fields_of_the_future() {
  std::string bytes;
  for (const uint32_t field : {100u, 1000u, 18'999u}) {
    for (uint32_t tag = field << 3; tag > 0; tag >>= 7)
      bytes += static_cast<char>((tag & 127) | (tag > 127 ? 128 : 0));
    bytes += '\x2a';
  }
  return bytes + "\xa2\x06\x03new";
}

template <typename Message>
Message from_the_future(const Message& message) {
  Message newer;
  EXPECT_TRUE(newer.ParseFromString(message.SerializeAsString() + fields_of_the_future()));
  EXPECT_GT(newer.ByteSizeLong(), message.ByteSizeLong()) << "what is unknown is kept";
  return newer;
}

TEST_F(Configs, of_a_newer_router_are_read_without_what_it_added) {
  const ring::ClusterConfig original = config();
  v1::ClusterConfig message = from_the_future(to_proto(original));
  for (auto& member : *message.mutable_members())
    member = from_the_future(member);
  *message.mutable_slots(5) = from_the_future(message.slots(5));
  const auto back = from_proto(message);
  ASSERT_TRUE(back.has_value()) << back.error().to_string();
  EXPECT_EQ(*back, original);
}

// A server in a state that we do not know must not be given data or sessions.
TEST_F(Configs, take_a_member_of_an_unknown_state_for_one_that_has_no_part) {
  ring::ClusterConfig original;
  original.cluster = "c";
  original.members.push_back(member(1));
  for (const int state : {0, 5, 77, -1}) {
    v1::ClusterConfig message = to_proto(original);
    message.mutable_members(0)->set_state(static_cast<v1::MemberState>(state));
    EXPECT_EQ(from_proto(message)->members[0].state, ring::MemberState::joining) << state;
  }
}

TEST_F(Configs, that_are_hostile_are_refused_with_the_field) {
  using Change = std::function<void(v1::ClusterConfig&)>;
  ring::ClusterConfig original;
  original.cluster = "c";
  original.members = {member(1), member(2)};
  original.floors.push_back({block::tenant_id("acme"), {}, {3}});
  const std::pair<Change, const char*> rows[] = {
      {[](auto& c) { c.mutable_members(1)->set_id(1); }, "member"},
      {[](auto& c) { c.mutable_members(1)->set_id(0); }, "member"},
      {[](auto& c) { c.mutable_members(1)->set_name("s1"); }, "name"},
      {[](auto& c) { c.mutable_members(0)->set_weight(ring::kWeightMax + 1); }, "weight"},
      {[](auto& c) { c.mutable_members(0)->set_lanes(0); }, "lanes"},
      {[](auto& c) { c.mutable_members(0)->set_lanes(ring::kLanesMax + 1); }, "lanes"},
      {[](auto& c) { c.mutable_slots()->RemoveLast(); }, "slots"},
      {[](auto& c) { c.add_slots(); }, "slots"},
      {[](auto& c) { c.mutable_slots(9)->add_synced(3); }, "slots[9]: names an unknown server"},
      {[](auto& c) { c.mutable_slots(9)->add_synced(1); }, "slots[9].primary"},
      {[](auto& c) { c.mutable_floors(0)->set_tenant(std::string(17, 'x')); }, "tenant"},
      {[](auto& c) { c.mutable_floors(0)->set_tenant(""); }, "tenant"},
      {[](auto& c) { c.mutable_floors(0)->set_space("x"); }, "space"},
      {[](auto& c) { c.add_ticket_keys()->set_secret("short"); }, "ticket"},
  };
  for (const auto& [change, field] : rows) {
    v1::ClusterConfig message = to_proto(original);
    change(message);
    const auto refused = from_proto(message);
    ASSERT_FALSE(refused.has_value()) << field;
    EXPECT_EQ(refused.error().code(), Code::invalid_argument);
    EXPECT_THAT(refused.error().message(), HasSubstr(field));
  }
}

TEST_F(Configs, of_random_bytes_never_get_by_the_checks) {
  const std::string good = to_proto(config()).SerializeAsString();
  int taken = 0;
  for (int i = 0; i < 500; ++i) {
    std::string bytes = good;
    for (uint64_t changes = 1 + below(2); changes > 0; --changes)
      bytes[below(bytes.size())] = static_cast<char>(below(256));
    v1::ClusterConfig message;
    if (!message.ParseFromString(bytes)) continue;
    const auto config = from_proto(message);
    if (!config) continue;
    ++taken;
    EXPECT_TRUE(ring::validate(*config).is_ok());
    EXPECT_EQ(from_proto(to_proto(*config)).value(), *config);
  }
  EXPECT_GT(taken, 5);
}

class Specs : public Configs {
 protected:
  block::SpaceSpec spec() {
    block::SpaceSpec spec{.model = word(),
                          .revision = word(),
                          .dtype = word(),
                          .layout = word(),
                          .block_tokens = static_cast<uint32_t>(1 + below(1000)),
                          .tensor_parallel = static_cast<uint32_t>(1 + below(64)),
                          .hash_scheme = word(),
                          .hash_seed = word(),
                          .kind = static_cast<block::SpaceKind>(below(2)),
                          .extent_blocks = static_cast<uint32_t>(1 + below(kExtentBlocksMax))};
    return spec;
  }
};

TEST_F(Specs, survive_the_round_trip_with_the_same_id) {
  for (int i = 0; i < 200; ++i) {
    const block::SpaceSpec original = spec();
    const block::SpaceSpec back = from_proto(from_the_future(to_proto(original)));
    ASSERT_EQ(back, original);
    EXPECT_EQ(block::space_id(back), block::space_id(original));
  }
}

TEST_F(Specs, take_the_default_for_an_extent_that_is_not_named) {
  v1::SpaceSpec message = to_proto(spec());
  message.set_extent_blocks(0);
  EXPECT_EQ(from_proto(message).extent_blocks, kExtentBlocksDefault);
}

// An older client that does not know kinds means chained ones.
TEST_F(Specs, of_no_kind_are_chained) {
  v1::SpaceSpec message = to_proto(spec());
  message.clear_kind();
  EXPECT_EQ(from_proto(message).kind, block::SpaceKind::chained);
}

TEST_F(Specs, of_an_empty_message_are_refused_by_the_first_field) {
  EXPECT_EQ(block::validate(from_proto(v1::SpaceSpec())).message(), "space.model: empty");
}

TEST(Ids, are_sixteen_bytes_and_nothing_else) {
  for (size_t size = 0; size <= 40; ++size) {
    const std::string bytes(size, '\xee');
    EXPECT_EQ(space_id_from(bytes).has_value(), size == 16);
    EXPECT_EQ(tenant_id_from(bytes).has_value(), size == 16);
  }
  EXPECT_EQ(space_id_from("abc").error(), invalid_argument("space: expected 16 bytes, got 3"));
  EXPECT_EQ(tenant_id_from("").error(), invalid_argument("tenant: expected 16 bytes, got 0"));
  EXPECT_EQ(to_bytes(tenant_id_from("0123456789abcdef").value()), "0123456789abcdef");
}

}  // namespace
}  // namespace tarn::rpc
