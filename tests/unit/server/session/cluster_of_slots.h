#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "common/base/clock.h"
#include "common/block/key.h"
#include "common/ring/position.h"
#include "common/ring/slots.h"
#include "common/rpc/session_command.h"
#include "server/session/slot_store.h"

namespace tarn::session {

// A clock whose date, unlike its time, may be set back.
class SteppedClock : public ManualClock {
 public:
  int64_t unix_ms() const override { return ManualClock::unix_ms() + x_step_ms.load(); }
  void step(Millis by) { x_step_ms += by.count(); }

 private:
  std::atomic<int64_t> x_step_ms = 0;
};

// Several servers' slot stores in one process, joined by calls that a test can cut.
class ClusterOfSlots {
 public:
  explicit ClusterOfSlots(uint32_t servers, uint64_t slot_bytes_max = kSlotBytesMax)
      : x_slot_bytes_max(slot_bytes_max) {
    // In memory where there is such a folder: these tests are about order, not about the disk.
    const bool has_shm = std::filesystem::is_directory("/dev/shm");
    x_root = std::filesystem::path(has_shm ? "/dev/shm" : testing::TempDir()) /
             ("slots_" + std::to_string(::getpid()) + "_" + std::to_string(++s_count));
    std::filesystem::remove_all(x_root);
    ring::ClusterConfig config;
    config.cluster = "test";
    for (uint32_t id = 1; id <= servers; ++id) {
      config.members.push_back({{id},
                                "s" + std::to_string(id),
                                "127.0.0.1:1",
                                {id},
                                100,
                                "rack" + std::to_string(id),
                                ring::MemberState::up,
                                1});
      start(id);
    }
    config.slots = ring::assign_slots(config);
    set_config(config);
  }

  ~ClusterOfSlots() {
    x_stores.clear();
    std::filesystem::remove_all(x_root);
  }

  // Starts the server with the logs it left, or with none.
  void start(uint32_t id) {
    std::filesystem::create_directories(x_root);
    SlotStoreOptions options;
    options.folder = folder(id);
    options.peers = peers_of(id);
    options.clock = &x_clock;
    options.teach_interval = Millis(0);
    options.registry = &registry;
    options.slot_bytes_max = x_slot_bytes_max;
    auto store = SlotStore::open(std::move(options));
    ASSERT_TRUE(store.has_value()) << store.error().to_string();
    x_stores[id] = std::move(*store);
    if (x_config) x_stores[id]->set_config(x_config, {id});
  }
  void kill(uint32_t id) { x_stores.erase(id); }

  // A new epoch with these contents, seen by all running servers but `except`.
  void set_config(ring::ClusterConfig config, std::set<uint32_t> except = {}) {
    config.epoch.value = x_config ? x_config->epoch.value + 1 : 1;
    x_config = std::make_shared<const ring::ClusterConfig>(std::move(config));
    for (auto& [id, store] : x_stores) {
      if (except.count(id) == 0) store->set_config(x_config, {id});
    }
  }
  const ring::ClusterConfig& config() const { return *x_config; }

  SlotStore& store(uint32_t id) { return *x_stores.at(id); }
  SteppedClock& clock() { return x_clock; }
  // Messages that this returns false for are lost before they arrive (lost_answers: after).
  std::function<bool(uint32_t from, uint32_t to)> allow = [](uint32_t, uint32_t) { return true; };
  bool lost_answers = false;
  metrics::Registry registry;  // of all stores together

  SlotId slot_of(const std::string& session) const {
    return ring::slot_of(ring::session_position(block::tenant_id("acme"), session));
  }
  const ring::SlotEntry& entry_of(const std::string& session) const {
    return x_config->slots[slot_of(session).value];
  }
  v1::SessionResult run(v1::SessionCommand command) {
    command.set_tenant("acme");
    const uint32_t primary = entry_of(rpc::session_id_of(command)).primary.value;
    return run_on(primary, command);
  }
  v1::SessionResult run_on(uint32_t id, v1::SessionCommand command) {
    command.set_tenant("acme");
    command.set_epoch(x_config->epoch.value);
    return x_stores.at(id)->execute(command);
  }

 private:
  std::string folder(uint32_t id) const { return (x_root / std::to_string(id)).string(); }

  template <typename Call>
  auto call(uint32_t from, uint32_t to, Call call) -> Result<decltype(call(store(to)))> {
    if (!allow(from, to) && !lost_answers) return unavailable("cut");
    if (x_stores.count(to) == 0) return unavailable("dead");
    auto response = call(*x_stores.at(to));
    if (!allow(from, to)) return unavailable("answer cut");
    return response;
  }

  Peers peers_of(uint32_t from) {
    Peers peers;
    peers.replicate = [this, from](ServerId to, const v1::ReplicateRequest& request, Instant) {
      return call(from, to.value, [&](SlotStore& store) { return store.replicate(request); });
    };
    peers.confirm = [this, from](ServerId to, const v1::ConfirmRequest& request, Instant) {
      return call(from, to.value, [&](SlotStore& store) { return store.confirm(request); });
    };
    peers.read_log = [this, from](ServerId to, const v1::ReadLogRequest& request, Instant) {
      return call(from, to.value, [&](SlotStore& store) { return store.read_log(request); });
    };
    return peers;
  }

  static inline int s_count = 0;
  std::filesystem::path x_root;
  SteppedClock x_clock;
  const uint64_t x_slot_bytes_max;
  std::map<uint32_t, std::unique_ptr<SlotStore>> x_stores;
  std::shared_ptr<const ring::ClusterConfig> x_config;
};

inline std::string request_id(int number) {
  std::string id(16, '\0');
  for (size_t i = 0; i < 4; ++i)
    id[i] = static_cast<char>(number >> (8 * i));
  return id;
}

inline v1::SessionCommand create(const std::string& id, int request, int64_t ttl_ms = 0) {
  v1::SessionCommand command;
  command.mutable_create()->set_session_id(id);
  command.mutable_create()->set_space(std::string(16, 's'));
  command.mutable_create()->set_ttl_ms(ttl_ms);
  command.mutable_create()->set_request_id(request_id(request));
  return command;
}

// Appends one block, named by the request's number.
inline v1::SessionCommand append(const std::string& id, uint64_t version, int request) {
  v1::SessionCommand command;
  auto* append = command.mutable_append();
  append->set_session_id(id);
  append->set_expected_version(version);
  auto* block = append->add_blocks();
  block->set_hash("h" + std::to_string(request));
  block->set_anchor("a");
  block->set_index(static_cast<uint32_t>(request) % 64);
  append->set_token_count(version * 16);
  append->set_tail("tail");
  append->set_request_id(request_id(request));
  return command;
}

inline v1::SessionCommand resolve(const std::string& id) {
  v1::SessionCommand command;
  command.mutable_resolve()->set_session_id(id);
  return command;
}

}  // namespace tarn::session
