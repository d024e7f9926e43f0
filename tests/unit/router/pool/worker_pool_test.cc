#include "router/pool/worker_pool.h"

#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace tarn::pool {
namespace {

const SpaceId kSpace{{1}};

class WorkerPoolTest : public ::testing::Test {
 protected:
  WorkerPoolTest()
      : pool(clock, Millis(600),
             {[this](const std::string& tenant, const std::string& name) {
                told.push_back(tenant + "/" + name + " up");
              },
              [this](const std::string& tenant, const std::string& name) {
                told.push_back(tenant + "/" + name + " lost");
              }}) {}

  static WorkerBeat beat_of(const std::string& name) {
    WorkerBeat beat;
    beat.name = name;
    beat.endpoint = "unix:/tmp/" + name;
    beat.space = kSpace;
    beat.capacity = 4;
    beat.prefill_tokens_per_s = 1000;
    return beat;
  }
  uint64_t add(const WorkerBeat& beat, const std::string& tenant = "demo") {
    const uint64_t stream = pool.enter();
    EXPECT_TRUE(pool.beat(stream, tenant, beat).has_value());
    return stream;
  }
  Result<RouteAnswer> route(std::vector<std::string> exclude = {}) {
    RouteQuestion question;
    question.tenant = "demo";
    question.space = kSpace;
    question.new_tokens = 500;
    question.exclude = std::move(exclude);
    return pool.route(question);
  }
  std::string chosen(std::vector<std::string> exclude = {}) {
    const auto answer = route(std::move(exclude));
    return answer ? answer->worker : std::string(code_name(answer.error().code()));
  }

  ManualClock clock;
  std::vector<std::string> told;
  WorkerPool pool;
};

TEST_F(WorkerPoolTest, chooses_the_shortest_queue) {
  WorkerBeat busy = beat_of("a");
  busy.running = 4;
  busy.queued = 3;
  add(busy);
  add(beat_of("b"));
  EXPECT_EQ(chosen(), "b");
}

TEST_F(WorkerPoolTest, chooses_the_faster_of_two_that_are_idle) {
  WorkerBeat fast = beat_of("b");
  fast.prefill_tokens_per_s = 8000;
  add(beat_of("a"));
  add(fast);
  EXPECT_EQ(chosen(), "b");
}

TEST_F(WorkerPoolTest, counts_what_it_sent_since_the_last_beat) {
  const uint64_t a = add(beat_of("a"));
  add(beat_of("b"));
  std::multiset<std::string> all;
  for (int i = 0; i < 8; ++i)
    all.insert(chosen());
  EXPECT_EQ(all.count("a"), 4u);
  EXPECT_EQ(all.count("b"), 4u);
  // The next beat says itself what runs: nothing there.
  ASSERT_TRUE(pool.beat(a, "demo", beat_of("a")).has_value());
  EXPECT_EQ(chosen(), "a");
}

TEST_F(WorkerPoolTest, does_not_stick_to_a_worker_that_served_before) {
  const uint64_t a = add(beat_of("a"));
  const uint64_t b = add(beat_of("b"));
  const std::string first = chosen();
  ASSERT_TRUE(pool.beat(a, "demo", beat_of("a")).has_value());
  ASSERT_TRUE(pool.beat(b, "demo", beat_of("b")).has_value());
  EXPECT_NE(chosen(), first);
}

TEST_F(WorkerPoolTest, gives_what_a_fetch_takes_to_whoever_is_chosen) {
  add(beat_of("a"));
  RouteQuestion question;
  question.tenant = "demo";
  question.space = kSpace;
  question.fetch = {4096, 1500};
  const auto answer = pool.route(question);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->cached_tokens, 4096u);
  EXPECT_EQ(answer->fetch_us, 1500u);
  EXPECT_EQ(answer->endpoint, "unix:/tmp/a");
}

TEST_F(WorkerPoolTest, leaves_out_who_drains_is_excluded_or_foreign) {
  WorkerBeat draining = beat_of("a");
  draining.draining = true;
  add(draining);
  add(beat_of("b"));
  WorkerBeat elsewhere = beat_of("c");
  elsewhere.space = SpaceId{{2}};
  add(elsewhere);
  add(beat_of("d"), "other");
  EXPECT_EQ(chosen(), "b");
  EXPECT_EQ(chosen({"b"}), "unavailable");
  ASSERT_TRUE(pool.drain("demo", "b").is_ok());
  EXPECT_EQ(chosen(), "unavailable");
}

TEST_F(WorkerPoolTest, leaves_out_who_has_been_silent) {
  add(beat_of("a"));
  clock.advance(Millis(599));
  EXPECT_EQ(chosen(), "a");
  clock.advance(Millis(1));
  EXPECT_EQ(chosen(), "unavailable");
  EXPECT_FALSE(pool.list("demo")[0].is_alive);
}

TEST_F(WorkerPoolTest, tells_once_of_who_comes_and_goes) {
  const uint64_t a = add(beat_of("a"));
  const uint64_t b = add(beat_of("b"));
  pool.sweep();
  pool.leave(b);
  clock.advance(Millis(600));
  pool.sweep();
  pool.sweep();
  ASSERT_TRUE(pool.beat(a, "demo", beat_of("a")).has_value());
  EXPECT_EQ(told, (std::vector<std::string>{"demo/a up", "demo/b up", "demo/b lost", "demo/a lost",
                                            "demo/a up"}));
}

TEST_F(WorkerPoolTest, gives_a_worker_to_its_newest_stream) {
  const uint64_t old_stream = add(beat_of("a"));
  const uint64_t new_stream = add(beat_of("a"));
  EXPECT_EQ(pool.beat(old_stream, "demo", beat_of("a")).status().code(), Code::exists);
  pool.leave(old_stream);
  EXPECT_EQ(chosen(), "a");
  pool.leave(new_stream);
  EXPECT_EQ(chosen(), "unavailable");
}

TEST_F(WorkerPoolTest, tells_a_drained_worker_with_its_next_beat) {
  const uint64_t a = add(beat_of("a"));
  EXPECT_EQ(pool.drain("other", "a").code(), Code::not_found);
  EXPECT_FALSE(pool.beat(a, "demo", beat_of("a")).value());
  ASSERT_TRUE(pool.drain("", "a").is_ok());
  EXPECT_TRUE(pool.beat(a, "demo", beat_of("a")).value());
}

TEST_F(WorkerPoolTest, lists_the_workers_of_one_tenant_or_of_all) {
  add(beat_of("a"));
  add(beat_of("a"), "other");
  EXPECT_EQ(pool.list("demo").size(), 1u);
  EXPECT_EQ(pool.list("").size(), 2u);
  EXPECT_TRUE(pool.list("nobody").empty());
}

TEST_F(WorkerPoolTest, refuses_beats_that_are_wrong_and_too_many_workers) {
  const uint64_t stream = pool.enter();
  WorkerBeat bad = beat_of("a");
  bad.name = "No Name";
  EXPECT_EQ(pool.beat(stream, "demo", bad).status().code(), Code::invalid_argument);
  bad = beat_of("a");
  bad.capacity = 0;
  EXPECT_EQ(pool.beat(stream, "demo", bad).status().code(), Code::invalid_argument);
  bad = beat_of("a");
  bad.endpoint.clear();
  EXPECT_EQ(pool.beat(stream, "demo", bad).status().code(), Code::invalid_argument);
  bad = beat_of("a");
  bad.prefill_tokens_per_s = -1;
  EXPECT_EQ(pool.beat(stream, "demo", bad).status().code(), Code::invalid_argument);
  for (size_t i = 0; i < kWorkersMax; ++i)
    add(beat_of("w" + std::to_string(i)));
  EXPECT_EQ(pool.beat(stream, "demo", beat_of("a")).status().code(), Code::overloaded);
}

}  // namespace
}  // namespace tarn::pool
