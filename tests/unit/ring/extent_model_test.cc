// Extents against a plain model of them, and writers who do not know of each other.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "common/ring/extent.h"

namespace tarn::ring {
namespace {

block::BlockHash hash(uint64_t number) {
  return block::BlockHash::from("block " + std::to_string(number)).value();
}

ExtentKey key(const block::BlockHash& anchor, uint8_t tenant = 0) {
  ExtentKey extent;
  extent.anchor = anchor;
  extent.tenant.bytes[0] = tenant;
  return extent;
}

// What an ExtentTable must answer: by extent and index, who stands there how often.
class Model {
 public:
  explicit Model(size_t extents_max) : x_extents_max(extents_max) {}

  Code admit(uint64_t anchor, uint32_t index, uint64_t block, uint32_t extent_blocks) {
    if ((index == 0) != (block == anchor)) return Code::invalid_argument;
    if (index >= extent_blocks) return Code::extent_full;
    if (!x_extents.contains(anchor) && x_extents.size() == x_extents_max) return Code::overloaded;
    auto& [stands, copies] = x_extents[anchor][index];
    if (copies > 0 && stands != block) return Code::extent_full;
    stands = block;
    ++copies;
    return Code::ok;
  }

  void forget(uint64_t anchor, uint32_t index, uint64_t block) {
    const auto extent = x_extents.find(anchor);
    if (extent == x_extents.end()) return;
    const auto cell = extent->second.find(index);
    if (cell == extent->second.end() || cell->second.first != block) return;
    if (--cell->second.second == 0) extent->second.erase(cell);
    if (extent->second.empty()) x_extents.erase(extent);
  }

  bool is_last(uint64_t anchor, uint32_t index) const {
    const auto extent = x_extents.find(anchor);
    return extent != x_extents.end() && extent->second.rbegin()->first == index;
  }

  size_t extent_count() const { return x_extents.size(); }

 private:
  size_t x_extents_max;
  std::map<uint64_t, std::map<uint32_t, std::pair<uint64_t, int>>> x_extents;
};

TEST(ExtentModel, ATableAnswersAsTheModelDoes) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    const uint32_t extent_blocks = 1 + static_cast<uint32_t>(random() % 6);
    ExtentTable table(5);
    Model model(5);
    for (int step = 0; step < 2000; ++step) {
      const uint64_t anchor = random() % 7;
      const auto index = static_cast<uint32_t>(random() % (extent_blocks + 1));
      const uint64_t block = index == 0 && random() % 10 > 0 ? anchor : random() % 12;
      const ExtentSeat seat{index, hash(block), extent_blocks};
      if (random() % 2 == 0) {
        ASSERT_EQ(table.admit(key(hash(anchor)), seat).code(),
                  model.admit(anchor, index, block, extent_blocks))
            << "step " << step;
      } else {
        table.forget(key(hash(anchor)), seat);
        model.forget(anchor, index, block);
      }
      ASSERT_EQ(table.extent_count(), model.extent_count()) << "step " << step;
      ASSERT_EQ(table.is_last(key(hash(anchor)), index), model.is_last(anchor, index));
    }
  }
}

TEST(ExtentModel, TheSizeOfAnExtentIsJudgedAtItsEdges) {
  struct Case {
    uint32_t extent_blocks;
    bool is_right;
  };
  for (const Case& each : {Case{0, false}, Case{1, true}, Case{kExtentBlocksMax, true},
                           Case{kExtentBlocksMax + 1, false}, Case{UINT32_MAX, false}}) {
    SCOPED_TRACE(each.extent_blocks);
    ExtentTable table(4);
    const Status first = table.admit(key(hash(1)), {0, hash(1), each.extent_blocks});
    EXPECT_EQ(first.is_ok(), each.is_right);
    const ChainBlock block{hash(1), std::nullopt};
    EXPECT_EQ(plan_extents({each.extent_blocks, std::nullopt, {&block, 1}}).has_value(),
              each.is_right);
    if (!each.is_right) continue;
    const uint32_t past = each.extent_blocks;
    const Status full = table.admit(key(hash(1)), {past, hash(2), each.extent_blocks});
    EXPECT_EQ(full.code(), Code::extent_full);
    EXPECT_NE(full.message().find("begin an extent with the block's own hash"), std::string::npos);
    EXPECT_EQ(table.admit(key(hash(1)), {UINT32_MAX, hash(2), each.extent_blocks}).code(),
              Code::extent_full);
  }
}

// A server and writers who share prefixes and each know of the others' blocks only what a Match
// told them some time ago.
class Writers {
 public:
  Writers(uint64_t seed, uint32_t extent_blocks) : x_random(seed), x_extent_blocks(extent_blocks) {}

  // A new chain, or one that goes on from the middle of another.
  void write() {
    Chain chain;
    if (!x_chains.empty() && x_random() % 4 != 0) {
      const Chain& from = x_chains[x_random() % x_chains.size()];
      chain.assign(from.begin(), from.begin() + static_cast<ptrdiff_t>(x_random() % from.size()));
    }
    for (uint64_t left = 1 + x_random() % 10; left > 0; --left)
      chain.push_back(x_next_block++);
    // Two who write the same chain, as two workers do that serve one prompt.
    for (uint64_t times = 1 + x_random() % 2; times > 0; --times)
      put(chain);
    x_chains.push_back(std::move(chain));
  }

  void check() const {
    std::map<std::pair<block::BlockHash, uint32_t>, uint64_t> stands;
    for (const auto& [number, place] : x_places) {
      ASSERT_LT(place.index, x_extent_blocks);
      ASSERT_EQ(place.index == 0, place.anchor == hash(number));
      ASSERT_TRUE(stands.emplace(std::pair(place.anchor, place.index), number).second)
          << "two blocks at one place";
    }
    // Unbranched: within an extent each block follows its parent.
    for (const Chain& chain : x_chains) {
      for (size_t i = 0; i < chain.size(); ++i) {
        const BlockPlace& place = x_places.at(chain[i]);
        if (place.index == 0) continue;
        ASSERT_GT(i, 0u);
        ASSERT_EQ(x_places.at(chain[i - 1]), (BlockPlace{place.anchor, place.index - 1}));
      }
    }
  }

  size_t blocks() const { return x_places.size(); }
  size_t extents() const { return x_table.extent_count(); }
  // As few as one writer would have needed who knew everything.
  int refusals() const { return x_refusals; }

 private:
  using Chain = std::vector<uint64_t>;

  std::optional<KnownPlace> known(uint64_t number) {
    const auto place = x_places.find(number);
    if (place == x_places.end()) return std::nullopt;
    // Now and then what is said of the end is old.
    const bool is_last =
        x_random() % 5 == 0 || x_table.is_last(key(place->second.anchor), place->second.index);
    return KnownPlace{place->second, is_last};
  }

  void put(const Chain& chain) {
    std::vector<ChainBlock> blocks;
    for (const uint64_t number : chain)
      blocks.push_back({hash(number), known(number)});
    for (size_t from = 0; from < chain.size();)
      from = put_some(chain, blocks, from);
  }

  // Puts in order until one is refused, which then begins an extent; returns how far it came.
  size_t put_some(const Chain& chain, std::vector<ChainBlock>& blocks, size_t from) {
    std::optional<KnownPlace> parent;
    if (from > 0) parent = blocks[from - 1].known;
    const auto places =
        plan_extents({x_extent_blocks, parent, std::span(blocks).subspan(from)}).value();
    for (size_t i = from; i < chain.size(); ++i) {
      BlockPlace place = places[i - from];
      const bool is_new = !x_places.contains(chain[i]);
      Status admitted = admit(place, chain[i]);
      if (!admitted.is_ok()) {
        EXPECT_EQ(admitted.code(), Code::extent_full) << admitted.to_string();
        ++x_refusals;
        place = {hash(chain[i]), 0};
        admitted = admit(place, chain[i]);
      }
      EXPECT_TRUE(admitted.is_ok()) << admitted.to_string();
      if (is_new) x_places[chain[i]] = place;
      const bool went_elsewhere = place != places[i - from];
      blocks[i].known = KnownPlace{place, true};
      if (went_elsewhere) return i + 1;
    }
    return chain.size();
  }

  Status admit(const BlockPlace& place, uint64_t number) {
    return x_table.admit(key(place.anchor), {place.index, hash(number), x_extent_blocks});
  }

  std::mt19937_64 x_random;
  const uint32_t x_extent_blocks;
  ExtentTable x_table{100'000};
  std::map<uint64_t, BlockPlace> x_places;
  std::vector<Chain> x_chains;
  uint64_t x_next_block = 1;
  int x_refusals = 0;
};

TEST(ExtentModel, WritersWhoRaceNeverBranchAnExtentOrGrowItPastG) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const uint32_t extent_blocks = seed % 2 == 0 ? 4 : kExtentBlocksDefault;
    Writers writers(seed, extent_blocks);
    for (int round = 0; round < 150; ++round)
      writers.write();
    ASSERT_NO_FATAL_FAILURE(writers.check());
    EXPECT_GT(writers.refusals(), 0) << "nobody raced";
    EXPECT_GE(writers.extents() * extent_blocks, writers.blocks());
  }
}

TEST(ExtentModel, OneWhoKnowsEverythingIsNeverRefused) {
  std::mt19937_64 random(5);
  ExtentTable table(10'000);
  std::vector<ChainBlock> chain;
  for (uint64_t block = 0; block < 3000; ++block) {
    // The chain so far is there, in batches of any size.
    for (ChainBlock& each : chain) {
      if (each.known)
        each.known->is_last = table.is_last(key(each.known->place.anchor), each.known->place.index);
    }
    if (chain.size() > 200) chain.erase(chain.begin(), chain.begin() + 150);
    const size_t old = chain.size();
    for (uint64_t more = random() % 40; more > 0; --more)
      chain.push_back({hash(block++), std::nullopt});
    const auto places = plan_extents({kExtentBlocksDefault, std::nullopt, chain}).value();
    for (size_t i = old; i < chain.size(); ++i) {
      const ExtentSeat seat{places[i].index, chain[i].hash, kExtentBlocksDefault};
      ASSERT_TRUE(table.admit(key(places[i].anchor), seat).is_ok());
      chain[i].known = KnownPlace{places[i], false};
    }
  }
  EXPECT_LE(table.extent_count(), 3200 / kExtentBlocksDefault);
}

}  // namespace
}  // namespace tarn::ring
