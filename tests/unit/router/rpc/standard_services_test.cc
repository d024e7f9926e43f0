// What a load balancer's probe and a tool like grpcurl ask of a router.
#include <gtest/gtest.h>

#include "tests/unit/router/rpc/router_fixture.h"
#include "tests/unit/rpc/standard_services.h"

namespace tarn::router {
namespace {

class StandardServices : public RouterTest {
 protected:
  // Knows the cluster's CA, and has nothing to show.
  std::shared_ptr<grpc::Channel> anybody() const {
    rpc::TlsMaterial tls;
    tls.ca_pem = secrets_dir().ca_pem().value();
    return channel(tls);
  }
};

TEST_F(StandardServices, tell_the_routers_health_to_anybody) {
  const rpc::RawAnswer health = rpc::ask_health(anybody());
  EXPECT_TRUE(health.status.ok()) << health.status.error_message();
  EXPECT_EQ(health.bytes, rpc::kServing);
  EXPECT_EQ(rpc::ask_health(anybody(), "no.such.Service").status.error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(StandardServices, tell_nothing_else_to_anybody) {
  const auto channel = anybody();
  ASSERT_TRUE(rpc::ask_health(channel).status.ok());
  Call call;
  v1::ClusterConfig config;
  EXPECT_EQ(code_of(v1::Cluster::NewStub(channel)->GetConfig(&call, {}, &config)),
            Code::unauthenticated);
}

TEST_F(StandardServices, answer_no_more_once_the_router_has_gone) {
  const auto channel = anybody();
  ASSERT_TRUE(rpc::ask_health(channel).status.ok());
  router.reset();
  EXPECT_EQ(rpc::ask_health(channel).status.error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(StandardServices, list_and_describe_what_a_router_serves) {
  const auto channel = anybody();
  EXPECT_EQ(rpc::listed_services(channel, "tarn."),
            (std::set<std::string>{"tarn.v1.Admin", "tarn.v1.Cluster", "tarn.v1.Lookup",
                                   "tarn.v1.Sessions", "tarn.v1.Spaces", "tarn.v1.Tickets",
                                   "tarn.v1.Workers"}));
  const auto methods = rpc::described_methods(channel, "tarn.v1.", "Tickets");
  EXPECT_TRUE(methods.contains("IssueTicket"));
  EXPECT_EQ(rpc::described_methods(channel, "tarn.v1.", "NoSuchService"), std::set<std::string>{});
}

}  // namespace
}  // namespace tarn::router
