// The index of a router that is restarted again and again, against the servers that it learns from:
// random puts, evictions, losses of servers, snapshots cut short at any write, resumed streams.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "common/ring/position.h"
#include "tests/unit/router/index/snapshot_folder.h"

namespace tarn::index {
namespace {

constexpr uint32_t kServers = 3;
constexpr uint32_t kChains = 8;
constexpr uint32_t kLength = 12;
#ifdef TARN_SANITIZE
constexpr int kSteps = 60;
#else
constexpr int kSteps = 300;
#endif

// A storage server, as far as an index learns from it: the truth.
struct ModelServer {
  using Name = std::pair<uint32_t, uint32_t>;  // chain, block

  uint64_t incarnation = 1;
  std::set<Name> blocks;
  std::vector<BlockEvent> events;  // of sequence 1, 2, ... in this incarnation
};

StoredBlock stored(const ModelServer::Name& name) {
  return block_of("m" + std::to_string(name.first), name.second, 4);
}

class RestartModel : public testing::TestWithParam<uint64_t> {
 protected:
  RestartModel() { life = std::make_unique<IndexLife>(folder.path()); }
  ~RestartModel() override {
    life->crash();
    fault::disarm_all();
  }

  uint32_t draw(uint32_t below) { return static_cast<uint32_t>(random() % below); }

  // A server changes a block; the router hears of it now or later.
  void change() {
    ModelServer& server = servers[1 + draw(kServers)];
    const ModelServer::Name name{draw(kChains), draw(kLength)};
    const bool removed = server.blocks.contains(name);
    if (removed) {
      server.blocks.erase(name);
    } else {
      server.blocks.insert(name);
    }
    server.events.push_back({stored(name), removed});
  }

  // What the router knows of a server is put right: by its stream where it left off, by the
  // inventory where it cannot.
  void catch_up(uint32_t id) {
    ModelServer& server = servers[id];
    Follow& follow = follows[id];
    if (follow.incarnation != server.incarnation) {
      if (follow.incarnation != 0) life->index->retire(life->index->attach({id}));
      take_inventory(id);
      follow.incarnation = server.incarnation;
    } else {
      const auto news = std::span(server.events).subspan(follow.sequence);
      life->index->apply(life->index->attach({id}), news);
    }
    follow.sequence = server.events.size();
  }

  void take_inventory(uint32_t id) {
    const Handle handle = life->index->attach({id});
    for (uint32_t range = 0; range < kRanges; ++range) {
      life->index->begin_scan(handle, {range});
      for (const auto& name : servers[id].blocks) {
        const StoredBlock block = stored(name);
        const auto at = ring::position_of(block.tenant, block.space, block.anchor);
        if (range_of(at) == range) life->index->add_scanned(handle, {&block, 1});
      }
      life->index->end_scan(handle, true);
    }
  }

  void write_snapshot() {
    life->marks.clear();
    for (const auto& [id, follow] : follows) {
      if (follow.incarnation == 0) continue;
      life->marks.push_back(
          {{id}, {follow.incarnation}, follow.sequence, life->index->attach({id})});
    }
    // Cut short at some write, or not at all.
    if (draw(2) == 0) fault::arm("index.snapshot_write", {.skip = draw(6), .times = 0});
    (void)life->keeper->write();
    fault::disarm_all();
  }

  // The process ends at once; another goes on with what its snapshot says.
  void restart() {
    life->crash();
    life.reset();
    life = std::make_unique<IndexLife>(folder.path());
    follows.clear();
    for (const StreamMark& mark : life->restored)
      follows[mark.server.value] = {mark.incarnation.value, mark.sequence};
  }

  // The server is gone for the config, with or without its blocks.
  void lose_server() {
    const uint32_t id = 1 + draw(kServers);
    life->index->retire(life->index->attach({id}));
    follows[id] = {};
    if (draw(2) == 0) life->index->sweep_retired();
    if (draw(2) != 0) return;
    ModelServer& server = servers[id];
    ++server.incarnation;
    server.blocks.clear();
    server.events.clear();
  }

  void compare() {
    for (uint32_t id = 1; id <= kServers; ++id)
      catch_up(id);
    for (uint32_t chain = 0; chain < kChains; ++chain) {
      const Probe probe("m" + std::to_string(chain), kLength);
      const auto located = probe.locate(*life->index);
      uint32_t prefix = 0;
      for (uint32_t i = 0; i < kLength; ++i) {
        std::set<uint32_t> expected;
        for (const auto& [id, server] : servers) {
          if (server.blocks.contains({chain, i})) expected.insert(id);
        }
        std::set<uint32_t> known;
        for (const ServerId id : located[i].holders)
          known.insert(id.value);
        ASSERT_EQ(known, expected) << "chain " << chain << " block " << i;
        prefix += prefix == i && !expected.empty() ? 1 : 0;
      }
      ASSERT_EQ(probe.match(*life->index).matched, prefix) << "chain " << chain;
    }
  }

  struct Follow {
    uint64_t incarnation = 0;  // 0: nothing is known
    uint64_t sequence = 0;
  };

  std::mt19937_64 random{GetParam()};
  SnapshotFolder folder{"restart_" + std::to_string(GetParam())};
  std::map<uint32_t, ModelServer> servers{{1, {}}, {2, {}}, {3, {}}};
  std::map<uint32_t, Follow> follows;
  std::unique_ptr<IndexLife> life;
};

TEST_P(RestartModel, after_any_restart_the_index_says_what_the_servers_hold) {
  std::printf("seed %llu\n", static_cast<unsigned long long>(GetParam()));
  for (int step = 0; step < kSteps; ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    for (uint32_t i = draw(20); i > 0; --i)
      change();
    if (draw(2) == 0) catch_up(1 + draw(kServers));
    if (draw(12) == 0) lose_server();
    if (draw(6) == 0) write_snapshot();
    if (draw(15) == 0) restart();
    if (draw(4) != 0) continue;
    ASSERT_NO_FATAL_FAILURE(compare());
  }
  restart();
  ASSERT_NO_FATAL_FAILURE(compare());
}

// TARN_SEED replays one; else two that are fixed and one that is new with each run.
std::vector<uint64_t> seeds() {
  if (const char* seed = std::getenv("TARN_SEED")) return {std::strtoull(seed, nullptr, 10)};
  return {1, 2, std::random_device()()};
}

INSTANTIATE_TEST_SUITE_P(Seeds, RestartModel, testing::ValuesIn(seeds()),
                         [](const auto& test) { return std::to_string(test.index); });

}  // namespace
}  // namespace tarn::index
