// The ring against the plainest walk around it, and what must hold when a cluster changes.
#include <gtest/gtest.h>
#include <xxhash.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "common/ring/ring.h"
#include "tests/unit/ring/random_cluster.h"

namespace tarn::ring {
namespace {

using Servers = std::vector<ServerId>;

Ring ring_of(const ClusterConfig& config) {
  return Ring::build(config).value();
}

Servers servers(const OwnerList& owners) {
  return {owners.begin(), owners.end()};
}

// As docs/RING.md tells it.
class PlainRing {
 public:
  PlainRing(const ClusterConfig& config, bool with_draining) {
    for (const Member& member : config.members) {
      const bool in = member.state == MemberState::up ||
                      (with_draining && member.state == MemberState::draining);
      if (!in || member.weight == 0) continue;
      x_domains[member.id] = domain_of(member);
      const uint32_t points = std::max(1u, member.weight * 512 / 100);
      for (uint32_t i = 0; i < points; ++i)
        x_points.emplace(point(member.id.value, i), member.id);
    }
  }

  Servers owners(Position position, size_t count) const {
    Servers met;
    const auto from = x_points.lower_bound({position.value, ServerId{0}});
    for (auto at = from; at != x_points.end() && met.size() < x_domains.size(); ++at)
      meet(met, at->second);
    for (auto at = x_points.begin(); at != from && met.size() < x_domains.size(); ++at)
      meet(met, at->second);
    // The first of each domain, in the order met, then the others.
    std::set<std::string> domains;
    std::stable_partition(met.begin(), met.end(),
                          [&](ServerId id) { return domains.insert(x_domains.at(id)).second; });
    met.resize(std::min({count, met.size(), size_t{kOwnersMax}}));
    return met;
  }

 private:
  static uint64_t point(uint32_t id, uint32_t i) {
    std::string bytes = "tarn ring";
    bytes.append(reinterpret_cast<const char*>(&id), sizeof(id));
    bytes.append(reinterpret_cast<const char*>(&i), sizeof(i));
    return XXH3_64bits(bytes.data(), bytes.size());
  }
  static void meet(Servers& met, ServerId id) {
    if (std::find(met.begin(), met.end(), id) == met.end()) met.push_back(id);
  }

  std::set<std::pair<uint64_t, ServerId>> x_points;
  std::map<ServerId, std::string> x_domains;
};

TEST(RingModel, OwnersAreThoseOfThePlainWalk) {
  for (uint64_t seed = 1; seed <= 25; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    const ClusterConfig config = random_cluster(random, {.servers_max = 20});
    const Ring ring = ring_of(config);
    const PlainRing writes(config, false), reads(config, true);
    for (const Position position : sample_positions(40, seed)) {
      const auto count = static_cast<uint32_t>(random() % (kOwnersMax + 3));
      ASSERT_EQ(servers(ring.owners(position, count)), writes.owners(position, count));
      ASSERT_EQ(servers(ring.owners_for_read(position, count)), reads.owners(position, count));
    }
    EXPECT_EQ(ring.domain_count(), writable_domains(config).size());
  }
}

// On the points themselves and beside them, where an off-by-one would show.
TEST(RingModel, APointBelongsToTheServerThatStandsOnIt) {
  std::mt19937_64 random(7);
  const ClusterConfig config = random_cluster(random, {.servers_max = 6, .all_up = true});
  const Ring ring = ring_of(config);
  const PlainRing plain(config, false);
  for (uint32_t i = 0; i < 200; ++i) {
    std::string bytes = "tarn ring";
    bytes.append("\1\0\0\0", 4).append(reinterpret_cast<const char*>(&i), sizeof(i));
    const uint64_t point = XXH3_64bits(bytes.data(), bytes.size());
    for (const uint64_t value : {point - 1, point, point + 1})
      ASSERT_EQ(servers(ring.owners(Position{value}, 3)), plain.owners(Position{value}, 3));
  }
}

// A weight that rises takes positions from all and gives none; one that falls only gives.
TEST(RingModel, AWeightThatChangesMovesOnlyItsOwnShare) {
  for (const auto& [before, after] :
       {std::pair(100u, 101u), {50u, 400u}, {0u, 1u}, {1u, kWeightMax}}) {
    for (uint64_t seed = 1; seed <= 4; ++seed) {
      std::mt19937_64 random(seed);
      ClusterConfig light = random_cluster(random, {.servers_max = 10, .all_up = true});
      const ServerId changed = light.members[0].id;
      light.members[0].weight = before;
      ClusterConfig heavy = light;
      heavy.members[0].weight = after;
      const Ring low = ring_of(light), high = ring_of(heavy);
      for (const Position position : sample_positions(400, seed)) {
        if (low.owners(position, 1) == high.owners(position, 1)) continue;
        ASSERT_EQ(high.owners(position, 1).front(), changed) << before << " to " << after;
      }
    }
  }
}

// Without domains a server that comes, goes or changes its weight leaves the order of the others.
TEST(RingModel, TheOthersKeepTheirOrder) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    std::mt19937_64 random(seed);
    ClusterConfig config = random_cluster(random, {.domains_max = 0, .all_up = true});
    ClusterConfig other = config;
    const ServerId changed = config.members[0].id;
    other.members[0].weight = 1 + static_cast<uint32_t>(random() % kWeightMax);
    if (seed % 3 == 0) other.members[0].state = MemberState::down;
    const Ring a = ring_of(config), b = ring_of(other);
    for (const Position position : sample_positions(300, seed)) {
      Servers left = servers(a.owners(position, kOwnersMax));
      Servers right = servers(b.owners(position, kOwnersMax));
      std::erase(left, changed);
      std::erase(right, changed);
      const size_t both = std::min(left.size(), right.size());
      left.resize(both);
      right.resize(both);
      ASSERT_EQ(left, right) << "seed " << seed;
    }
  }
}

// `replicated` n survives n - 1 domains: each position loses one copy at most, and who had one has
// one still.
TEST(RingModel, ADomainThatIsLostTakesOneCopyOfEachPosition) {
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    const ClusterConfig config = random_cluster(random, {.all_up = true});
    const auto domains = writable_domains(config);
    const auto copies = static_cast<uint32_t>(std::min<size_t>(domains.size(), 3));
    const Ring before = ring_of(config);
    for (const std::string& gone : domains) {
      ClusterConfig without = config;
      for (Member& member : without.members) {
        if (domain_of(member) == gone) member.state = MemberState::down;
      }
      const Ring after = ring_of(without);
      ASSERT_EQ(after.domain_count(), domains.size() - 1);
      for (const Position position : sample_positions(60, seed)) {
        Servers kept = servers(before.owners(position, copies));
        ASSERT_EQ(kept.size(), copies);
        std::erase_if(kept,
                      [&](ServerId id) { return domain_of(*find_member(config, id)) == gone; });
        ASSERT_GE(kept.size() + 1, copies) << "two copies in one domain";
        Servers now = servers(after.owners(position, copies));
        now.resize(std::min(now.size(), kept.size()));
        ASSERT_EQ(now, kept);
      }
    }
  }
}

// What the servers ask before they promise n copies: it can be had as long as there are n domains,
// and never after.
TEST(RingModel, MoreCopiesThanDomainsCannotBeHad) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    std::mt19937_64 random(seed);
    const ClusterConfig config = random_cluster(random);
    const Ring ring = ring_of(config);
    const uint32_t domains = ring.domain_count();
    for (uint32_t copies = 1; copies <= std::min(domains + 2, kOwnersMax); ++copies) {
      for (const Position position : sample_positions(20, seed)) {
        std::set<std::string> reached;
        for (const ServerId id : ring.owners(position, copies))
          reached.insert(domain_of(*find_member(config, id)));
        ASSERT_EQ(reached.size() >= copies, copies <= domains)
            << copies << " copies in " << domains << " domains";
      }
    }
  }
}

// Epochs change for many reasons; only members decide who owns what.
TEST(RingModel, AnEpochThatChangesNoMemberMovesNothing) {
  std::mt19937_64 random(11);
  const ClusterConfig config = random_cluster(random);
  ClusterConfig next = config;
  next.epoch = Epoch{config.epoch.value + 1};
  next.slots[3] = {config.members[0].id, {config.members[0].id}, {}};
  next.revocations["acme"] = 9;
  next.floors.push_back({{}, {}, Epoch{1}});
  next.ticket_keys.push_back({1, std::string(kTicketSecretBytes, 'k'), 0});
  const Ring a = ring_of(config), b = ring_of(next);
  EXPECT_EQ(b.epoch(), next.epoch);
  for (const Position position : sample_positions(500)) {
    ASSERT_EQ(a.owners(position, 5), b.owners(position, 5));
    ASSERT_EQ(a.owners_for_read(position, 5), b.owners_for_read(position, 5));
  }
}

// A drain, step by step: who had the bytes before is asked all the way, and new bytes never go
// there.
TEST(RingModel, ADrainHidesNothingFromReaders) {
  std::mt19937_64 random(13);
  ClusterConfig config = random_cluster(random, {.all_up = true});
  const Ring whole = ring_of(config);
  for (size_t drained = 0; drained + 1 < config.members.size(); ++drained) {
    config.members[drained].state = MemberState::draining;
    const Ring ring = ring_of(config);
    for (const Position position : sample_positions(50)) {
      ASSERT_EQ(ring.owners_for_read(position, 4), whole.owners(position, 4));
      for (const ServerId id : ring.owners(position, kOwnersMax))
        ASSERT_EQ(find_member(config, id)->state, MemberState::up);
    }
  }
}

}  // namespace
}  // namespace tarn::ring
