// A handle of the wrong space could change a session: only reading was refused, and that by the
// SDK. An append through it wrote the other space's hashes into the manifest and was acknowledged;
// the conversation could not be resumed any more.
#include <gtest/gtest.h>

#include "sdk/cpp/src/credentials_dir.h"
#include "sdk/cpp/src/rpc_channels.h"
#include "sdk/cpp/src/rpc_sessions.h"
#include "tests/unit/router/session/session_cluster.h"

namespace tarn::router {
namespace {

constexpr SpaceId kOwn{{0x11}};
constexpr SpaceId kOther{{0x22}};

// The SDK's calls through a router to two storage servers.
class OtherSpace : public testing::Test {
 protected:
  void SetUp() override {
    ClientOptions options;
    options.endpoint = "plain://127.0.0.1:" + std::to_string(x_cluster.router_port());
    options.credentials = "/nonexistent";
    options.token = x_cluster.callers.material(auth::Role::tenant, "acme").token;
    auto source = sdk::CredentialSource::open(options);
    ASSERT_TRUE(source.has_value()) << source.error().to_string();
    auto channels = sdk::RouterChannels::open(*source);
    ASSERT_TRUE(channels.has_value()) << channels.error().to_string();
    x_channels = std::move(*channels);
    x_sessions = std::make_unique<sdk::RpcSessions>(*x_channels);
    ASSERT_TRUE(x_sessions->create({kOwn, "talk"}, 0, deadline()).has_value());
    ASSERT_TRUE(append_in(kOwn, 1, "own").has_value());
  }

  static Instant deadline() { return system_clock().now() + std::chrono::seconds(20); }
  Result<uint64_t> append_in(const SpaceId& space, uint64_t version, const std::string& hash) {
    const auto block = *block::BlockHash::from(hash);
    return x_sessions->append({{space, "talk"}, version}, {{block, {block, 0}}}, {}, deadline());
  }
  static void expect_refused(const Status& status) {
    EXPECT_EQ(status.code(), Code::invalid_argument);
    EXPECT_EQ(status.message(),
              "session 'talk' is of another space: open it in the space that it was created in");
  }

  SessionCluster x_cluster{2};
  std::unique_ptr<sdk::RouterChannels> x_channels;
  std::unique_ptr<sdk::RpcSessions> x_sessions;
};

TEST_F(OtherSpace, AppendsNothingToTheSession) {
  expect_refused(append_in(kOther, 2, "other").status());
  const auto resolved = x_sessions->resolve({kOwn, "talk"}, deadline());
  ASSERT_TRUE(resolved.has_value()) << resolved.status().to_string();
  EXPECT_EQ(resolved->manifest.version, 2u);
  EXPECT_EQ(resolved->manifest.blocks, (std::vector<BlockHash>{"own"}));
  EXPECT_TRUE(append_in(kOwn, 2, "more").has_value()) << "the session's own handle goes on";
}

TEST_F(OtherSpace, NeitherReadsNorForksNorPinsNorDeletesIt) {
  const sdk::SessionName wrong{kOther, "talk"};
  const bool pinned = true;
  sdk::SessionUpdate pin;
  pin.pinned = &pinned;
  expect_refused(x_sessions->resolve(wrong, deadline()).status());
  expect_refused(x_sessions->fork(wrong, "child", deadline()).status());
  expect_refused(x_sessions->truncate({wrong, 2}, {}, deadline()).status());
  expect_refused(x_sessions->update(wrong, pin, deadline()));
  expect_refused(x_sessions->remove(wrong, deadline()));
  EXPECT_EQ(x_sessions->resolve({kOwn, "child"}, deadline()).status().code(), Code::not_found);
  const auto resolved = x_sessions->resolve({kOwn, "talk"}, deadline());
  ASSERT_TRUE(resolved.has_value()) << resolved.status().to_string();
  EXPECT_EQ(resolved->manifest.version, 2u);
  EXPECT_FALSE(resolved->manifest.pinned);
}

TEST_F(OtherSpace, IsNotWhereTheChildOfAForkLies) {
  ASSERT_TRUE(x_sessions->fork({kOwn, "talk"}, "child", deadline()).has_value());
  EXPECT_TRUE(x_sessions->resolve({kOwn, "child"}, deadline()).has_value());
  EXPECT_EQ(x_sessions->remove({kOther, "child"}, deadline()).code(), Code::invalid_argument);
  EXPECT_EQ(x_sessions->remove({kOwn, "child"}, deadline()), Status::ok());
}

}  // namespace
}  // namespace tarn::router
