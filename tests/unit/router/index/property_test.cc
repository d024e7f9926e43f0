#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <tuple>

#include "common/ring/position.h"
#include "tests/unit/router/index/blocks.h"

namespace tarn::index {
namespace {

constexpr uint32_t kServers = 3;
constexpr uint32_t kChains = 6;
constexpr uint32_t kLength = 40;

// What the index should say, kept the slow way: every copy by itself.
struct Model {
  struct Copy {
    uint32_t server, chain, block, shard;
    Tier tier;
    auto operator<=>(const Copy&) const = default;
  };
  std::set<Copy> copies;

  bool has(uint32_t chain, uint32_t block, uint32_t shard) const {
    for (const Copy& copy : copies) {
      if (copy.chain == chain && copy.block == block && copy.shard == shard) return true;
    }
    return false;
  }
  uint32_t matched(uint32_t chain, const std::vector<uint32_t>& shards) const {
    for (uint32_t i = 0; i < kLength; ++i) {
      for (const uint32_t shard : shards) {
        if (!has(chain, i, shard)) return i;
      }
    }
    return kLength;
  }
  std::set<uint32_t> holders(uint32_t chain, uint32_t block) const {
    std::set<uint32_t> servers;
    for (const Copy& copy : copies) {
      if (copy.chain == chain && copy.block == block) servers.insert(copy.server);
    }
    return servers;
  }
};

// Chains of even number have extents of 8, the others are flat.
StoredBlock stored(const Model::Copy& copy) {
  StoredBlock block =
      block_of("chain" + std::to_string(copy.chain), copy.block, copy.chain % 2 == 0 ? 8 : 1);
  block.shard = {copy.shard};
  block.tier = copy.tier;
  return block;
}

class Against : public testing::TestWithParam<uint32_t> {
 protected:
  Index index{7};
  Model model;
  std::map<uint32_t, Handle> handles;
  std::mt19937_64 random{GetParam()};

  uint32_t draw(uint32_t below) { return static_cast<uint32_t>(random() % below); }

  Model::Copy draw_copy() {
    return {1 + draw(kServers), draw(kChains), draw(kLength), draw(2),
            draw(4) == 0 ? Tier::flash : Tier::dram};
  }

  void change() {
    const Model::Copy copy = draw_copy();
    const Handle handle = index.attach({copy.server});
    if (draw(3) > 0) {
      add(index, handle, stored(copy));
      model.copies.insert(copy);
    } else {
      remove(index, handle, stored(copy));
      model.copies.erase(copy);
    }
  }

  void lose_server() {
    const uint32_t server = 1 + draw(kServers);
    index.retire(index.attach({server}));
    if (draw(2) == 0) index.sweep_retired();
    std::erase_if(model.copies, [&](const auto& copy) { return copy.server == server; });
  }

  // The server lost some blocks without telling; its inventory tells.
  void resync() {
    const uint32_t server = 1 + draw(kServers);
    const Handle handle = index.attach({server});
    std::erase_if(model.copies,
                  [&](const auto& copy) { return copy.server == server && draw(3) == 0; });
    for (uint32_t range = 0; range < kRanges; ++range) {
      index.begin_scan(handle, {range});
      for (const auto& copy : model.copies) {
        const StoredBlock block = stored(copy);
        const auto at = ring::position_of(block.tenant, block.space, block.anchor);
        if (copy.server == server && range_of(at) == range) index.add_scanned(handle, {&block, 1});
      }
      index.end_scan(handle, true);
    }
  }

  // Through a snapshot and back.
  void compare_restored() {
    Index other(7);
    for (uint32_t range = 0; range < kRanges; ++range) {
      auto images = index.copy_range(range);
      EXPECT_TRUE(std::is_sorted(images.begin(), images.end(), [](const auto& a, const auto& b) {
        return a.position < b.position;
      }));
      for (auto& image : images) {
        const auto parsed = parse_extent(key_bytes(image), value_bytes(image));
        ASSERT_TRUE(parsed.has_value());
        ASSERT_EQ(*parsed, image);
        other.restore({&*parsed, 1});
      }
    }
    compare(other);
  }

  // Asked by digests it says the same, and leaves out the anchors that are the asker's own hashes.
  static void compare_digests(const Index& with, const Probe& probe,
                              const std::vector<uint32_t>& shards) {
    const auto by_hashes = probe.match(with, shards);
    const auto by_digests = probe.match_digests(with, shards);
    ASSERT_EQ(by_digests.matched, by_hashes.matched);
    ASSERT_EQ(by_digests.runs.size(), by_hashes.runs.size());
    for (size_t i = 0; i < by_hashes.runs.size(); ++i) {
      const MatchRun& run = by_hashes.runs[i];
      ASSERT_EQ(by_digests.runs[i].first, run.first);
      ASSERT_EQ(by_digests.runs[i].count, run.count);
      ASSERT_EQ(by_digests.runs[i].holders, run.holders);
      ASSERT_EQ(by_digests.runs[i].anchor, run.first_index == 0 ? block::BlockHash() : run.anchor);
    }
  }

  void compare(const Index& with) {
    for (uint32_t chain = 0; chain < kChains; ++chain) {
      const Probe probe("chain" + std::to_string(chain), kLength);
      for (const auto& shards : {std::vector<uint32_t>{0}, {1}, {0, 1}}) {
        ASSERT_EQ(probe.match(with, shards).matched, model.matched(chain, shards));
        ASSERT_NO_FATAL_FAILURE(compare_digests(with, probe, shards));
      }
      const auto located = probe.locate(with);
      for (uint32_t i = 0; i < kLength; ++i) {
        const auto& list = located[i].holders;
        std::set<uint32_t> ids;
        for (const ServerId id : list)
          ids.insert(id.value);
        ASSERT_EQ(ids, model.holders(chain, i)) << "chain " << chain << " block " << i;
        if (ids.empty()) continue;
        const StoredBlock block = stored({1, chain, i, 0, Tier::dram});
        ASSERT_EQ(located[i].anchor, block.anchor);
        ASSERT_EQ(located[i].index, block.index);
      }
    }
  }
};

TEST_P(Against, the_index_says_what_a_list_of_all_copies_says) {
  for (int step = 0; step < 60; ++step) {
    for (uint32_t i = draw(120); i > 0; --i)
      change();
    if (draw(8) == 0) lose_server();
    if (draw(8) == 0) resync();
    ASSERT_NO_FATAL_FAILURE(compare(index)) << "step " << step;
  }
  ASSERT_NO_FATAL_FAILURE(compare_restored());
}

INSTANTIATE_TEST_SUITE_P(Seeds, Against, testing::Range(1u, 7u));

}  // namespace
}  // namespace tarn::index
