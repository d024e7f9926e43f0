#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <thread>
#include <vector>

#include "common/metrics/endpoint.h"
#include "tests/unit/metrics/http_client.h"

// Whoever connects to the metrics port: the scrapes after it are answered.
namespace tarn::metrics {
namespace {

using testing::HasSubstr;

class HostileHttp : public testing::Test {
 protected:
  void SetUp() override {
    x_registry.counter("tarn_puts_total", "Puts.").add(5);
    auto opened = Endpoint::open("127.0.0.1:0", x_registry);
    ASSERT_TRUE(opened) << opened.error().message();
    x_endpoint = std::move(*opened);
  }
  uint16_t port() const { return x_endpoint->port(); }

  // Sends, ends, and gives the answer.
  std::string answer_to(const std::string& bytes) {
    HttpClient client(port());
    client.send(bytes);
    client.finish_sending();
    return client.read_all();
  }
  void expect_still_serves() { EXPECT_THAT(get(port()), HasSubstr("\ntarn_puts_total 5\n")); }

  Registry x_registry;
  std::unique_ptr<Endpoint> x_endpoint;
};

TEST_F(HostileHttp, of_other_paths_gets_nothing_of_this_machine) {
  for (const std::string path :
       {"/", "/metrics/../../../../etc/passwd", "/../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd", "/metrics%00/etc/passwd", "/.git/config", "/metricsx"}) {
    const std::string answer = get(port(), path);
    EXPECT_THAT(answer, testing::Not(HasSubstr("root:"))) << path;
    EXPECT_THAT(answer, testing::Not(HasSubstr("repositoryformatversion"))) << path;
  }
  expect_still_serves();
}

TEST_F(HostileHttp, with_other_methods_changes_nothing) {
  for (const std::string method : {"POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "get"}) {
    (void)answer_to(method + " /metrics HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc");
    expect_still_serves();
  }
}

TEST_F(HostileHttp, that_is_no_http_at_all_is_dropped) {
  std::mt19937 random(20261122);
  for (int i = 0; i < 30; ++i) {
    std::string bytes(1 + random() % 3000, '\0');
    for (char& c : bytes)
      c = static_cast<char>(random());
    EXPECT_THAT(answer_to(bytes), testing::Not(HasSubstr("tarn_puts_total")));
  }
  // A TLS hello, gRPC's preface, and requests that end in the wrong place.
  for (const std::string& bytes :
       {std::string("\x16\x03\x01\x02\x00\x01", 6), std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        std::string("GET"), std::string("GET /metrics"), std::string("GET /metrics HTTP/9.9\r\n"),
        std::string("\r\n\r\n\r\n"), std::string("GET  HTTP/1.0\r\n\r\n"),
        std::string("GET /metrics HTTP/1.0\r\nContent-Length: -1\r\n\r\n"),
        std::string("GET /metrics HTTP/1.0\r\nContent-Length: 99999999999999999999\r\n\r\n")}) {
    (void)answer_to(bytes);
  }
  expect_still_serves();
}

TEST_F(HostileHttp, with_endless_headers_is_cut_off) {
  HttpClient client(port());
  client.send("GET /metrics HTTP/1.0\r\n");
  const std::string line = "X-Pad: " + std::string(1000, 'x') + "\r\n";
  bool is_open = true;
  for (int i = 0; i < 10'000 && is_open; ++i)
    is_open = client.send(line);
  EXPECT_FALSE(is_open) << "10 MB of headers were taken";
  expect_still_serves();
}

TEST_F(HostileHttp, with_a_long_address_is_refused) {
  EXPECT_THAT(answer_to("GET /" + std::string(100'000, 'a') + " HTTP/1.0\r\n\r\n"),
              testing::Not(HasSubstr("200 OK")));
  expect_still_serves();
}

// Half of the threads that answer are held by someone who does not finish a request.
TEST_F(HostileHttp, that_is_slow_leaves_room_for_scrapes) {
  HttpClient slow(port());
  slow.send("GET /metrics HTT");
  for (int i = 0; i < 3; ++i)
    expect_still_serves();
}

TEST_F(HostileHttp, that_goes_away_without_reading_is_forgotten) {
  for (int i = 0; i < 30; ++i) {
    HttpClient client(port());
    client.send("GET /metrics HTTP/1.0\r\n\r\n");
  }
  expect_still_serves();
}

TEST_F(HostileHttp, by_many_at_once_is_answered_to_each) {
  std::vector<std::thread> scrapers;
  std::atomic<int> answered = 0;
  for (int i = 0; i < 8; ++i) {
    scrapers.emplace_back([&] {
      for (int n = 0; n < 5; ++n) {
        if (get(port()).find("\ntarn_puts_total 5\n") != std::string::npos) ++answered;
      }
    });
  }
  for (std::thread& scraper : scrapers)
    scraper.join();
  EXPECT_EQ(answered, 40);
}

TEST_F(HostileHttp, on_one_connection_gets_one_answer) {
  HttpClient client(port());
  const std::string request = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
  client.send(request + request + request);
  const std::string answer = client.read_all();
  const size_t first = answer.find("HTTP/1.");
  EXPECT_EQ(first, 0u);
  EXPECT_EQ(answer.find("HTTP/1.", 1), std::string::npos) << "keep-alive is off";
}

}  // namespace
}  // namespace tarn::metrics
