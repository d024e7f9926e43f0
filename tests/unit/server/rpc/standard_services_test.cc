// What an orchestrator's probe and a tool like grpcurl ask of a storage server.
#include <gtest/gtest.h>

#include "tests/unit/rpc/standard_services.h"
#include "tests/unit/server/rpc/server_rig.h"

namespace tarn::server {
namespace {

class StandardServices : public ServerTest {
 protected:
  static std::shared_ptr<grpc::Channel> anybody(const Server& server) {
    return rpc::open_channel(server.advertised(), auth::Role::server, nothing_to_show()).value();
  }

  static Code stats_as(const std::shared_ptr<grpc::Channel>& channel) {
    grpc::ClientContext context;
    rpc::set_timeout(context, Millis(5000));
    v1::GetStatsResponse stats;
    return rpc::from_grpc(v1::StorageControl::NewStub(channel)->GetStats(&context, {}, &stats))
        .code();
  }
};

TEST_F(StandardServices, HealthIsToldToAnybodyAndNothingElse) {
  const auto channel = anybody(start(options("s1")));
  const rpc::RawAnswer health = rpc::ask_health(channel);
  EXPECT_TRUE(health.status.ok()) << health.status.error_message();
  EXPECT_EQ(health.bytes, rpc::kServing);
  EXPECT_EQ(rpc::ask_health(channel, "no.such.Service").status.error_code(),
            grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(stats_as(channel), Code::unauthenticated);
}

TEST_F(StandardServices, ADrainingServerSendsCallersElsewhereAndServesThoseItHas) {
  Server& server = start(options("s1"));
  const auto channel = anybody(server);
  ASSERT_EQ(rpc::ask_health(channel).bytes, rpc::kServing);
  server.drain();
  const rpc::RawAnswer health = rpc::ask_health(channel);
  EXPECT_TRUE(health.status.ok()) << health.status.error_message();
  EXPECT_EQ(health.bytes, rpc::kNotServing);
  const auto admin = rpc::open_channel(server.advertised(), auth::Role::server,
                                       material_of(auth::Role::admin, "op"))
                         .value();
  EXPECT_EQ(stats_as(admin), Code::ok);
}

TEST_F(StandardServices, ReflectionListsAndDescribesWhatAServerServes) {
  const auto channel = anybody(start(options("s1")));
  EXPECT_EQ(rpc::listed_services(channel, "tarn."),
            (std::set<std::string>{"tarn.v1.SessionStore", "tarn.v1.StorageBulk",
                                   "tarn.v1.StorageControl"}));
  EXPECT_TRUE(rpc::described_methods(channel, "tarn.v1.", "StorageControl").contains("Connect"));
}

}  // namespace
}  // namespace tarn::server
