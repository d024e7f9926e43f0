#include <gtest/gtest.h>

#include <barrier>
#include <cmath>
#include <random>
#include <thread>

#include "common/metrics/endpoint.h"
#include "tests/unit/metrics/http_client.h"
#include "tests/unit/metrics/prometheus_text.h"

// What Prometheus reads at /metrics, by a reader of our own.
namespace tarn::metrics {
namespace {

using Families = std::map<std::string, ParsedFamily>;

Families parsed(const std::string& text) {
  PrometheusText reader;
  const auto families = reader.parse(text);
  EXPECT_TRUE(families.has_value()) << reader.error();
  return families.value_or(Families());
}

double value_of(const Families& families, const std::string& name, const LabelMap& labels = {}) {
  for (const auto& [family, content] : families) {
    const auto found = content.samples.find({name, labels});
    if (found != content.samples.end()) return found->second;
  }
  ADD_FAILURE() << "no sample " << name;
  return -1;
}

TEST(PrometheusText, refuses_what_prometheus_would) {
  for (const char* bad :
       {"tarn_x 1\n", "# HELP tarn_x X.\ntarn_x 1", "# HELP tarn_x X.\n# TYPE tarn_x other\n",
        "# HELP tarn_x X.\n# TYPE tarn_y gauge\n",
        "# HELP tarn_x X.\n# TYPE tarn_x gauge\ntarn_y 1\n",
        "# HELP tarn_x X.\n# TYPE tarn_x gauge\ntarn_x{a=\"b} 1\n",
        "# HELP tarn_x X.\n# TYPE tarn_x gauge\ntarn_x{a=\"\\t\"} 1\n",
        "# HELP tarn_x X.\n# TYPE tarn_x gauge\ntarn_x one\n",
        "# HELP tarn_x X.\n# TYPE tarn_x gauge\ntarn_x 1\ntarn_x 2\n",
        "# HELP tarn_x X.\n# HELP tarn_x X.\n",
        "# HELP tarn_x X.\n# TYPE tarn_x gauge\ntarn_x{1a=\"\"} 1\n"}) {
    EXPECT_FALSE(PrometheusText().parse(bad).has_value()) << bad;
  }
}

TEST(Exposition, gives_every_family_its_help_and_type_before_its_samples) {
  Registry registry;
  registry.counter("tarn_puts_total", "Puts, as \"acknowledged\".").add(3);
  registry.gauge("tarn_used_bytes", "Bytes.").set(7);
  registry.histogram("tarn_get_seconds", "Gets.").record(Micros(3));
  const Families families = parsed(to_text(registry));
  ASSERT_EQ(families.size(), 3u);
  EXPECT_EQ(families.at("tarn_puts_total").help, "Puts, as \"acknowledged\".");
  EXPECT_EQ(families.at("tarn_puts_total").type, "counter");
  EXPECT_EQ(families.at("tarn_used_bytes").type, "gauge");
  EXPECT_EQ(families.at("tarn_get_seconds").type, "histogram");
}

// Label values may come from outside, and whatever they hold must stay one value of one series.
TEST(Exposition, gives_back_any_label_value) {
  std::mt19937 random(20261122);
  constexpr std::string_view kHostile = "a\"\\\n,}{=# \r\t1n";
  for (int round = 0; round < 50; ++round) {
    Registry registry;
    std::map<std::string, uint64_t> expected;
    for (uint64_t i = 1; i <= 20; ++i) {
      std::string value(random() % 12, ' ');
      for (char& c : value)
        c = kHostile[random() % kHostile.size()];
      registry.counter("tarn_puts_total", "Puts.", {{"tenant", value}, {"lane", "0"}}).add(i);
      expected[value] += i;
    }
    const Families families = parsed(to_text(registry));
    ASSERT_EQ(families.at("tarn_puts_total").samples.size(), expected.size());
    for (const auto& [value, count] : expected) {
      EXPECT_EQ(value_of(families, "tarn_puts_total", {{"tenant", value}, {"lane", "0"}}),
                static_cast<double>(count));
    }
  }
}

TEST(Exposition, gives_numbers_without_losing_a_unit) {
  Registry registry;
  Counter& counter = registry.counter("tarn_large_total", "Large.");
  counter.add((uint64_t{1} << 53) - 1);
  Gauge& gauge = registry.gauge("tarn_any", "Any.");
  const Families families = parsed(to_text(registry));
  EXPECT_EQ(value_of(families, "tarn_large_total"), 9007199254740991.0);
  for (const double value : {0.0, -1.5, 1e-9, 0.1, 1e300, 123456789.125}) {
    gauge.set(value);
    EXPECT_EQ(value_of(parsed(to_text(registry)), "tarn_any"), value);
  }
  gauge.set(std::numeric_limits<double>::infinity());
  EXPECT_EQ(value_of(parsed(to_text(registry)), "tarn_any"), HUGE_VAL);
  gauge.set(std::nan(""));
  EXPECT_TRUE(std::isnan(value_of(parsed(to_text(registry)), "tarn_any")));
}

// The buckets of a series by their upper bound.
std::map<double, double> buckets_of(const ParsedFamily& family, const std::string& stage) {
  std::map<double, double> buckets;
  for (const auto& [key, value] : family.samples) {
    const auto& [name, labels] = key;
    const auto bound = labels.find("le");
    if (bound == labels.end() || labels.at("stage") != stage) continue;
    EXPECT_TRUE(buckets.emplace(std::strtod(bound->second.c_str(), nullptr), value).second);
  }
  return buckets;
}

void expect_is_a_histogram(const ParsedFamily& family, const std::string& stage) {
  const auto buckets = buckets_of(family, stage);
  ASSERT_EQ(buckets.size(), kBucketCount);
  double below = 0;
  for (const auto& [bound, count] : buckets) {
    EXPECT_GE(count, below) << "buckets are cumulative, at " << bound;
    below = count;
  }
  EXPECT_EQ(buckets.rbegin()->first, HUGE_VAL);
  EXPECT_EQ(family.samples.at({"tarn_stage_seconds_count", {{"stage", stage}}}), below);
}

TEST(Exposition, gives_a_histogram_that_agrees_with_counting) {
  std::mt19937_64 random(20261122);
  Registry registry;
  Histogram& histogram = registry.histogram("tarn_stage_seconds", "Stage.", {{"stage", "send"}});
  registry.histogram("tarn_stage_seconds", "Stage.", {{"stage", "idle"}});
  std::vector<int64_t> all;
  double sum = 0;
  for (int i = 0; i < 2000; ++i) {
    all.push_back(static_cast<int64_t>(random() >> (28 + random() % 30)));
    histogram.record(Nanos(all.back()));
    sum += static_cast<double>(all.back()) / 1e9;
  }
  const Families families = parsed(to_text(registry));
  const ParsedFamily& family = families.at("tarn_stage_seconds");
  expect_is_a_histogram(family, "send");
  expect_is_a_histogram(family, "idle");
  for (const auto& [bound, count] : buckets_of(family, "send")) {
    const auto within = std::count_if(all.begin(), all.end(), [bound = bound](int64_t ns) {
      return static_cast<double>(ns) / 1e9 <= bound * (1 + 1e-12);
    });
    EXPECT_EQ(count, static_cast<double>(within)) << bound;
  }
  EXPECT_NEAR(family.samples.at({"tarn_stage_seconds_sum", {{"stage", "send"}}}), sum, sum * 1e-5);
}

// A scrape in the middle of the work: whole, well formed, and no counter ever falls.
TEST(Exposition, is_whole_and_never_falls_while_lanes_count) {
  Registry registry;
  auto endpoint = Endpoint::open("127.0.0.1:0", registry);
  ASSERT_TRUE(endpoint) << endpoint.error().message();
  std::atomic<bool> stops = false;
  std::barrier start(3);
  std::vector<std::thread> lanes;
  for (int lane = 0; lane < 2; ++lane) {
    lanes.emplace_back([&, lane] {
      Histogram& stage = registry.histogram("tarn_stage_seconds", "Stage.", {{"stage", "send"}});
      start.arrive_and_wait();
      for (int i = 0; !stops; ++i) {
        const LabelMap labels = {{"tenant", std::to_string(lane) + "-" + std::to_string(i % 50)}};
        registry.counter("tarn_puts_total", "Puts.", labels).add();
        stage.record(Micros(i % 3000));
      }
    });
  }
  start.arrive_and_wait();
  Families last;
  for (int scrape = 0; scrape < 15; ++scrape) {
    Families now = parsed(body_of(get((*endpoint)->port())));
    EXPECT_EQ(now.count("tarn_stage_seconds"), 1u);
    if (now.empty()) break;
    expect_is_a_histogram(now["tarn_stage_seconds"], "send");
    for (const auto& [name, family] : last) {
      if (family.type != "counter" && family.type != "histogram") continue;
      for (const auto& [key, value] : family.samples)
        EXPECT_GE(now[name].samples[key], value) << key.first;
    }
    last = std::move(now);
  }
  stops = true;
  for (std::thread& lane : lanes)
    lane.join();
}

TEST(RegistryDeathTest, takes_no_help_that_would_break_its_line) {
  Registry registry;
  EXPECT_DEATH(registry.gauge("tarn_a", "Two\nlines."), "check failed");
  EXPECT_DEATH(registry.gauge("tarn_a", "Back\\slash."), "check failed");
}

}  // namespace
}  // namespace tarn::metrics
