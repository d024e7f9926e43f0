#pragma once

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "common/base/fault_point.h"
#include "common/ring/position.h"
#include "tests/unit/server/lane/rig.h"

namespace tarn::lane {

// Three servers, each of one lane, that wire up among each other at once.
class Replication : public testing::Test {
 protected:
  void SetUp() override {
    for (uint32_t i = 1; i <= 3; ++i) {
      const std::string name = "s" + std::to_string(i);
      x_lanes.push_back(std::make_unique<LaneRig>(x_hub, x_clock, name, wire_up_for(name)));
    }
    set_config(make_config(1, 3));
  }

  void TearDown() override {
    fault::disarm_all();
    x_client.reset();
    for (auto& lane : x_lanes) {
      if (lane != nullptr) lane->backups->close();
    }
    for (int i = 0; i < 200; ++i)
      turn_all();
  }

  WireUp wire_up_for(std::string from) {
    return [this, from](ServerId to, std::function<void(Result<BackupWiring>)> done) {
      ++x_wired;
      if (x_lanes[to.value - 1] == nullptr) {
        done(unavailable("it is dead"));
        return;
      }
      done(wire(from, *x_lanes[to.value - 1]));
    };
  }

  Result<BackupWiring> wire(const std::string& from, LaneRig& to) {
    PeerSpec spec;
    spec.connection_id = ++x_last_connection;
    spec.ticket.holder = *auth::make_identity(auth::Role::server, from);
    spec.ticket.rights = auth::right::kAll;
    spec.ticket.expires_ms = x_clock.unix_ms() + kHourMs;
    spec.client_key = std::string(32, 'q');
    spec.fabric = fabric::Kind::loop;
    spec.address = from;
    TARN_RETURN_IF_ERROR(to.add_peer(spec));
    BackupWiring wiring;
    wiring.identity.connection_id = spec.connection_id;
    wiring.client_key = spec.client_key;
    wiring.fabric = fabric::Kind::loop;
    wiring.lane_addresses = {to.name};
    return wiring;
  }

  void set_config(const ring::ClusterConfig& config) {
    x_config = config;
    for (auto& lane : x_lanes) {
      if (lane != nullptr) lane->set_config(config);
    }
  }

  void turn_all() {
    for (auto& lane : x_lanes) {
      if (lane != nullptr) lane->turn();
    }
  }

  // Owners of a block that is its own anchor.
  std::vector<ServerId> owners(uint64_t hash) {
    const auto view = *make_view(x_config, "s1");
    const auto position =
        ring::position_of(block::tenant_id("acme"), SpaceId{{5}}, test_hash(hash));
    const auto list = view->ring.owners(position, 3);
    return {list.begin(), list.end()};
  }

  LaneRig& lane(ServerId id) { return *x_lanes[id.value - 1]; }

  ClientRig& client_of(uint64_t hash) {
    x_client = std::make_unique<ClientRig>(
        x_hub, lane(owners(hash).front()),
        ClientRig::Options{.name = "client" + std::to_string(++x_clients),
                           .connection_id = 1'000'000 + x_clients});
    x_client->also_turn = [this] { turn_all(); };
    return *x_client;
  }

  bool holds(ServerId id, uint64_t hash) {
    const block::BlockKey key{block::tenant_id("acme"), SpaceId{{5}}, {}, test_hash(hash)};
    return lane(id).tier->find(key) != nullptr;
  }

  fabric::LoopHub x_hub;
  ManualClock x_clock;
  std::vector<std::unique_ptr<LaneRig>> x_lanes;
  std::unique_ptr<ClientRig> x_client;
  ring::ClusterConfig x_config;
  uint64_t x_last_connection = 0;
  uint64_t x_clients = 0;
  int x_wired = 0;
};

}  // namespace tarn::lane
