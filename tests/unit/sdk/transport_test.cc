#include <gmock/gmock.h>

#include "sdk/cpp/src/ports.h"
#include "tests/unit/sdk/kv_fixture.h"

namespace tarn::sdk {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST_F(KvTest, UcxIsTakenWhereBothHaveIt) {
  start(1, {}, true);
  Chain chain("a", 6, 400'000);
  EXPECT_THAT(put(chain), ElementsAre(Outcome::ok));
  EXPECT_THAT(get(chain), ElementsAre(Outcome::ok));
  EXPECT_TRUE(chain.is_whole());
  ASSERT_EQ(client->connections().size(), 1u);
  EXPECT_THAT(client->connections()[0].transport, StartsWith("ucx: "));
}

TEST_F(KvTest, AServerWithoutUcxIsReachedByGrpc) {
  start(1);
  ClientOptions options = cluster->options();
  options.transport = Transport::automatic;
  client.emplace(Client::connect(options).value());
  space.emplace(open());
  Chain chain("a", 2);
  EXPECT_THAT(put(chain), ElementsAre(Outcome::ok));
  const ConnectionInfo info = client->connections().at(0);
  EXPECT_THAT(info.transport, StartsWith("grpc"));
  EXPECT_THAT(info.note, HasSubstr("switched off"));
}

// Whatever was asked for, the bytes go, and the report says how and why.
TEST_F(KvTest, EveryTransportThatIsAskedForEndsInOneThatWorksAndIsReported) {
  const struct {
    Transport wanted;
    bool server_has_ucx;
    const char* taken;
    const char* note;
  } cases[] = {
      {Transport::grpc, true, "grpc", ""},
      {Transport::grpc, false, "grpc", ""},
      {Transport::tcp, true, "ucx: ", ""},
      {Transport::tcp, false, "grpc", "switched off"},
      {Transport::automatic, true, "ucx: ", ""},
      {Transport::shm, true, "grpc", "switched off"},
      {Transport::shm, false, "grpc", "switched off"},
  };
  for (const auto& each : cases) {
    cluster = std::make_unique<FakeCluster>(1, each.server_has_ucx);
    ClientOptions options = cluster->options();
    options.transport = each.wanted;
    client.emplace(Client::connect(options).value());
    EXPECT_TRUE(client->connections().empty()) << "nobody was talked to yet";
    space.emplace(open());
    Chain chain("a", 3, 200'000);
    EXPECT_THAT(put(chain), ElementsAre(Outcome::ok));
    EXPECT_THAT(get(chain), ElementsAre(Outcome::ok));
    EXPECT_TRUE(chain.is_whole());
    const ConnectionInfo info = client->connections().at(0);
    EXPECT_THAT(info.transport, StartsWith(each.taken)) << static_cast<int>(each.wanted);
    EXPECT_THAT(info.note, HasSubstr(each.note));
    EXPECT_EQ(info.server, "s1");
    EXPECT_THAT(info.endpoint, StartsWith("127.0.0.1:"));
    space.reset();
    client.reset();
  }
}

TEST_F(KvTest, AClientWithoutUcxGoesOnWithGrpc) {
  fault::arm("sdk.ucx_port", {fault::Action::fail, 0, 0, 0});
  start(1, {}, true);
  Chain chain("a", 2);
  EXPECT_THAT(put(chain), ElementsAre(Outcome::ok));
  EXPECT_THAT(client->connections().at(0).transport, StartsWith("grpc"));
}

TEST_F(KvTest, AFabricThatLeadsNowhereIsNotTriedAgain) {
  fault::arm("sdk.wire_up", {fault::Action::fail, 0, 1, 0});
  start(1, {}, true);
  Chain chain("a", 2);
  EXPECT_THAT(put(chain), ElementsAre(Outcome::ok));
  EXPECT_THAT(client->connections().at(0).transport, StartsWith("grpc"));
}

TEST_F(KvTest, ADeadServerIsNoticedOverUcxToo) {
  start(2, {}, true);
  Chain chain("a", 30);
  ASSERT_THAT(put(chain), ElementsAre(Outcome::ok));
  cluster->server(1).hang(true);
  CallOptions options;
  options.timeout_ms = 800;
  Transfer get = space->get_kv(chain.reads(), options);
  ASSERT_TRUE(get.wait());
  for (size_t i = 0; i < 30; ++i) {
    if (cluster->server(0).has(chain.hashes[i])) {
      EXPECT_EQ(get.outcomes()[i].outcome, Outcome::ok);
    } else {
      EXPECT_NE(get.outcomes()[i].outcome, Outcome::ok);
    }
  }
  cluster->server(1).hang(false);
}

TEST(Ports, TheDeviceLeadsToTheRouter) {
  EXPECT_EQ(device_towards("127.0.0.1:5000"), "lo");
  EXPECT_EQ(device_towards("[::1]:5000"), "lo");
  EXPECT_EQ(device_towards("no such host:1"), "lo");
}

}  // namespace
}  // namespace tarn::sdk
