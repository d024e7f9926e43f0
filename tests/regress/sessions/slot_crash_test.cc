#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "common/base/fault_point.h"
#include "common/base/mutex.h"
#include "tests/unit/server/session/cluster_of_slots.h"

namespace tarn::session {
namespace {

struct Acknowledged {
  uint64_t version = 0;
  std::string hash;
};

// Four workers that append to one session as fast as they are answered. Each repeats a request
// until it is decided, as the SDK does.
class Writers {
 public:
  Writers(ClusterOfSlots& cluster, uint32_t seed) : x_cluster(cluster), x_seed(seed) {}

  // Each writer makes `appends` requests.
  std::vector<Acknowledged> race(int appends) {
    std::vector<std::thread> threads;
    for (int writer = 0; writer < 4; ++writer)
      threads.emplace_back([this, writer, appends] { write(writer, appends); });
    for (auto& thread : threads)
      thread.join();
    const MutexLock lock(x_mutex);
    return x_acknowledged;
  }
  std::atomic<int> undecided = 0;

 private:
  void write(int writer, int appends) {
    for (int i = 0; i < appends; ++i) {
      const int number = static_cast<int>(x_seed) * 10'000 + writer * 1000 + i;
      const uint64_t version = settle(resolve("s")).version();
      const auto result = settle(append("s", version, number));
      if (result.outcome() == v1::OUTCOME_CONFLICT) continue;
      EXPECT_EQ(result.outcome(), v1::OUTCOME_OK) << result.message();
      const MutexLock lock(x_mutex);
      x_acknowledged.push_back({result.version(), "h" + std::to_string(number)});
    }
  }

  v1::SessionResult settle(const v1::SessionCommand& command) {
    while (true) {
      auto result = x_cluster.run(command);
      const bool is_open = result.outcome() == v1::OUTCOME_UNAVAILABLE ||
                           result.outcome() == v1::OUTCOME_STALE_EPOCH;
      if (!is_open) return result;
      ++undecided;
    }
  }

  ClusterOfSlots& x_cluster;
  const uint32_t x_seed;
  Mutex x_mutex;
  std::vector<Acknowledged> x_acknowledged TARN_GUARDED_BY(x_mutex);
};

std::vector<std::string> hashes_of(const v1::Manifest& manifest) {
  std::vector<std::string> hashes;
  for (const auto& run : manifest.runs())
    hashes.insert(hashes.end(), run.hashes().begin(), run.hashes().end());
  return hashes;
}

// The block that each acknowledgement names stands at the place of its version, and nothing else is
// there: an append is applied once, or not at all where it lost.
void expect_one_history(ClusterOfSlots& cluster, const std::vector<Acknowledged>& acknowledged) {
  const auto manifest = cluster.run(resolve("s")).manifest();
  const auto hashes = hashes_of(manifest);
  EXPECT_EQ(hashes.size(), acknowledged.size());
  EXPECT_EQ(manifest.version(), acknowledged.size() + 1);
  for (const auto& one : acknowledged) {
    ASSERT_GE(one.version, 2u);
    ASSERT_LT(one.version - 2, hashes.size());
    EXPECT_EQ(hashes[one.version - 2], one.hash) << "of version " << one.version;
  }
}

// Acknowledgements are lost, appends stop between the disks of two members, messages are lost
// before and after they arrive, all while four writers race.
TEST(Crashes, racing_writers_have_one_history_whatever_is_lost) {
  for (uint32_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 engine(seed);
    const auto random = [&engine] { return static_cast<uint32_t>(engine()); };
    ClusterOfSlots cluster(3);
    ASSERT_EQ(cluster.run(create("s", 1)).outcome(), v1::OUTCOME_OK);
    std::atomic<uint32_t> dice = random();
    const uint32_t loss = 4 + random() % 12;
    cluster.lost_answers = random() % 2 == 0;
    cluster.allow = [&dice, loss](uint32_t, uint32_t) {
      return (dice.fetch_add(2'654'435'769u) >> 16) % loss != 0;
    };
    fault::arm("session.before_answer", {.skip = random() % 8, .times = 1 + random() % 4});
    fault::arm("session.after_local_fsync", {.skip = random() % 8, .times = 1 + random() % 4});
    Writers writers(cluster, seed);
    auto acknowledged = writers.race(12);
    fault::disarm_all();
    cluster.allow = [](uint32_t, uint32_t) { return true; };
    EXPECT_GT(writers.undecided, 0);
    EXPECT_GT(acknowledged.size(), 5u);
    expect_one_history(cluster, acknowledged);
    // Its primary dies for good: the history is the same elsewhere.
    const uint32_t dead = cluster.entry_of("s").primary.value;
    ring::ClusterConfig next = cluster.config();
    ring::find_member(next, {dead})->state = ring::MemberState::down;
    next.slots = ring::remove_member(next, {dead});
    cluster.kill(dead);
    cluster.set_config(next);
    expect_one_history(cluster, acknowledged);
  }
}

// Both servers beat, so the config leaves them where they are; only their way to each other is cut.
TEST(Cut, between_two_servers_makes_their_slots_wait_and_heals) {
  ClusterOfSlots cluster(2);
  ASSERT_EQ(cluster.run(create("s", 1)).outcome(), v1::OUTCOME_OK);
  for (const bool loses_answers : {false, true}) {
    SCOPED_TRACE(loses_answers ? "the way back" : "the way there");
    cluster.lost_answers = loses_answers;
    const uint64_t version = cluster.run(resolve("s")).version();
    const int request = loses_answers ? 3 : 2;
    cluster.allow = [](uint32_t, uint32_t) { return false; };
    EXPECT_EQ(cluster.run(append("s", version, request)).outcome(), v1::OUTCOME_UNAVAILABLE);
    EXPECT_EQ(cluster.run(resolve("s")).outcome(), v1::OUTCOME_UNAVAILABLE);
    EXPECT_EQ(cluster.run(resolve("nobody")).outcome(), v1::OUTCOME_UNAVAILABLE);
    cluster.allow = [](uint32_t, uint32_t) { return true; };
    // The retry gets the truth, whether or not the append had arrived.
    EXPECT_EQ(cluster.run(append("s", version, request)).version(), version + 1);
    EXPECT_EQ(block_count(cluster.run(resolve("s")).manifest()), version);
    EXPECT_EQ(cluster.run(resolve("nobody")).outcome(), v1::OUTCOME_NOT_FOUND);
  }
}

}  // namespace
}  // namespace tarn::session
