#include "server/rpc/last_config.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include <gtest/gtest.h>

#include "common/base/fault_point.h"
#include "common/ring/slots.h"
#include "proto/tarn/v1/sessions.grpc.pb.h"
#include "tests/unit/server/rpc/server_rig.h"

namespace tarn::server {
namespace {

class LastConfig : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/tarn-last-config-XXXXXX";
    x_place = {::mkdtemp(name), "s1", {77}};
  }
  void TearDown() override {
    fault::disarm_all();
    std::filesystem::remove_all(x_place.folder);
  }

  static ring::ClusterConfig config(uint64_t epoch) {
    ring::ClusterConfig made;
    made.epoch = {epoch};
    made.cluster = "test";
    for (uint32_t id = 1; id <= 2; ++id) {
      ring::Member member;
      member.id = {id};
      member.name = "s" + std::to_string(id);
      member.control_endpoint = "127.0.0.1:" + std::to_string(7000 + id);
      member.incarnation = {76 + id};
      member.state = ring::MemberState::up;
      made.members.push_back(member);
    }
    made.ticket_keys.push_back(*auth::make_ticket_key(1, 0));
    made.slots = ring::assign_slots(made);
    made.revocations["acme"] = 4;
    return made;
  }

  std::string bytes() const {
    std::ifstream file(x_place.path(), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void write(const std::string& bytes) const {
    std::ofstream(x_place.path(), std::ios::binary | std::ios::trunc) << bytes;
    ::chmod(x_place.path().c_str(), 0600);
  }
  Status read_status() const { return read_last_config(x_place).status(); }

  LastConfigPlace x_place;
};

TEST_F(LastConfig, ComesBackAsItWas) {
  EXPECT_EQ(read_status().code(), Code::not_found);
  for (const uint64_t epoch : {3u, 4u}) {
    ASSERT_TRUE(keep_config(x_place, config(epoch)).is_ok());
    const auto kept = read_last_config(x_place);
    ASSERT_TRUE(kept.has_value()) << kept.error().to_string();
    EXPECT_EQ(kept->epoch, Epoch{epoch});
    EXPECT_EQ(kept->slots, config(epoch).slots);
    EXPECT_EQ(kept->members, config(epoch).members);
    EXPECT_EQ(kept->revocations.at("acme"), 4u);
    EXPECT_EQ(kept->ticket_keys.size(), 1u);
  }
  struct stat found {};
  ASSERT_EQ(::stat(x_place.path().c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0600u) << "the keys of tickets are in it";
}

TEST_F(LastConfig, AnyDamageIsCorruptAndNamesTheFile) {
  ASSERT_TRUE(keep_config(x_place, config(3)).is_ok());
  const std::string whole = bytes();
  for (size_t size = 0; size < whole.size(); size = size * 2 + 1) {
    write(whole.substr(0, size));
    EXPECT_EQ(read_status().code(), Code::corrupt) << "cut to " << size;
  }
  for (size_t at = 0; at < whole.size(); at += 1 + at / 8) {
    std::string bent = whole;
    bent[at] = static_cast<char>(bent[at] ^ 0x10);
    write(bent);
    EXPECT_EQ(read_status().code(), Code::corrupt) << "bit at " << at;
    EXPECT_NE(read_status().message().find(x_place.path()), std::string::npos);
  }
  write(whole + "x");
  EXPECT_EQ(read_status().code(), Code::corrupt);
}

TEST_F(LastConfig, OfAnotherServerOrAnEarlierLifeIsRefused) {
  ASSERT_TRUE(keep_config(x_place, config(3)).is_ok());
  struct {
    LastConfigPlace place;
    const char* says;
  } const cases[] = {{{x_place.folder, "s1", {78}}, "earlier life"},
                     {{x_place.folder, "s2", {77}}, "does not know server s2"},
                     {{x_place.folder, "s9", {77}}, "does not know server s9"}};
  for (const auto& each : cases) {
    const auto refused = read_last_config(each.place);
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code(), Code::conflict);
    EXPECT_NE(refused.error().message().find(each.says), std::string::npos)
        << refused.error().message();
  }
}

TEST_F(LastConfig, AFileThatOthersMayReadIsRefusedWithTheCommandThatMendsIt) {
  ASSERT_TRUE(keep_config(x_place, config(3)).is_ok());
  ::chmod(x_place.path().c_str(), 0644);
  EXPECT_EQ(read_status().code(), Code::permission_denied);
  EXPECT_NE(read_status().message().find("chmod 600"), std::string::npos);
}

TEST_F(LastConfig, AWriteThatFailsLeavesTheOneBefore) {
  ASSERT_TRUE(keep_config(x_place, config(3)).is_ok());
  for (const char* point : {"server.keep_config", "auth.secrets_write", "auth.secrets_rename"}) {
    fault::arm(point, {});
    EXPECT_EQ(keep_config(x_place, config(4)).code(), Code::unavailable) << point;
    EXPECT_EQ(read_last_config(x_place)->epoch, Epoch{3}) << point;
  }
  EXPECT_TRUE(keep_config(x_place, config(4)).is_ok());
  EXPECT_EQ(read_last_config(x_place)->epoch, Epoch{4});
}

// A whole server that dies and comes back at the same address.
class RestartedServer : public ServerTest {
 protected:
  // Serves under a config that gives it all session slots.
  Server& start_settled() {
    Server& server = start(options("s1", ""));
    x_router.change([](ring::ClusterConfig& config) { config.slots = ring::assign_slots(config); });
    EXPECT_TRUE(until([&] { return server.epoch() == x_router.config().epoch.value; }));
    x_port = server.port();
    return server;
  }

  void stop_server() {
    x_servers.back()->close();
    x_servers.clear();
  }

  Server& restart(std::vector<std::string> routers) {
    auto made = options("s1", "");
    made.listen = "127.0.0.1:" + std::to_string(x_port);
    made.routers = std::move(routers);
    auto server = Server::open(made);
    EXPECT_TRUE(server.has_value()) << server.error().to_string();
    x_servers.push_back(std::move(*server));
    return *x_servers.back();
  }

  v1::SessionResult run(Server& server, v1::SessionCommand command) {
    const auto channel = rpc::open_channel(server.advertised(), auth::Role::server,
                                           material_of(auth::Role::router, "r1"))
                             .value();
    command.set_tenant("acme");
    grpc::ClientContext context;
    rpc::set_timeout(context, Millis(5000));
    v1::SessionResult result;
    const auto status = v1::SessionStore::NewStub(channel)->Execute(&context, command, &result);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return result;
  }

  static v1::SessionCommand create() {
    v1::SessionCommand command;
    command.mutable_create()->set_session_id("s");
    command.mutable_create()->set_space(std::string(16, 's'));
    command.mutable_create()->set_request_id(std::string(16, 'r'));
    return command;
  }
  static v1::SessionCommand resolve() {
    v1::SessionCommand command;
    command.mutable_resolve()->set_session_id("s");
    return command;
  }

  std::string file() const { return x_data + "/s1/last_config"; }

  uint16_t x_port = 0;
};

TEST_F(RestartedServer, GoesOnUnderItsLastConfigWhileAllRoutersAreAway) {
  Server& before = start_settled();
  const uint64_t epoch = before.epoch();
  ASSERT_EQ(run(before, create()).outcome(), v1::OUTCOME_OK);
  x_router.stop();
  stop_server();
  Server& after = restart({x_router.endpoint()});
  EXPECT_EQ(after.epoch(), epoch);
  EXPECT_EQ(run(after, resolve()).outcome(), v1::OUTCOME_OK) << "sessions";
  TestClient client(x_router, after.advertised(), fabric::Kind::grpc);
  const Status connected = client.connect(client.ticket("acme"));
  ASSERT_TRUE(connected.is_ok()) << connected.to_string();
  EXPECT_EQ(client.put_in_time(1, 1000), Code::ok) << client.message;
  EXPECT_EQ(client.get(1, 1000), Code::ok);
}

TEST_F(RestartedServer, TheFirstConfigOfARouterReplacesItWhateverItsEpoch) {
  Server& before = start_settled();
  for (int i = 0; i < 5; ++i)
    x_router.change([](ring::ClusterConfig&) {});
  ASSERT_TRUE(until([&] { return before.epoch() == x_router.config().epoch.value; }));
  const uint64_t kept = before.epoch();
  x_router.stop();
  stop_server();
  FakeRouter anew(secrets_dir(), "r1");
  Server& after = restart({anew.endpoint()});
  ASSERT_TRUE(anew.wait_for_members(1));
  ASSERT_TRUE(until([&] { return after.epoch() == anew.config().epoch.value; }));
  EXPECT_LT(after.epoch(), kept);
  TestClient client(anew, after.advertised(), fabric::Kind::grpc);
  ASSERT_TRUE(client.connect(client.ticket("acme")).is_ok());
  EXPECT_EQ(client.put_in_time(1, 1000), Code::ok) << client.message;
  stop_server();
  anew.stop();
  EXPECT_LT(restart({}).epoch(), kept) << "and it is the one that is kept now";
}

TEST_F(RestartedServer, WithoutAFileThatItMayTrustItWaitsForARouter) {
  start_settled();
  x_router.stop();
  stop_server();
  std::ofstream(file(), std::ios::app) << "x";
  EXPECT_EQ(restart({}).epoch(), 0u) << "damaged";
  TestClient client(x_router, x_servers.back()->advertised(), fabric::Kind::grpc);
  const Status refused = client.connect(client.ticket("acme"));
  EXPECT_EQ(refused.code(), Code::unavailable);
  EXPECT_NE(refused.message().find("no config"), std::string::npos) << refused.message();
  stop_server();
}

TEST_F(RestartedServer, AWipedSessionFolderMakesTheConfigForeign) {
  start_settled();
  x_router.stop();
  stop_server();
  std::filesystem::remove_all(x_data + "/s1/sessions");
  Server& after = restart({});
  EXPECT_EQ(after.epoch(), 0u);
  EXPECT_EQ(run(after, resolve()).outcome(), v1::OUTCOME_UNAVAILABLE)
      << "never not_found from an empty log";
}

TEST_F(RestartedServer, AConfigThatCannotBeKeptIsInForceAllTheSame) {
  Server& server = start_settled();
  // It is in force before it is kept.
  ASSERT_TRUE(until([&] { return std::filesystem::exists(x_data + "/s1/last_config"); }));
  fault::arm("server.keep_config", {.times = 0});
  x_router.change([](ring::ClusterConfig&) {});
  EXPECT_TRUE(until([&] { return server.epoch() == x_router.config().epoch.value; }));
  const uint64_t unkept = server.epoch();
  x_router.stop();
  stop_server();
  fault::disarm_all();
  const uint64_t after = restart({}).epoch();
  EXPECT_GT(after, 0u);
  EXPECT_LT(after, unkept);
}

}  // namespace
}  // namespace tarn::server
