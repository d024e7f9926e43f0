#include "common/ring/ring.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "common/ring/position.h"
#include "tests/unit/ring/cluster.h"

namespace tarn::ring {
namespace {

Ring ring_of(const ClusterConfig& config) {
  return Ring::build(config).value();
}

std::map<uint32_t, uint32_t> primaries(const Ring& ring, const std::vector<Position>& positions) {
  std::map<uint32_t, uint32_t> counts;
  for (const Position position : positions)
    ++counts[ring.owners(position, 1).front().value];
  return counts;
}

double max_over_mean(const std::map<uint32_t, uint32_t>& counts, uint32_t servers, size_t total) {
  uint32_t most = 0;
  for (const auto& [id, count] : counts)
    most = std::max(most, count);
  return most * static_cast<double>(servers) / static_cast<double>(total);
}

std::set<std::string> domains_of(const ClusterConfig& config, const OwnerList& owners,
                                 uint32_t first) {
  std::set<std::string> domains;
  for (uint32_t i = 0; i < std::min(first, owners.size()); ++i)
    domains.insert(domain_of(*find_member(config, owners[i])));
  return domains;
}

TEST(Ring, the_order_of_members_and_the_epoch_do_not_matter) {
  const ClusterConfig config = make_cluster(9, 3);
  ClusterConfig shuffled = config;
  std::reverse(shuffled.members.begin(), shuffled.members.end());
  std::swap(shuffled.members[1], shuffled.members[5]);
  shuffled.epoch = Epoch{77};
  const Ring a = ring_of(config), b = ring_of(shuffled);
  EXPECT_EQ(b.epoch(), Epoch{77});
  for (const Position position : sample_positions(5'000))
    ASSERT_EQ(a.owners(position, 5), b.owners(position, 5));
}

TEST(Ring, names_endpoints_and_domains_do_not_move_primaries) {
  const ClusterConfig config = make_cluster(6);
  ClusterConfig other = make_cluster(6, 2);
  for (Member& member : other.members) {
    member.name += "-renamed";
    member.control_endpoint = "10.0.0.1:1";
    member.incarnation = Incarnation{5};
  }
  const Ring a = ring_of(config), b = ring_of(other);
  for (const Position position : sample_positions(5'000))
    ASSERT_EQ(a.owners(position, 1), b.owners(position, 1));
}

TEST(Ring, positions_are_spread_evenly) {
  const auto positions = sample_positions(200'000);
  for (const auto& [servers, limit] : {std::pair(2u, 1.1), {8u, 1.12}, {32u, 1.16}, {128u, 1.2}}) {
    const Ring ring = ring_of(make_cluster(servers));
    const double ratio = max_over_mean(primaries(ring, positions), servers, positions.size());
    std::printf("positions, %3u servers: max/mean %.3f\n", servers, ratio);
    EXPECT_LT(ratio, limit) << servers << " servers";
  }
}

TEST(Ring, weights_share_out_positions) {
  ClusterConfig config = make_cluster(10);
  config.members[0].weight = 300;
  config.members[1].weight = 50;
  const auto positions = sample_positions(200'000);
  auto counts = primaries(ring_of(config), positions);
  const double per_weight = static_cast<double>(positions.size()) / (800 + 350);
  EXPECT_NEAR(counts[1] / (300 * per_weight), 1.0, 0.1);
  EXPECT_NEAR(counts[2] / (50 * per_weight), 1.0, 0.15);
}

TEST(Ring, a_join_takes_its_share_and_moves_nothing_else) {
  const auto positions = sample_positions(50'000);
  for (const uint32_t servers : {1u, 4u, 16u}) {
    const Ring before = ring_of(make_cluster(servers)), after = ring_of(make_cluster(servers + 1));
    uint32_t moved = 0;
    for (const Position position : positions) {
      const ServerId from = before.owners(position, 1).front();
      const ServerId to = after.owners(position, 1).front();
      if (from == to) continue;
      ++moved;
      ASSERT_EQ(to, ServerId{servers + 1});
    }
    const double share = moved / static_cast<double>(positions.size());
    EXPECT_NEAR(share * (servers + 1), 1.0, 0.15) << servers << " servers";
  }
}

TEST(Ring, a_leave_moves_only_what_the_leaver_had) {
  const ClusterConfig config = make_cluster(8);
  ClusterConfig without = config;
  set_state(without, 3, MemberState::down);
  const Ring before = ring_of(config), after = ring_of(without);
  for (const Position position : sample_positions(20'000)) {
    OwnerList expected;
    for (const ServerId id : before.owners(position, 4)) {
      if (id != ServerId{3} && expected.size() < 3) expected.push_back(id);
    }
    ASSERT_EQ(after.owners(position, 3), expected);
  }
}

TEST(Ring, a_leaver_is_taken_over_by_all_the_others) {
  const ClusterConfig config = make_cluster(8);
  ClusterConfig without = config;
  set_state(without, 3, MemberState::down);
  const Ring before = ring_of(config), after = ring_of(without);
  std::map<uint32_t, uint32_t> heirs;
  uint32_t total = 0;
  for (const Position position : sample_positions(50'000)) {
    if (before.owners(position, 1).front() != ServerId{3}) continue;
    ++heirs[after.owners(position, 1).front().value];
    ++total;
  }
  EXPECT_EQ(heirs.size(), 7u);
  EXPECT_LT(max_over_mean(heirs, 7, total), 1.3);
}

TEST(Ring, owners_stand_in_distinct_domains_first) {
  const ClusterConfig config = make_cluster(12, 4);
  const Ring ring = ring_of(config);
  EXPECT_EQ(ring.domain_count(), 4u);
  EXPECT_EQ(ring.server_count(), 12u);
  for (const Position position : sample_positions(5'000)) {
    const OwnerList owners = ring.owners(position, 6);
    ASSERT_EQ(owners.size(), 6u);
    ASSERT_EQ(domains_of(config, owners, 4).size(), 4u);
    ASSERT_EQ(std::set<ServerId>(owners.begin(), owners.end()).size(), 6u);
  }
}

TEST(Ring, a_longer_question_only_appends_while_domains_last) {
  const Ring ring = ring_of(make_cluster(12, 6));
  for (const Position position : sample_positions(2'000)) {
    const OwnerList all = ring.owners(position, 6);
    for (uint32_t count = 1; count < 6; ++count) {
      const OwnerList some = ring.owners(position, count);
      ASSERT_TRUE(std::equal(some.begin(), some.end(), all.begin()));
    }
  }
}

TEST(Ring, one_big_domain_still_gives_distinct_servers) {
  const ClusterConfig config = make_cluster(5, 1);
  const Ring ring = ring_of(config);
  EXPECT_EQ(ring.domain_count(), 1u);
  for (const Position position : sample_positions(1'000)) {
    const OwnerList owners = ring.owners(position, 5);
    ASSERT_EQ(std::set<ServerId>(owners.begin(), owners.end()).size(), 5u);
  }
}

TEST(Ring, a_lone_server_of_a_domain_is_not_the_backup_of_everyone_by_primary) {
  ClusterConfig config = make_cluster(5, 1);
  config.members[4].domain = "other";
  const Ring ring = ring_of(config);
  for (const Position position : sample_positions(1'000))
    ASSERT_TRUE(ring.owners(position, 2).contains(ServerId{5}));
  EXPECT_NEAR(primaries(ring, sample_positions(20'000))[5], 4'000, 600);
}

TEST(Ring, a_question_is_answered_with_what_there_is) {
  const Ring ring = ring_of(make_cluster(3));
  EXPECT_EQ(ring.owners(Position{1}, 0).size(), 0u);
  EXPECT_EQ(ring.owners(Position{1}, 9).size(), 3u);
  EXPECT_EQ(ring_of(make_cluster(40)).owners(Position{1}, 40).size(), kOwnersMax);
  const Ring empty = ring_of(make_cluster(0));
  EXPECT_TRUE(empty.owners(Position{1}, 3).empty());
  EXPECT_TRUE(empty.owners_for_read(Position{1}, 3).empty());
  EXPECT_EQ(empty.domain_count(), 0u);
}

TEST(Ring, wraps_around_at_the_end) {
  const Ring ring = ring_of(make_cluster(3));
  EXPECT_EQ(ring.owners(Position{UINT64_MAX}, 3).size(), 3u);
  EXPECT_EQ(ring.owners(Position{UINT64_MAX}, 1), ring.owners(Position{0}, 1));
}

TEST(Ring, only_members_that_are_up_and_have_weight_take_part) {
  ClusterConfig config = make_cluster(5);
  set_state(config, 1, MemberState::joining);
  set_state(config, 2, MemberState::down);
  config.members[2].weight = 0;
  set_state(config, 4, MemberState::draining);
  const Ring ring = ring_of(config);
  EXPECT_EQ(ring.server_count(), 1u);
  EXPECT_EQ(ring.owners(Position{9}, 5).front(), ServerId{5});
}

TEST(Ring, reads_go_on_as_before_a_drain) {
  const ClusterConfig config = make_cluster(6);
  ClusterConfig draining = config;
  set_state(draining, 2, MemberState::draining);
  const Ring before = ring_of(config), during = ring_of(draining);
  for (const Position position : sample_positions(5'000)) {
    ASSERT_EQ(during.owners_for_read(position, 3), before.owners(position, 3));
    ASSERT_FALSE(during.owners(position, 5).contains(ServerId{2}));
    ASSERT_EQ(before.owners_for_read(position, 3), before.owners(position, 3));
  }
}

TEST(Ring, refuses_an_invalid_config) {
  ClusterConfig config = make_cluster(2);
  config.members[1].id = ServerId{1};
  EXPECT_EQ(Ring::build(config).error().code(), Code::invalid_argument);
}

TEST(Ring, lanes_of_one_server_are_loaded_alike) {
  const Ring ring = ring_of(make_cluster(8));
  std::map<uint32_t, uint32_t> lanes;
  uint32_t total = 0;
  for (const Position position : sample_positions(100'000)) {
    if (ring.owners(position, 1).front() != ServerId{4}) continue;
    ++lanes[lane_of(position, 8)];
    ++total;
  }
  EXPECT_EQ(lanes.size(), 8u);
  EXPECT_LT(max_over_mean(lanes, 8, total), 1.1);
}

TEST(OwnerListDeathTest, never_overflows) {
  OwnerList list;
  for (uint32_t i = 0; i < kOwnersMax; ++i)
    list.push_back(ServerId{i + 1});
  EXPECT_TRUE(list.contains(ServerId{kOwnersMax}));
  EXPECT_FALSE(list.contains(ServerId{kOwnersMax + 1}));
  EXPECT_DEATH(list.push_back(ServerId{99}), "check failed");
}

}  // namespace
}  // namespace tarn::ring
