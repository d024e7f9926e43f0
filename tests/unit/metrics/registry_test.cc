#include "common/metrics/registry.h"

#include <thread>

#include <gtest/gtest.h>

#include "common/metrics/stage_timer.h"

namespace tarn::metrics {
namespace {

TEST(Registry, gives_the_same_metric_for_the_same_name_and_labels) {
  Registry registry;
  Counter& a = registry.counter("tarn_puts_total", "Puts.", {{"lane", "0"}, {"tenant", "t"}});
  Counter& b = registry.counter("tarn_puts_total", "Puts.", {{"tenant", "t"}, {"lane", "0"}});
  Counter& c = registry.counter("tarn_puts_total", "Puts.", {{"lane", "1"}, {"tenant", "t"}});
  EXPECT_EQ(&a, &b);
  EXPECT_NE(&a, &c);
}

TEST(Registry, collects_all_families_by_name) {
  Registry registry;
  registry.gauge("tarn_used_bytes", "Bytes used.").set(7.5);
  registry.counter("tarn_puts_total", "Puts.", {{"lane", "1"}}).add(2);
  registry.counter("tarn_puts_total", "Puts.", {{"lane", "0"}}).add(1);
  registry.histogram("tarn_get_seconds", "Gets.").record(Micros(3));
  const auto families = registry.collect();
  ASSERT_EQ(families.size(), 3u);
  EXPECT_EQ(families[0].name, "tarn_get_seconds");
  EXPECT_EQ(std::get<HistogramSnapshot>(families[0].samples[0].value).count(), 1u);
  EXPECT_EQ(families[1].help, "Puts.");
  ASSERT_EQ(families[1].samples.size(), 2u);
  EXPECT_EQ(families[1].samples[0].labels, (Labels{{"lane", "0"}}));
  EXPECT_EQ(std::get<uint64_t>(families[1].samples[1].value), 2u);
  EXPECT_EQ(std::get<double>(families[2].samples[0].value), 7.5);
}

TEST(Registry, shares_one_series_beyond_the_limit) {
  Registry registry;
  const auto tenant = [&](size_t i) -> Counter& {
    return registry.counter("tarn_puts_total", "Puts.", {{"tenant", std::to_string(i)}});
  };
  for (size_t i = 0; i < kFamilySeriesMax + 10; ++i)
    tenant(i).add();
  EXPECT_EQ(&tenant(kFamilySeriesMax), &tenant(kFamilySeriesMax + 1));
  EXPECT_NE(&tenant(0), &tenant(1));
  const auto families = registry.collect();
  ASSERT_EQ(families[0].samples.size(), kFamilySeriesMax + 1);
  EXPECT_EQ(families[0].samples.back().labels, (Labels{{"tenant", "other"}}));
  EXPECT_EQ(std::get<uint64_t>(families[0].samples.back().value), 10u);
}

TEST(Registry, may_be_collected_while_it_grows) {
  Registry registry;
  std::thread writer([&] {
    for (int i = 0; i < 200; ++i) {
      registry.counter("tarn_puts_total", "Puts.", {{"lane", std::to_string(i)}}).add();
    }
  });
  size_t seen = 0;
  while (seen < 200) {
    const auto families = registry.collect();
    if (families.empty()) continue;
    EXPECT_GE(families[0].samples.size(), seen);
    seen = families[0].samples.size();
  }
  writer.join();
}

TEST(RegistryDeathTest, checks_names) {
  Registry registry;
  EXPECT_DEATH(registry.counter("puts_total", "Not ours."), "check failed");
  EXPECT_DEATH(registry.counter("tarn_Puts_total", "Not snake_case."), "check failed");
  EXPECT_DEATH(registry.counter("tarn_puts", "Not _total."), "check failed");
  EXPECT_DEATH(registry.gauge("tarn_puts_total", "Not a counter."), "check failed");
  EXPECT_DEATH(registry.histogram("tarn_get_ms", "Not seconds."), "check failed");
  EXPECT_DEATH(registry.counter("tarn_puts_total", ""), "check failed");
  EXPECT_DEATH(registry.counter("tarn_puts_total", "Puts.", {{"le", "1"}}), "check failed");
  EXPECT_DEATH(registry.counter("tarn_puts_total", "Puts.", {{"a-b", "1"}}), "check failed");
}

TEST(RegistryDeathTest, checks_that_a_name_comes_back_as_it_was) {
  Registry registry;
  registry.gauge("tarn_wait_seconds", "Waiting.", {{"lane", "0"}});
  EXPECT_DEATH(registry.histogram("tarn_wait_seconds", "Waiting.", {{"lane", "0"}}),
               "check failed");
  EXPECT_DEATH(registry.histogram("tarn_wait_seconds", "Waiting.", {{"lane", "1"}}),
               "check failed");
  EXPECT_DEATH(registry.gauge("tarn_wait_seconds", "Waiting."), "check failed");
  EXPECT_DEATH(registry.gauge("tarn_wait_seconds", "Waiting.", {{"op", "0"}}), "check failed");
}

TEST(StageTimer, splits_an_operation_without_gaps) {
  Registry registry;
  ManualClock clock;
  Histogram& lookup = stage_histogram(registry, "get", "lookup");
  Histogram& copy = stage_histogram(registry, "get", "copy");
  StageTimer timer(clock);
  clock.advance(Micros(3));
  timer.finish(lookup);
  clock.advance(Micros(50));
  timer.skip();
  clock.advance(Micros(7));
  timer.finish(copy);
  EXPECT_EQ(lookup.snapshot().sum_ns, 3'000u);
  EXPECT_EQ(copy.snapshot().sum_ns, 7'000u);
  EXPECT_EQ(timer.total(), Micros(60));
  EXPECT_EQ(&lookup, &stage_histogram(registry, "get", "lookup"));
}

TEST(ScopedStage, records_when_the_scope_ends) {
  ManualClock clock;
  Histogram stage;
  {
    const ScopedStage scope(stage, clock);
    clock.advance(Micros(4));
    EXPECT_EQ(stage.snapshot().count(), 0u);
  }
  EXPECT_EQ(stage.snapshot().sum_ns, 4'000u);
}

}  // namespace
}  // namespace tarn::metrics
