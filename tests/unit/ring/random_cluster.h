#pragma once

#include <random>
#include <set>
#include <string>

#include "tests/unit/ring/cluster.h"

namespace tarn::ring {

struct RandomCluster {
  uint32_t servers_max = 16;
  uint32_t domains_max = 5;
  bool all_up = false;
};

// A valid config of servers of all weights, in all states and in any domains, some in one of their
// own; in no particular order.
inline ClusterConfig random_cluster(std::mt19937_64& random, const RandomCluster& shape = {}) {
  constexpr uint32_t weights[] = {0, 1, 50, 100, 100, 300, kWeightMax};
  ClusterConfig config = make_cluster(1 + static_cast<uint32_t>(random() % shape.servers_max));
  for (Member& member : config.members) {
    const uint64_t domain = random() % (shape.domains_max + 1);
    member.domain = domain == 0 ? "" : "rack-" + std::to_string(domain);
    member.weight = weights[random() % std::size(weights)];
    if (shape.all_up && member.weight == 0) member.weight = kWeightOne;
    if (!shape.all_up && random() % 3 == 0) member.state = static_cast<MemberState>(random() % 4);
  }
  std::shuffle(config.members.begin(), config.members.end(), random);
  return config;
}

// Domains in which a new block may be kept.
inline std::set<std::string> writable_domains(const ClusterConfig& config) {
  std::set<std::string> domains;
  for (const Member& member : config.members) {
    if (member.state == MemberState::up && member.weight > 0) domains.insert(domain_of(member));
  }
  return domains;
}

}  // namespace tarn::ring
