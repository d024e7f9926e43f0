#include "common/base/fault_point.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <barrier>
#include <chrono>
#include <cstdlib>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/until.h"

namespace tarn {
namespace {

using fault::Action;

class FaultPoints : public ::testing::Test {
 protected:
  void TearDown() override {
    fault::disarm_all();
    ::unsetenv("TARN_FAULTS");
  }

  Status arm(const char* text) {
    ::setenv("TARN_FAULTS", text, 1);
    return fault::arm_from_environment();
  }

  // One letter a hit: F where the code must fail, a dot where it goes on.
  static std::string hits(int count) {
    std::string pattern;
    for (int i = 0; i < count; ++i)
      pattern += TARN_FAULT_POINT("test.point") ? 'F' : '.';
    return pattern;
  }
};

TEST_F(FaultPoints, act_in_their_turn_only) {
  const struct {
    uint32_t skip, times;
    const char* pattern;
  } rows[] = {
      {0, 1, "F....."},          {0, 2, "FF...."},          {2, 1, "..F..."},
      {2, 3, "..FFF."},          {0, 0, "FFFFFF"},          {4, 0, "....FF"},
      {9, 1, "......"},          {1, 1, ".F...."},          {0, UINT32_MAX, "FFFFFF"},
      {UINT32_MAX, 1, "......"}, {1, UINT32_MAX, ".FFFFF"},
  };
  for (const auto& row : rows) {
    fault::arm("test.point", {.skip = row.skip, .times = row.times});
    EXPECT_EQ(hits(6), row.pattern) << row.skip << ":" << row.times;
  }
}

TEST_F(FaultPoints, count_from_zero_when_they_are_armed_again) {
  fault::arm("test.point", {.skip = 2});
  EXPECT_EQ(hits(2), "..");
  fault::arm("test.point", {.skip = 2});
  EXPECT_EQ(hits(3), "..F");
  EXPECT_EQ(fault::hits("test.point"), 3u);
}

// A test may ask whether code came by a point that it did not arm.
TEST_F(FaultPoints, are_counted_without_being_armed_while_another_one_is) {
  EXPECT_EQ(hits(2), "..");
  EXPECT_EQ(fault::hits("test.point"), 0u) << "nothing was armed, so nothing was counted";
  fault::arm("test.other", {});
  EXPECT_EQ(hits(2), "..");
  EXPECT_EQ(fault::hits("test.point"), 2u);
  EXPECT_EQ(fault::hits("test.other"), 0u);
  EXPECT_EQ(fault::hits("test.never"), 0u);
}

TEST_F(FaultPoints, forget_everything_when_disarmed) {
  fault::arm("test.point", {.times = 0});
  EXPECT_EQ(hits(1), "F");
  fault::disarm_all();
  EXPECT_EQ(hits(3), "...");
  EXPECT_EQ(fault::hits("test.point"), 0u);
}

TEST_F(FaultPoints, hang_for_their_delay_and_then_go_on) {
  fault::arm("test.point", {.action = Action::hang, .delay_ms = 20});
  const auto before = std::chrono::steady_clock::now();
  EXPECT_EQ(hits(1), ".");
  EXPECT_GE(std::chrono::steady_clock::now() - before, std::chrono::milliseconds(20));
}

TEST_F(FaultPoints, hang_without_holding_up_other_points) {
  fault::arm("test.hang", {.action = Action::hang, .delay_ms = 400});
  fault::arm("test.point", {});
  std::atomic<bool> is_awake = false;
  std::thread sleeper([&] {
    EXPECT_FALSE(TARN_FAULT_POINT("test.hang"));
    is_awake = true;
  });
  EXPECT_TRUE(until([] { return fault::hits("test.hang") > 0; }));
  EXPECT_EQ(hits(1), "F");
  EXPECT_FALSE(is_awake);
  sleeper.join();
}

using FaultPointsDeathTest = FaultPoints;

TEST_F(FaultPointsDeathTest, crash_as_by_sigkill) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        fault::arm("test.point", {.action = Action::crash, .skip = 1});
        (void)hits(1);
        std::fputs("the first hit went by", stderr);
        (void)hits(1);
      },
      testing::KilledBySignal(SIGKILL), "the first hit went by");
}

TEST_F(FaultPoints, act_exactly_as_often_as_told_between_threads) {
  constexpr int kThreads = 4;
  constexpr int kHits = 500;
  constexpr uint32_t kTimes = 777;
  fault::arm("test.point", {.skip = 100, .times = kTimes});
  std::atomic<uint32_t> failures = 0;
  std::barrier start(kThreads);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      start.arrive_and_wait();
      for (int n = 0; n < kHits; ++n) {
        if (TARN_FAULT_POINT("test.point")) ++failures;
      }
    });
  }
  for (std::thread& thread : threads)
    thread.join();
  EXPECT_EQ(failures, kTimes);
  EXPECT_EQ(fault::hits("test.point"), uint64_t{kThreads} * kHits);
}

TEST_F(FaultPoints, agree_with_a_model_under_random_use) {
  struct Model {
    fault::Plan plan;
    uint64_t hits = 0;
    bool armed = false;
  };
  const unsigned seed = 20261122;
  std::mt19937 random(seed);
  std::map<std::string, Model> model;
  bool any_armed = false;
  for (int step = 0; step < 3000; ++step) {
    const std::string name = "test." + std::to_string(random() % 5);
    const auto choice = random() % 100;
    if (choice < 3) {
      fault::disarm_all();
      model.clear();
      any_armed = false;
    } else if (choice < 15) {
      const fault::Plan plan{.skip = static_cast<uint32_t>(random() % 4),
                             .times = static_cast<uint32_t>(random() % 4)};
      fault::arm(name, plan);
      model[name] = {plan, 0, true};
      any_armed = true;
    } else {
      bool due = false;
      if (any_armed) {
        Model& point = model[name];
        const uint64_t turn = point.hits++;
        due = point.armed && turn >= point.plan.skip &&
              (point.plan.times == 0 || turn < uint64_t{point.plan.skip} + point.plan.times);
      }
      const bool failed = fault::g_any_armed.load() && fault::hit(name);
      ASSERT_EQ(failed, due) << "seed " << seed << " step " << step << " " << name;
    }
    ASSERT_EQ(fault::hits(name), model.contains(name) ? model[name].hits : 0u) << "step " << step;
  }
}

TEST_F(FaultPoints, of_the_environment_take_defaults_for_what_is_left_out) {
  ASSERT_TRUE(arm("test.point=fail").is_ok());
  EXPECT_EQ(hits(3), "F..");
  ASSERT_TRUE(arm("test.point=fail:1").is_ok());
  EXPECT_EQ(hits(3), ".F.");
  ASSERT_TRUE(arm("test.other=hang:0:1:0,test.point=fail:1:2").is_ok());
  EXPECT_EQ(hits(4), ".FF.");
  ASSERT_TRUE(arm("test.point=fail:4294967295:4294967295:4294967295").is_ok());
  EXPECT_EQ(hits(3), "...");
}

TEST_F(FaultPoints, of_an_environment_that_says_nothing_are_none) {
  ::unsetenv("TARN_FAULTS");
  EXPECT_TRUE(fault::arm_from_environment().is_ok());
  EXPECT_TRUE(arm("").is_ok());
  EXPECT_FALSE(fault::g_any_armed.load());
}

TEST_F(FaultPoints, of_the_environment_that_are_not_understood_are_quoted) {
  for (const std::string part :
       {"nothing", "=fail", "a.b=", "a.b=Fail", "a.b=fail:", "a.b=fail:-1", "a.b=fail:x",
        "a.b=fail:1:2:3:4", "a.b=fail:4294967296", "a.b=fail: 1", "a.b=fail:0x1", " ", "a.b"}) {
    const std::string expected =
        "TARN_FAULTS: '" + part + "' is not name=action[:skip[:times[:delay_ms]]]";
    EXPECT_EQ(arm(part.c_str()), invalid_argument(expected));
    EXPECT_EQ(arm(("good.one=fail," + part).c_str()), invalid_argument(expected));
  }
  EXPECT_EQ(arm("a.b=fail,,c.d=fail").message(),
            "TARN_FAULTS: '' is not name=action[:skip[:times[:delay_ms]]]");
}

}  // namespace
}  // namespace tarn
