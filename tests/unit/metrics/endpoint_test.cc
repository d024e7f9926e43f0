#include "common/metrics/endpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/fault_point.h"
#include "tests/unit/metrics/http_client.h"

namespace tarn::metrics {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

TEST(Text, is_what_prometheus_reads) {
  Registry registry;
  registry.counter("tarn_puts_total", "Puts.", {{"tenant", "a\"b\nc"}}).add(3);
  registry.gauge("tarn_used_bytes", "Bytes used.").set(0.5);
  Histogram& stage = registry.histogram("tarn_get_seconds", "Gets.");
  stage.record(Micros(2));
  stage.record(Millis(30));
  stage.record(std::chrono::seconds(20));
  const std::string text = to_text(registry);
  EXPECT_THAT(text, HasSubstr("# HELP tarn_puts_total Puts.\n# TYPE tarn_puts_total counter\n"
                              "tarn_puts_total{tenant=\"a\\\"b\\nc\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE tarn_used_bytes gauge\ntarn_used_bytes 0.5\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE tarn_get_seconds histogram\ntarn_get_seconds_count 3\n"
                              "tarn_get_seconds_sum 20.030002"));
  EXPECT_THAT(text, HasSubstr("tarn_get_seconds_bucket{le=\"1e-06\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("tarn_get_seconds_bucket{le=\"0.05\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("tarn_get_seconds_bucket{le=\"10\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("tarn_get_seconds_bucket{le=\"+Inf\"} 3\n"));
}

TEST(Text, is_empty_without_metrics) {
  EXPECT_EQ(to_text(Registry()), "");
}

TEST(Endpoint, serves_the_registry_as_it_is_now) {
  Registry registry;
  Counter& puts = registry.counter("tarn_puts_total", "Puts.");
  auto endpoint = Endpoint::open("127.0.0.1:0", registry);
  ASSERT_TRUE(endpoint) << endpoint.error().message();
  EXPECT_THAT(get((*endpoint)->port(), "/metrics"), HasSubstr("\ntarn_puts_total 0\n"));
  puts.add(5);
  registry.gauge("tarn_late_bytes", "Made after the endpoint.").set(1);
  const std::string answer = get((*endpoint)->port(), "/metrics");
  EXPECT_THAT(answer, StartsWith("HTTP/1."));
  EXPECT_THAT(answer, HasSubstr("\ntarn_puts_total 5\n"));
  EXPECT_THAT(answer, HasSubstr("\ntarn_late_bytes 1\n"));
}

TEST(Endpoint, serves_nothing_else) {
  Registry registry;
  auto endpoint = Endpoint::open("127.0.0.1:0", registry);
  ASSERT_TRUE(endpoint) << endpoint.error().message();
  EXPECT_THAT(get((*endpoint)->port(), "/etc/passwd"), HasSubstr("404"));
}

TEST(Endpoint, stops_listening_when_it_is_destroyed) {
  Registry registry;
  auto endpoint = Endpoint::open("127.0.0.1:0", registry);
  ASSERT_TRUE(endpoint) << endpoint.error().message();
  const uint16_t port = (*endpoint)->port();
  endpoint->reset();
  EXPECT_EQ(get(port, "/metrics"), "");
}

TEST(Endpoint, two_of_them_live_side_by_side) {
  Registry a;
  Registry b;
  a.counter("tarn_a_total", "Of a.").add();
  b.counter("tarn_b_total", "Of b.").add();
  auto first = Endpoint::open("127.0.0.1:0", a);
  auto second = Endpoint::open("127.0.0.1:0", b);
  ASSERT_TRUE(first && second);
  EXPECT_NE((*first)->port(), (*second)->port());
  EXPECT_THAT(get((*first)->port(), "/metrics"), HasSubstr("\ntarn_a_total 1\n"));
  EXPECT_THAT(get((*second)->port(), "/metrics"), HasSubstr("\ntarn_b_total 1\n"));
}

TEST(Endpoint, refuses_what_is_no_address) {
  Registry registry;
  for (const char* bad :
       {"", "9464", ":9464", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:9464s", "::1:9464",
        "127.0.0.1:1,127.0.0.1:2", "+80", "127.0.0.1:123456", "[127.0.0.1]:80"}) {
    const auto endpoint = Endpoint::open(bad, registry);
    ASSERT_FALSE(endpoint) << bad;
    EXPECT_EQ(endpoint.error(),
              invalid_argument("metrics endpoint \"" + std::string(bad) + "\" is not HOST:PORT"));
  }
}

TEST(Endpoint, says_when_the_port_is_taken) {
  Registry registry;
  auto first = Endpoint::open("127.0.0.1:0", registry);
  ASSERT_TRUE(first) << first.error().message();
  const std::string address = "127.0.0.1:" + std::to_string((*first)->port());
  const auto second = Endpoint::open(address, registry);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Code::unavailable);
  EXPECT_THAT(second.error().message(),
              StartsWith("metrics endpoint " + address + ": cannot listen: "));
  EXPECT_EQ(Endpoint::open("127.0.0.1:65536", registry).status().code(), Code::unavailable);
}

TEST(Endpoint, fails_where_its_fault_point_says_so) {
  Registry registry;
  fault::arm("metrics.open", {});
  EXPECT_EQ(Endpoint::open("127.0.0.1:0", registry).status().code(), Code::unavailable);
  fault::disarm_all();
}

}  // namespace
}  // namespace tarn::metrics
