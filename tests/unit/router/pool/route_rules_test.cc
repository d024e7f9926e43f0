// Who is chosen over many requests, and what late, doubled and foreign heartbeats may do.
#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "common/base/units.h"
#include "router/pool/worker_pool.h"

namespace tarn::pool {
namespace {

const SpaceId kSpace{{1}};
constexpr Millis kDeadAfter{600};

WorkerBeat beat_of(const std::string& name) {
  WorkerBeat beat;
  beat.name = name;
  beat.endpoint = "10.0.0.1:8000/" + name;
  beat.space = kSpace;
  beat.capacity = 4;
  beat.prefill_tokens_per_s = 1000;
  return beat;
}

class Routes : public ::testing::Test {
 protected:
  static void nobody(const std::string&, const std::string&) {}

  uint64_t add(const WorkerBeat& beat, const std::string& tenant = "demo") {
    const uint64_t stream = pool.enter();
    const auto heard = pool.beat(stream, tenant, beat);
    EXPECT_TRUE(heard.has_value()) << heard.status().to_string();
    return stream;
  }
  Result<RouteAnswer> ask(uint32_t new_tokens = 500, FetchCost fetch = {}) {
    RouteQuestion question;
    question.tenant = "demo";
    question.space = kSpace;
    question.new_tokens = new_tokens;
    question.fetch = fetch;
    return pool.route(question);
  }
  std::map<std::string, int> spread(int requests, uint32_t new_tokens = 500) {
    std::map<std::string, int> chosen;
    for (int i = 0; i < requests; ++i)
      ++chosen[ask(new_tokens).value().worker];
    return chosen;
  }

  ManualClock clock;
  WorkerPool pool{clock, kDeadAfter, {nobody, nobody}};
};

TEST_F(Routes, spread_evenly_over_equal_workers_between_two_beats) {
  for (int i = 0; i < 7; ++i)
    add(beat_of("w" + std::to_string(i)));
  const auto chosen = spread(700);
  ASSERT_EQ(chosen.size(), 7u);
  for (const auto& [name, count] : chosen)
    EXPECT_EQ(count, 100) << name;
}

TEST_F(Routes, prefer_a_faster_worker_but_starve_nobody) {
  WorkerBeat fast = beat_of("fast");
  fast.prefill_tokens_per_s = 4000;
  add(fast);
  add(beat_of("slow"));
  const auto chosen = spread(500);
  EXPECT_GT(chosen.at("fast"), 3 * chosen.at("slow"));
  EXPECT_GT(chosen.at("slow"), 50);
}

TEST_F(Routes, do_not_stay_with_a_worker_whose_beat_says_that_it_is_idle) {
  // Each beat says "nothing runs": what was sent is done. Equals take turns all the same.
  std::map<std::string, uint64_t> streams;
  for (const char* name : {"a", "b", "c"})
    streams[name] = add(beat_of(name));
  std::map<std::string, int> chosen;
  for (int i = 0; i < 30; ++i) {
    const std::string name = ask().value().worker;
    ++chosen[name];
    ASSERT_TRUE(pool.beat(streams[name], "demo", beat_of(name)).has_value());
  }
  for (const auto& [name, count] : chosen)
    EXPECT_EQ(count, 10) << name;
}

TEST_F(Routes, see_a_queue_that_grew_since_the_last_request) {
  const uint64_t a = add(beat_of("a"));
  add(beat_of("b"));
  WorkerBeat busy = beat_of("a");
  for (const uint32_t queued : {1u, 10u, 1000u, std::numeric_limits<uint32_t>::max()}) {
    busy.queued = queued;
    busy.running = busy.capacity;
    ASSERT_TRUE(pool.beat(a, "demo", busy).has_value());
    EXPECT_EQ(ask().value().worker, "b") << queued;
  }
  EXPECT_LE(ask().value().queue_us, 3'600'000'000u) << "an hour at most, whatever a beat says";
}

TEST_F(Routes, count_a_fetch_only_where_it_is_quicker_than_computing) {
  WorkerBeat fast = beat_of("fast");
  fast.prefill_tokens_per_s = 100'000;
  add(fast);
  add(beat_of("slow"));
  // 10,000 tokens of prefix: 0.1 s on the fast one, 10 s on the slow one; the fetch takes 5 s.
  const auto answer = ask(1, {10'000, 5'000'000});
  EXPECT_EQ(answer.value().worker, "fast");
  EXPECT_EQ(answer.value().fetch_us, 5'000'000u);
  EXPECT_EQ(answer.value().cached_tokens, 10'000u);
}

TEST_F(Routes, of_extreme_sizes_end_in_an_answer) {
  WorkerBeat beat = beat_of("w");
  beat.running = beat.queued = std::numeric_limits<uint32_t>::max();
  beat.prefill_tokens_per_s = std::numeric_limits<double>::denorm_min();
  add(beat);
  const uint32_t most = std::numeric_limits<uint32_t>::max();
  const auto answer = ask(most, {most, std::numeric_limits<uint64_t>::max()});
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->worker, "w");
}

TEST_F(Routes, may_exclude_256_names_and_no_more) {
  add(beat_of("w"));
  RouteQuestion question;
  question.tenant = "demo";
  question.space = kSpace;
  for (size_t i = 0; i < kExcludedMax; ++i)
    question.exclude.push_back("gone" + std::to_string(i));
  EXPECT_TRUE(pool.route(question).has_value());
  question.exclude.back() = "w";
  EXPECT_EQ(pool.route(question).status().code(), Code::unavailable);
  question.exclude.push_back("one more");
  const Status refused = pool.route(question).status();
  EXPECT_EQ(refused.code(), Code::invalid_argument);
  EXPECT_NE(refused.message().find("exclude"), std::string::npos);
}

// A beat, and the words of its refusal; empty where it is fine.
struct BeatCase {
  const char* what;
  void (*spoil)(WorkerBeat&);
  const char* words;
};

class Beats : public Routes, public ::testing::WithParamInterface<BeatCase> {};

const BeatCase kBeatCases[] = {
    {"an endpoint of 1,024 bytes", [](WorkerBeat& beat) { beat.endpoint = std::string(1024, 'e'); },
     ""},
    {"a longer endpoint", [](WorkerBeat& beat) { beat.endpoint = std::string(1025, 'e'); },
     "endpoint: must have 1 to 1024 bytes"},
    {"no endpoint", [](WorkerBeat& beat) { beat.endpoint.clear(); }, "endpoint"},
    {"no capacity", [](WorkerBeat& beat) { beat.capacity = 0; }, "capacity: must be 1 to 65536"},
    {"the largest capacity", [](WorkerBeat& beat) { beat.capacity = kWorkerCapacityMax; }, ""},
    {"a larger capacity", [](WorkerBeat& beat) { beat.capacity = kWorkerCapacityMax + 1; },
     "capacity"},
    {"no speed", [](WorkerBeat& beat) { beat.prefill_tokens_per_s = 0; }, ""},
    {"a negative speed", [](WorkerBeat& beat) { beat.prefill_tokens_per_s = -0.1; },
     "prefill_tokens_per_s: is no speed"},
    {"a speed that is no number",
     [](WorkerBeat& beat) { beat.prefill_tokens_per_s = std::nan(""); }, "prefill_tokens_per_s"},
    {"an infinite speed",
     [](WorkerBeat& beat) { beat.prefill_tokens_per_s = std::numeric_limits<double>::infinity(); },
     "prefill_tokens_per_s"},
    {"a host of 128 bytes", [](WorkerBeat& beat) { beat.host = std::string(kNameBytesMax, 'h'); },
     ""},
    {"a longer host", [](WorkerBeat& beat) { beat.host = std::string(kNameBytesMax + 1, 'h'); },
     "host: longer than 128 bytes"},
    {"no name", [](WorkerBeat& beat) { beat.name.clear(); }, "name"},
    {"a name with a slash", [](WorkerBeat& beat) { beat.name = "a/b"; }, "name"},
};

INSTANTIATE_TEST_SUITE_P(Cases, Beats, ::testing::ValuesIn(kBeatCases));

TEST_P(Beats, are_taken_or_refused_whole) {
  const BeatCase& each = GetParam();
  WorkerBeat beat = beat_of("w");
  each.spoil(beat);
  const auto heard = pool.beat(pool.enter(), "demo", beat);
  EXPECT_EQ(heard.has_value(), std::string(each.words).empty()) << each.what;
  EXPECT_EQ(pool.list("").size(), heard.has_value() ? 1u : 0u) << "a refused beat leaves nothing";
  if (heard.has_value()) return;
  EXPECT_EQ(heard.error().code(), Code::invalid_argument);
  EXPECT_NE(heard.error().message().find(each.words), std::string::npos)
      << each.what << ": " << heard.error().message();
}

TEST_F(Routes, a_refused_beat_does_not_keep_a_worker_alive) {
  const uint64_t stream = add(beat_of("w"));
  clock.advance(Millis(400));
  WorkerBeat bad = beat_of("w");
  bad.capacity = 0;
  EXPECT_FALSE(pool.beat(stream, "demo", bad).has_value());
  clock.advance(Millis(200));
  EXPECT_EQ(ask().status().code(), Code::unavailable);
}

TEST_F(Routes, a_late_beat_of_an_old_stream_changes_nothing) {
  const uint64_t old_stream = add(beat_of("w"));
  WorkerBeat moved = beat_of("w");
  moved.endpoint = "new-home";
  add(moved);
  WorkerBeat late = beat_of("w");
  late.draining = true;
  EXPECT_EQ(pool.beat(old_stream, "demo", late).status().code(), Code::exists);
  EXPECT_EQ(ask().value().endpoint, "new-home");
  pool.leave(old_stream);
  EXPECT_EQ(ask().value().endpoint, "new-home") << "its end is not the worker's";
}

TEST_F(Routes, a_worker_that_comes_back_is_new_and_no_longer_drained) {
  const uint64_t stream = add(beat_of("w"));
  ASSERT_TRUE(pool.drain("demo", "w").is_ok());
  EXPECT_TRUE(pool.beat(stream, "demo", beat_of("w")).value());
  // A second stream of the same life: still drained.
  const uint64_t second = pool.enter();
  EXPECT_TRUE(pool.beat(second, "demo", beat_of("w")).value());
  pool.leave(second);
  EXPECT_FALSE(pool.beat(pool.enter(), "demo", beat_of("w")).value());
  EXPECT_EQ(ask().value().worker, "w");
}

TEST_F(Routes, tenants_may_use_the_same_names) {
  const uint64_t ours = add(beat_of("w"));
  WorkerBeat theirs = beat_of("w");
  theirs.endpoint = "theirs";
  const uint64_t stream = add(theirs, "other");
  EXPECT_EQ(ask().value().endpoint, beat_of("w").endpoint);
  ASSERT_TRUE(pool.drain("other", "w").is_ok());
  EXPECT_FALSE(pool.beat(ours, "demo", beat_of("w")).value());
  EXPECT_TRUE(pool.beat(stream, "other", theirs).value());
  pool.leave(stream);
  EXPECT_EQ(ask().value().worker, "w");
  // An operator means both.
  add(theirs, "other");
  ASSERT_TRUE(pool.drain("", "w").is_ok());
  for (const WorkerView& view : pool.list(""))
    EXPECT_TRUE(view.is_drained) << view.tenant;
}

TEST_F(Routes, four_thousand_workers_and_one_more_when_one_leaves) {
  std::vector<uint64_t> streams;
  for (size_t i = 0; i < kWorkersMax; ++i)
    streams.push_back(add(beat_of("w" + std::to_string(i)), i % 2 == 0 ? "demo" : "other"));
  const Status full = pool.beat(pool.enter(), "third", beat_of("w")).status();
  EXPECT_EQ(full.code(), Code::overloaded);
  EXPECT_TRUE(pool.beat(streams[0], "demo", beat_of("w0")).has_value()) << "who is in stays in";
  pool.leave(streams[7]);
  EXPECT_TRUE(pool.beat(pool.enter(), "third", beat_of("w")).has_value());
}

TEST_F(Routes, a_worker_may_change_its_space) {
  const uint64_t stream = add(beat_of("w"));
  WorkerBeat other = beat_of("w");
  other.space = SpaceId{{2}};
  ASSERT_TRUE(pool.beat(stream, "demo", other).has_value());
  EXPECT_EQ(ask().status().code(), Code::unavailable);
}

// Random beats, silences, drains and ends against a list of who should be there.
class PoolModel : public ::testing::TestWithParam<uint64_t> {
 protected:
  struct Known {
    uint64_t stream = 0;
    Instant heard;
    bool is_drained = false;
    bool is_told = false;
  };
  using Key = std::pair<std::string, std::string>;

  PoolModel()
      : pool(clock, kDeadAfter,
             {[this](const std::string& tenant, const std::string& name) {
                EXPECT_TRUE(told.insert({tenant, name}).second) << "told twice";
              },
              [this](const std::string& tenant, const std::string& name) {
                EXPECT_EQ(told.erase({tenant, name}), 1u) << "lost twice, or never up";
              }}) {}

  uint32_t draw(uint32_t below) { return static_cast<uint32_t>(random() % below); }
  Key draw_key() { return {draw(2) == 0 ? "demo" : "other", "w" + std::to_string(draw(6))}; }
  bool is_alive(const Known& known) { return clock.now() - known.heard < kDeadAfter; }

  void step() {
    const Key key = draw_key();
    switch (draw(8)) {
      case 0:  // a new stream
        streams.emplace_back(pool.enter(), key);
        [[fallthrough]];
      case 1:
      case 2:
      case 3:
        if (!streams.empty()) beat(streams[draw(static_cast<uint32_t>(streams.size()))]);
        break;
      case 4:
        clock.advance(Millis(draw(250)));
        break;
      case 5:
        pool.sweep();
        for (auto& [name, known] : model)
          known.is_told &= is_alive(known);
        break;
      case 6:
        EXPECT_EQ(pool.drain(key.first, key.second).is_ok(), model.contains(key));
        if (model.contains(key)) model[key].is_drained = true;
        break;
      case 7:
        if (!streams.empty() && draw(3) == 0) end(draw(static_cast<uint32_t>(streams.size())));
        break;
    }
  }
  void beat(const std::pair<uint64_t, Key>& stream) {
    const auto& [number, key] = stream;
    const auto heard = pool.beat(number, key.first, beat_of(key.second));
    const auto found = model.find(key);
    const bool is_late = found != model.end() && found->second.stream > number;
    ASSERT_EQ(heard.has_value(), !is_late);
    if (is_late) return;
    Known& known = model[key];
    known.stream = number;
    known.heard = clock.now();
    known.is_told = true;
    EXPECT_EQ(*heard, known.is_drained);
  }
  void end(uint32_t i) {
    const uint64_t number = streams[i].first;
    pool.leave(number);
    std::erase_if(model, [&](const auto& entry) { return entry.second.stream == number; });
    streams.erase(streams.begin() + i);
  }
  void compare() {
    std::set<Key> expected_told;
    std::set<std::string> may_serve;
    for (const auto& [key, known] : model) {
      if (known.is_told) expected_told.insert(key);
      if (key.first == "demo" && is_alive(known) && !known.is_drained) may_serve.insert(key.second);
    }
    ASSERT_EQ(told, expected_told);
    ASSERT_EQ(pool.list("").size(), model.size());
    RouteQuestion question;
    question.tenant = "demo";
    question.space = kSpace;
    const auto chosen = pool.route(question);
    ASSERT_EQ(chosen.has_value(), !may_serve.empty());
    if (chosen.has_value()) {
      ASSERT_TRUE(may_serve.contains(chosen->worker)) << chosen->worker;
    }
  }

  std::mt19937_64 random{GetParam()};
  ManualClock clock;
  std::set<Key> told;
  std::map<Key, Known> model;
  std::vector<std::pair<uint64_t, Key>> streams;
  WorkerPool pool;
};

TEST_P(PoolModel, only_who_lives_serves_and_each_change_is_told_once) {
  std::printf("seed %llu\n", static_cast<unsigned long long>(GetParam()));
  for (int i = 0; i < 5000; ++i) {
    SCOPED_TRACE("step " + std::to_string(i));
    ASSERT_NO_FATAL_FAILURE(step());
    ASSERT_NO_FATAL_FAILURE(compare());
  }
}

std::vector<uint64_t> seeds() {
  if (const char* seed = std::getenv("TARN_SEED")) return {std::strtoull(seed, nullptr, 10)};
  return {1, 2, std::random_device()()};
}

INSTANTIATE_TEST_SUITE_P(Seeds, PoolModel, ::testing::ValuesIn(seeds()),
                         [](const auto& test) { return std::to_string(test.index); });

}  // namespace
}  // namespace tarn::pool
