#include "server/object/s3/s3_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "tests/unit/server/object/s3_server.h"

namespace tarn::object {
namespace {

using testing::HasSubstr;

constexpr Nanos kWithin = std::chrono::seconds(20);

// Waits for the one answer of a call.
template <typename Value>
class Answer {
 public:
  auto done() {
    return [promise = x_promise](Value value) { promise->set_value(std::move(value)); };
  }
  Value get() { return x_promise->get_future().get(); }

 private:
  std::shared_ptr<std::promise<Value>> x_promise = std::make_shared<std::promise<Value>>();
};

class SkewedClock : public Clock {
 public:
  Instant now() const override { return system_clock().now(); }
  int64_t unix_ms() const override { return system_clock().unix_ms() - 3'600'000; }
};

class S3ClientTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    s_server = std::make_unique<S3Server>();
    s_server->make_bucket("bucket");
  }
  static void TearDownTestSuite() { s_server.reset(); }
  void TearDown() override { s_server->fault(R"({"clear": true})"); }

  static std::unique_ptr<S3Client> client(const std::string& url = "s3://bucket/pre") {
    return S3Client::open(s_server->options(url)).value();
  }
  static Instant deadline(Nanos within = kWithin) { return system_clock().now() + within; }

  static std::vector<std::byte> bytes_of(size_t count) {
    std::vector<std::byte> bytes(count);
    for (size_t i = 0; i < count; ++i)
      bytes[i] = static_cast<std::byte>(i * 7 + (i >> 10));
    return bytes;
  }
  static Status put(S3Client& client, const std::string& key, std::span<const std::byte> bytes) {
    Answer<Status> answer;
    client.put({key, bytes, nullptr, deadline(), answer.done()});
    return answer.get();
  }
  static Status get(S3Client& client, const std::string& key, std::span<std::byte> into,
                    uint64_t offset = 0, Nanos within = kWithin) {
    Answer<Status> answer;
    client.get({key, offset, {into}, deadline(within), answer.done()});
    return answer.get();
  }
  static std::vector<std::string> list(S3Client& client, const std::string& prefix = "") {
    Answer<Result<std::vector<S3Object>>> answer;
    client.list(prefix, deadline(), answer.done());
    const auto listed = answer.get();
    EXPECT_TRUE(listed) << listed.status().to_string();
    std::vector<std::string> names;
    if (listed)
      for (const S3Object& object : *listed)
        names.push_back(object.key + " " + std::to_string(object.bytes));
    return names;
  }
  static Status remove(S3Client& client, const std::string& key) {
    Answer<Status> answer;
    client.remove(key, deadline(), answer.done());
    return answer.get();
  }
  // Requests of that method so far.
  static int count(const std::string& method) {
    const std::string counts = s_server->counts();
    const size_t at = counts.find("\"" + method + "\": ");
    return at == std::string::npos ? 0 : std::atoi(counts.c_str() + at + method.size() + 4);
  }
  static Status check(S3Client& client) {
    Answer<Status> answer;
    client.check_bucket(deadline(), answer.done());
    return answer.get();
  }

  static std::unique_ptr<S3Server> s_server;
};
std::unique_ptr<S3Server> S3ClientTest::s_server;

TEST_F(S3ClientTest, AnObjectComesBackInRanges) {
  const auto own = client();
  EXPECT_EQ(check(*own), Status::ok());
  const auto bytes = bytes_of(100'000);
  ASSERT_EQ(put(*own, "a b+c", bytes), Status::ok());
  EXPECT_THAT(list(*own), testing::ElementsAre("a b+c 100000"));
  std::vector<std::byte> got(1000);
  ASSERT_EQ(get(*own, "a b+c", got, 5000), Status::ok());
  EXPECT_EQ(std::memcmp(got.data(), bytes.data() + 5000, got.size()), 0);
  // One range into several places.
  std::vector<std::byte> first(10);
  std::vector<std::byte> second(20);
  Answer<Status> answer;
  own->get({"a b+c", 7, {first, second}, deadline(), answer.done()});
  ASSERT_EQ(answer.get(), Status::ok());
  EXPECT_EQ(std::memcmp(first.data(), bytes.data() + 7, 10), 0);
  EXPECT_EQ(std::memcmp(second.data(), bytes.data() + 17, 20), 0);
  EXPECT_EQ(get(*own, "none", got).code(), Code::not_found);
  EXPECT_EQ(get(*own, "a b+c", got, 100'000).code(), Code::not_found);
  EXPECT_EQ(get(*own, "a b+c", got, 99'500).code(), Code::not_found);
  EXPECT_EQ(remove(*own, "a b+c"), Status::ok());
  EXPECT_EQ(remove(*own, "a b+c"), Status::ok());
  EXPECT_TRUE(list(*own).empty());
}

TEST_F(S3ClientTest, ALargeOneGoesInPartsAndNothingStaysOfOneThatFails) {
  S3Options options = s_server->options("s3://bucket/large");
  options.part_bytes = 5u << 20;
  const auto own = S3Client::open(std::move(options)).value();
  const auto bytes = bytes_of((12u << 20) + 77);
  ASSERT_EQ(put(*own, "x", bytes), Status::ok());
  std::vector<std::byte> got(bytes.size());
  ASSERT_EQ(get(*own, "x", got), Status::ok());
  EXPECT_TRUE(got == bytes);
  const int deleted = count("DELETE");
  s_server->fault(R"({"status": 403, "code": "AccessDenied", "method": "PUT", "times": 1})");
  EXPECT_EQ(put(*own, "y", bytes).code(), Code::permission_denied);
  EXPECT_EQ(count("DELETE"), deleted + 1);  // of the upload
  EXPECT_THAT(list(*own), testing::ElementsAre("x 12582989"));
}

TEST_F(S3ClientTest, AListOfManyPages) {
  const auto own = client("s3://bucket/many");
  std::vector<Answer<Status>> answers(1100);
  const auto bytes = bytes_of(1);
  S3Options options = s_server->options("s3://bucket/many");
  options.loop.waiting_max = 2000;
  const auto writer = S3Client::open(std::move(options)).value();
  for (size_t i = 0; i < answers.size(); ++i)
    writer->put({"k" + std::to_string(i), bytes, nullptr, deadline(), answers[i].done()});
  for (auto& answer : answers)
    ASSERT_EQ(answer.get(), Status::ok());
  EXPECT_EQ(list(*own).size(), answers.size());
}

TEST_F(S3ClientTest, WhatFailsInPassingIsTriedAgain) {
  const auto own = client();
  const auto bytes = bytes_of(1000);
  s_server->fault(R"({"status": 503, "code": "SlowDown", "times": 3})");
  EXPECT_EQ(put(*own, "retried", bytes), Status::ok());
  s_server->fault(R"({"cut": true, "method": "GET", "times": 2})");
  std::vector<std::byte> got(1000);
  EXPECT_EQ(get(*own, "retried", got), Status::ok());
  EXPECT_TRUE(got == bytes);
  s_server->fault(R"({"status": 500, "times": 100})");
  EXPECT_EQ(get(*own, "retried", got).code(), Code::unavailable);
}

TEST_F(S3ClientTest, NothingLastsLongerThanItsDeadline) {
  const auto own = client();
  ASSERT_EQ(put(*own, "slow", bytes_of(1000)), Status::ok());
  std::vector<std::byte> got(1000);
  s_server->fault(R"({"delay_s": 3, "times": 1})");
  const Instant begun = system_clock().now();
  EXPECT_EQ(get(*own, "slow", got, 0, std::chrono::milliseconds(200)).code(),
            Code::deadline_exceeded);
  s_server->fault(R"({"status": 503, "times": 100})");
  EXPECT_NE(get(*own, "slow", got, 0, std::chrono::milliseconds(100)), Status::ok());
  EXPECT_LT(system_clock().now() - begun, std::chrono::seconds(2));
}

TEST_F(S3ClientTest, WhoIsRefusedIsToldWhy) {
  S3Options options = s_server->options("s3://bucket/");
  options.environment = [](const std::string& name) -> std::string {
    if (name == "AWS_ACCESS_KEY_ID") return "test-id";
    return name == "AWS_SECRET_ACCESS_KEY" ? "wrong" : "";
  };
  const auto wrong = S3Client::open(std::move(options)).value();
  const Status refused = put(*wrong, "x", bytes_of(10));
  EXPECT_EQ(refused.code(), Code::permission_denied);
  EXPECT_THAT(refused.message(), HasSubstr("SignatureDoesNotMatch"));
  EXPECT_EQ(check(*wrong).code(), Code::permission_denied);

  const Status none = check(*client("s3://no-such-bucket/"));
  EXPECT_EQ(none.code(), Code::invalid_argument);
  EXPECT_THAT(none.message(), HasSubstr("make it"));

  const SkewedClock clock;
  S3Options late = s_server->options("s3://bucket/");
  late.loop.clock = &clock;
  const Status skewed = put(*S3Client::open(std::move(late)).value(), "x", bytes_of(10));
  EXPECT_EQ(skewed.code(), Code::unauthenticated);
  EXPECT_THAT(skewed.message(), HasSubstr("set the clock"));

  s_server->fault(R"({"status": 507, "method": "PUT", "times": 1})");
  const Status full = put(*client(), "x", bytes_of(10));
  EXPECT_EQ(full.code(), Code::overloaded);
  EXPECT_THAT(full.message(), HasSubstr("full"));
}

TEST_F(S3ClientTest, AServerThatIsKilledOrStopped) {
  auto own_server = std::make_unique<S3Server>();
  own_server->make_bucket("bucket");
  const auto own = S3Client::open(own_server->options("s3://bucket/")).value();
  ASSERT_EQ(put(*own, "x", bytes_of(10)), Status::ok());
  std::vector<std::byte> got(10);
  own_server->stop();
  EXPECT_EQ(get(*own, "x", got, 0, std::chrono::milliseconds(200)).code(), Code::deadline_exceeded);
  own_server->go_on();
  EXPECT_EQ(get(*own, "x", got), Status::ok());
  own_server->kill();
  EXPECT_EQ(get(*own, "x", got, 0, std::chrono::seconds(2)).code(), Code::unavailable);
}

TEST_F(S3ClientTest, OverTls) {
  const std::string ca = testing::TempDir() + "/s3_client_tls_ca.pem";
  S3Server secure(ca);
  S3Options options = secure.options("s3://bucket/");
  const auto stranger = S3Client::open(options).value();
  const Status refused = check(*stranger);
  EXPECT_EQ(refused.code(), Code::permission_denied) << refused.to_string();
  EXPECT_THAT(refused.message(), HasSubstr("AWS_CA_BUNDLE"));
  options.loop.ca_file = ca;
  const auto own = S3Client::open(options).value();
  EXPECT_EQ(check(*own).code(), Code::invalid_argument);  // there is no bucket yet
}

TEST_F(S3ClientTest, WhatIsUnderWayEndsWithTheClient) {
  auto own = client();
  s_server->fault(R"({"delay_s": 5, "times": 1})");
  std::vector<std::byte> got(10);
  Answer<Status> answer;
  own->get({"x", 0, {got}, deadline(), answer.done()});
  own->close();
  EXPECT_EQ(answer.get().code(), Code::unavailable);
  EXPECT_EQ(check(*own).code(), Code::unavailable);
}

}  // namespace
}  // namespace tarn::object
