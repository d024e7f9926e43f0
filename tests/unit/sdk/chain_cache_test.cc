// Where a client believes that blocks lie, against the writer's rule written down once more; and
// the hashers that name blocks.
#include "sdk/cpp/src/chain_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <barrier>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "tarn/tarn.h"

namespace tarn::sdk {
namespace {

using ::testing::SizeIs;

block::BlockHash hash(const std::string& name) {
  return block::BlockHash::from(name).value();
}

block::SpaceSpec spec(uint32_t extent_blocks, bool is_flat = false) {
  block::SpaceSpec spec;
  spec.extent_blocks = extent_blocks;
  if (is_flat) spec.kind = block::SpaceKind::flat;
  return spec;
}

// A block joins its parent's extent when the parent is that extent's last block and there is room;
// else it begins one.
class PlacementModel {
 public:
  explicit PlacementModel(uint32_t extent_blocks) : x_extent_blocks(extent_blocks) {}

  ring::BlockPlace place(const ChainLink& link) {
    if (const auto known = x_places.find(link.hash); known != x_places.end()) {
      return known->second.place;
    }
    ring::BlockPlace place{link.hash, 0};
    const auto parent = x_places.find(link.parent);
    const bool joins = !link.parent.is_empty() && parent != x_places.end() &&
                       parent->second.is_last && parent->second.place.index + 1 < x_extent_blocks;
    if (joins) {
      place = {parent->second.place.anchor, parent->second.place.index + 1};
      parent->second.is_last = false;
    }
    x_places[link.hash] = {place, true};
    return place;
  }
  void forget(const block::BlockHash& hash) { x_places.erase(hash); }
  void learn(const block::BlockHash& hash, const ring::KnownPlace& place) {
    const auto known = x_places.find(hash);
    if (known != x_places.end() && known->second.place == place.place) return;
    x_places[hash] = place;
  }
  bool knows(const block::BlockHash& hash) const { return x_places.contains(hash); }
  const std::map<block::BlockHash, ring::KnownPlace>& places() const { return x_places; }

 private:
  const uint32_t x_extent_blocks;
  std::map<block::BlockHash, ring::KnownPlace> x_places;
};

class ChainCacheModel : public ::testing::TestWithParam<uint32_t> {
 protected:
  size_t draw(size_t below) { return std::uniform_int_distribution<size_t>(0, below - 1)(random); }
  // A forest: block i has a parent among those before it, or none.
  void plant(size_t count) {
    for (size_t i = 0; i < count; ++i) {
      const block::BlockHash parent = i == 0 || draw(8) == 0 ? block::BlockHash()
                                      : draw(4) == 0         ? forest[draw(i)].hash
                                                             : forest[i - 1].hash;
      forest.push_back({hash("h" + std::to_string(i)), parent});
    }
  }
  std::vector<ChainLink> some() {
    const size_t first = draw(forest.size());
    const size_t count = 1 + draw(std::min<size_t>(forest.size() - first, 20));
    return {forest.begin() + static_cast<std::ptrdiff_t>(first),
            forest.begin() + static_cast<std::ptrdiff_t>(first + count)};
  }

  const uint32_t seed = std::random_device{}();
  std::mt19937 random{seed};
  std::vector<ChainLink> forest;
};

TEST_P(ChainCacheModel, PlacesAsTheWritersRuleSays) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  ChainCache cache(spec(GetParam()));
  PlacementModel model(GetParam());
  plant(300);
  for (int step = 0; step < 800; ++step) {
    if (draw(10) == 0) {
      const ChainLink& gone = forest[draw(forest.size())];
      cache.forget(gone.hash);
      model.forget(gone.hash);
    } else if (draw(10) == 0) {
      const ChainLink& told = forest[draw(forest.size())];
      const ring::KnownPlace place{{told.hash, 0}, draw(2) == 0};
      cache.learn(told.hash, place);
      model.learn(told.hash, place);
    }
    const auto batch = some();
    const auto places = cache.plan(batch);
    ASSERT_THAT(places, SizeIs(batch.size()));
    for (size_t i = 0; i < batch.size(); ++i)
      ASSERT_EQ(places[i], model.place(batch[i])) << "step " << step << ", link " << i;
  }
  for (const auto& [name, known] : model.places()) {
    ASSERT_TRUE(cache.find(name));
    EXPECT_EQ(cache.find(name)->place, known.place);
    EXPECT_EQ(cache.find(name)->is_last, known.is_last);
  }
}

TEST_P(ChainCacheModel, NoExtentIsLargerThanItMayBeAndNoSeatIsTakenTwice) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  ChainCache cache(spec(GetParam()));
  plant(500);
  std::set<std::pair<block::BlockHash, uint32_t>> seats;
  for (const ChainLink& link : forest) {
    const auto place = cache.plan({&link, 1}).front();
    EXPECT_LT(place.index, GetParam());
    EXPECT_TRUE(seats.emplace(place.anchor, place.index).second);
    EXPECT_EQ(place.index == 0, place.anchor == link.hash) << "who begins an extent names it";
  }
}

// What unknown_for() names is enough: after it is learnt, nothing more has to be asked.
TEST_P(ChainCacheModel, WhatIsLocatedOnceIsNotAskedForAgain) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  ChainCache cache(spec(GetParam()));
  plant(200);
  for (int step = 0; step < 200; ++step) {
    const auto batch = some();
    for (const block::BlockHash& each : cache.unknown_for(batch)) {
      EXPECT_FALSE(cache.find(each)) << "only what is not known";
      cache.learn(each, {{each, 0}, true});
    }
    EXPECT_TRUE(cache.unknown_for(batch).empty());
    cache.plan(batch);
    EXPECT_TRUE(cache.unknown_for(batch).empty());
  }
}

INSTANTIATE_TEST_SUITE_P(ExtentBlocks, ChainCacheModel, ::testing::Values(1, 2, 7, 32, 64));

TEST(ChainCacheThreads, WritersOfOneChainAgree) {
  ChainCache cache(spec(8));
  std::vector<ChainLink> chain;
  for (size_t i = 0; i < 400; ++i)
    chain.push_back(
        {hash("t" + std::to_string(i)), i == 0 ? block::BlockHash() : chain[i - 1].hash});
  std::vector<std::vector<ring::BlockPlace>> answers(4);
  std::barrier start(4);
  std::vector<std::thread> threads;
  for (auto& answer : answers) {
    threads.emplace_back([&] {
      start.arrive_and_wait();
      answer = cache.plan(chain);
    });
  }
  for (std::thread& each : threads)
    each.join();
  for (const auto& answer : answers)
    EXPECT_EQ(answer, answers[0]) << "the first who planned a block has decided";
}

TEST(ChainCacheFlat, KnowsEveryBlockAndKeepsNothing) {
  ChainCache cache(spec(4, true));
  const std::vector<ChainLink> batch{{hash("a"), {}}, {hash("b"), hash("a")}};
  EXPECT_TRUE(cache.unknown_for(batch).empty());
  EXPECT_EQ(cache.plan(batch)[1], (ring::BlockPlace{hash("b"), 0}));
  cache.learn(hash("a"), {{hash("z"), 3}, true});
  cache.correct(hash("a"), {hash("z"), 3}, true);
  EXPECT_EQ(cache.find(hash("a"))->place, (ring::BlockPlace{hash("a"), 0}));
  EXPECT_EQ(cache.size(), 0u);
}

TEST(ChainCacheRuns, ALongRunThatIsKnownIsRecognisedByItsEnds) {
  ChainCache cache(spec(32));
  std::vector<block::BlockHash> hashes;
  for (int i = 0; i < 32; ++i)
    hashes.push_back(hash("r" + std::to_string(i)));
  cache.learn({hashes[0], 0, hashes, true});
  cache.forget(hashes[5]);
  cache.learn({hashes[0], 0, hashes, true});
  EXPECT_FALSE(cache.find(hashes[5])) << "the price: asked for once more when it is needed";
  cache.forget(hashes[31]);
  cache.learn({hashes[0], 0, hashes, true});
  EXPECT_TRUE(cache.find(hashes[5]));
  EXPECT_EQ(cache.find(hashes[31])->place.index, 31u);
  cache.learn({hashes[0], 0, {}, true});
}

struct Scheme {
  const char* name;
  const char* seed;
};

class HasherProperties : public ::testing::TestWithParam<Scheme> {
 protected:
  static std::vector<uint32_t> tokens(size_t count, uint32_t seed = 1) {
    std::mt19937 random(seed);
    std::vector<uint32_t> all(count);
    for (uint32_t& each : all)
      each = static_cast<uint32_t>(random());
    return all;
  }
  Hasher hasher(uint32_t block_tokens = 16) const {
    return Hasher::open(GetParam().name, GetParam().seed, block_tokens).value();
  }
};

TEST_P(HasherProperties, OnlyFullBlocksHaveAHash) {
  for (const size_t count : {0, 1, 15, 16, 17, 31, 32, 33, 1000})
    EXPECT_THAT(hasher().hash(tokens(count)), SizeIs(count / 16)) << count;
}

TEST_P(HasherProperties, AHashNamesAllTokensUpToItsEnd) {
  const auto all = tokens(160);
  const auto names = hasher().hash(all);
  for (size_t blocks = 0; blocks <= 10; ++blocks) {
    const auto prefix = hasher().hash(std::span(all).first(blocks * 16));
    EXPECT_TRUE(std::equal(prefix.begin(), prefix.end(), names.begin())) << blocks;
  }
  for (const size_t changed : {0, 15, 16, 100, 159}) {
    auto other = all;
    other[changed] ^= 1;
    const auto renamed = hasher().hash(other);
    for (size_t block = 0; block < 10; ++block)
      EXPECT_EQ(renamed[block] == names[block], block < changed / 16) << changed << " " << block;
  }
}

TEST_P(HasherProperties, EveryBlockHasAnotherName) {
  const std::vector<uint32_t> same(16 * 200, 7);
  const auto names = hasher().hash(same);
  EXPECT_EQ(std::set(names.begin(), names.end()).size(), 200u) << "its place in the chain counts";
  for (const BlockHash& name : names)
    EXPECT_EQ(name.size(), 32u);
}

TEST_P(HasherProperties, ThreadsShareOne) {
  const Hasher shared = hasher();
  const auto all = tokens(3200);
  const auto wanted = shared.hash(all);
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] { good += shared.hash(all) == wanted ? 1 : 0; });
  for (std::thread& each : threads)
    each.join();
  EXPECT_EQ(good, 4);
}

INSTANTIATE_TEST_SUITE_P(Schemes, HasherProperties,
                         ::testing::Values(Scheme{"sha256_cbor", "0"}, Scheme{"sha256_u32le", ""}));

TEST(HasherExtras, AnAdapterOrASaltKeepsPromptsApart) {
  const Hasher hasher = Hasher::open("sha256_cbor", "0", 4).value();
  const std::vector<uint32_t> tokens(12, 5);
  std::set<BlockHash> names;
  const std::vector<std::vector<std::string>> extras{
      {}, {"lora"}, {"lora2"}, {"", "salt"}, {"lora", "salt"}, {"salt", "lora"}};
  for (const auto& extra : extras) {
    const auto hashes = hasher.hash(tokens, extra);
    EXPECT_THAT(hashes, SizeIs(3));
    names.insert(hashes.begin(), hashes.end());
  }
  EXPECT_EQ(names.size(), extras.size() * 3);
  EXPECT_THAT(hasher.hash(tokens, std::vector<std::string>{"a", "b", "c"}), SizeIs(0));
}

TEST(HasherExtras, WhatIsNotValidIsRefused) {
  EXPECT_EQ(Hasher::open("", "", 16).error().outcome, Outcome::invalid_argument);
  EXPECT_EQ(Hasher::open("sha256_cbor", "0", 0).error().outcome, Outcome::invalid_argument);
  EXPECT_EQ(Hasher::open("sha256_u32le", "7", 16).error().outcome, Outcome::invalid_argument)
      << "the scheme takes no seed";
  EXPECT_NE(Hasher::open("sha256_cbor", "1", 16)->hash(std::vector<uint32_t>(16, 1)),
            Hasher::open("sha256_cbor", "0", 16)->hash(std::vector<uint32_t>(16, 1)));
}

}  // namespace
}  // namespace tarn::sdk
