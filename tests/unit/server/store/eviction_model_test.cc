// The eviction queue against S3-FIFO written down in the plainest way, from the paper.
#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "server/store/eviction_queue.h"

namespace tarn::store {
namespace {

// Front is newest. Ids are numbers; each weighs as many bytes as it was given.
class PlainS3Fifo {
 public:
  void add(uint64_t id, uint64_t bytes) {
    const bool came_back = std::find(x_ghosts.begin(), x_ghosts.end(), id) != x_ghosts.end();
    (came_back ? x_main : x_small).push_front(id);
    x_bytes[id] = bytes;
    x_hits[id] = 0;
  }

  void hit(uint64_t id) { x_hits[id] = std::min(x_hits[id] + 1, 3); }

  uint64_t victim() {
    while (!x_small.empty() || !x_main.empty()) {
      const uint64_t small = sum(x_small);
      const bool from_small =
          !x_small.empty() && (x_main.empty() || small * 10 >= small + sum(x_main));
      std::deque<uint64_t>& queue = from_small ? x_small : x_main;
      const uint64_t oldest = queue.back();
      if (x_hits[oldest] == 0) return oldest;
      queue.pop_back();
      x_hits[oldest] = from_small ? 0 : x_hits[oldest] - 1;
      x_main.push_front(oldest);
    }
    return 0;
  }

  void remove(uint64_t id, bool evicted) {
    const auto in_small = std::find(x_small.begin(), x_small.end(), id);
    const bool was_small = in_small != x_small.end();
    if (evicted && was_small) remember(id);
    if (was_small) {
      x_small.erase(in_small);
    } else {
      x_main.erase(std::find(x_main.begin(), x_main.end(), id));
    }
  }

  size_t size() const { return x_small.size() + x_main.size(); }

 private:
  uint64_t sum(const std::deque<uint64_t>& queue) {
    uint64_t bytes = 0;
    for (const uint64_t id : queue)
      bytes += x_bytes[id];
    return bytes;
  }

  void remember(uint64_t id) {
    if (std::find(x_ghosts.begin(), x_ghosts.end(), id) == x_ghosts.end()) x_ghosts.push_back(id);
    while (x_ghosts.size() > std::max<size_t>(EvictionQueue::kGhostsMin, size()))
      x_ghosts.pop_front();
  }

  std::deque<uint64_t> x_small, x_main, x_ghosts;
  std::map<uint64_t, uint64_t> x_bytes;
  std::map<uint64_t, int> x_hits;
};

class EvictionModel : public testing::TestWithParam<uint32_t> {
 protected:
  Extent& make(uint64_t id, uint64_t bytes) {
    auto extent = std::make_unique<Extent>();
    extent->key.anchor =
        *block::BlockHash::from(std::string_view(reinterpret_cast<const char*>(&id), sizeof(id)));
    x_queue.add(*extent);
    x_queue.grow(*extent, bytes);
    return *(x_extents[id] = std::move(extent));
  }

  void take(uint64_t id, bool evicted) {
    Extent& extent = *x_extents.at(id);
    x_queue.shrink(extent, extent.bytes);
    x_queue.remove(extent, evicted);
    x_extents.erase(id);
  }

  uint64_t id_of(const Extent* extent) const {
    for (const auto& [id, each] : x_extents) {
      if (each.get() == extent) return id;
    }
    return 0;
  }

  EvictionQueue x_queue;
  std::map<uint64_t, std::unique_ptr<Extent>> x_extents;
};

TEST_P(EvictionModel, ChoosesWhatThePaperWould) {
  std::mt19937_64 random(GetParam());
  PlainS3Fifo model;
  for (int step = 0; step < 5000; ++step) {
    const uint64_t id = 1 + random() % 400;
    const bool is_here = x_extents.contains(id);
    const uint64_t dice = random() % 10;
    if (!is_here && dice < 6) {
      const uint64_t bytes = 1 + random() % 5;
      make(id, bytes);
      model.add(id, bytes);
    } else if (is_here && dice < 6) {
      EvictionQueue::hit(*x_extents.at(id));
      model.hit(id);
    } else if (is_here && dice == 6) {
      take(id, false);
      model.remove(id, false);
    } else if (dice > 7 && !x_extents.empty()) {
      const uint64_t victim = id_of(x_queue.victim());
      ASSERT_EQ(victim, model.victim()) << "seed " << GetParam() << ", step " << step;
      take(victim, true);
      model.remove(victim, true);
    }
    ASSERT_EQ(x_queue.size(), model.size());
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, EvictionModel, testing::Range(1u, 5u));

// One pass over much that is never asked for again must not wash out what is asked for.
TEST(EvictionQuality, AScanDoesNotWashOutWhatIsInUse) {
  EvictionQueue queue;
  std::map<uint64_t, std::unique_ptr<Extent>> extents;
  constexpr size_t kRoom = 200;
  uint64_t wanted_hits = 0;
  uint64_t scan = 1000;
  const auto ask_for = [&](uint64_t id) {
    const auto found = extents.find(id);
    if (found != extents.end()) {
      EvictionQueue::hit(*found->second);
      return true;
    }
    auto extent = std::make_unique<Extent>();
    extent->key.anchor =
        *block::BlockHash::from(std::string_view(reinterpret_cast<const char*>(&id), sizeof(id)));
    queue.add(*extent);
    queue.grow(*extent, 1);
    extents[id] = std::move(extent);
    while (extents.size() > kRoom) {
      Extent* victim = queue.victim();
      const auto it = std::find_if(extents.begin(), extents.end(),
                                   [&](const auto& each) { return each.second.get() == victim; });
      queue.shrink(*victim, victim->bytes);
      queue.remove(*victim, true);
      extents.erase(it);
    }
    return false;
  };
  constexpr uint64_t kWanted = 100;
  constexpr int kRounds = 30;
  for (int round = 0; round < kRounds; ++round) {
    for (uint64_t id = 1; id <= kWanted; ++id) {
      wanted_hits += ask_for(id);
      ask_for(++scan);
      ask_for(++scan);
    }
  }
  // A plain FIFO, or LRU, of this size would miss every time: 300 others come between two uses.
  EXPECT_GT(wanted_hits, kWanted * kRounds / 2);
}

}  // namespace
}  // namespace tarn::store
