#pragma once

#include <string>
#include <vector>

#include "common/ring/config.h"

namespace tarn::ring {

// A config of `servers` members s1, s2, ... that are up; with `domains` > 0 they are dealt out to
// that many failure domains in turn, else each is its own.
inline ClusterConfig make_cluster(uint32_t servers, uint32_t domains = 0) {
  ClusterConfig config;
  config.epoch = Epoch{1};
  config.cluster = "test";
  for (uint32_t i = 1; i <= servers; ++i) {
    Member member;
    member.id = ServerId{i};
    member.name = "s" + std::to_string(i);
    member.incarnation = Incarnation{1000 + i};
    member.state = MemberState::up;
    if (domains > 0) member.domain = "rack-" + std::to_string(i % domains);
    config.members.push_back(member);
  }
  return config;
}

inline void set_state(ClusterConfig& config, uint32_t id, MemberState state) {
  find_member(config, ServerId{id})->state = state;
}

// Positions as hashes give them, the same in every run.
inline std::vector<Position> sample_positions(size_t count, uint64_t seed = 1) {
  std::vector<Position> positions(count);
  uint64_t state = seed;
  for (Position& position : positions) {
    state += 0x9e3779b97f4a7c15;  // splitmix64
    uint64_t z = state;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    position = Position{z ^ z >> 31};
  }
  return positions;
}

}  // namespace tarn::ring
