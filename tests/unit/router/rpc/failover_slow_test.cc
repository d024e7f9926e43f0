#include <string>

#include <gtest/gtest.h>

#include "tests/unit/router/rpc/router_fixture.h"

namespace tarn::router {
namespace {

// Two routers and a real etcd.
class FailoverTest : public RouterTest {
 protected:
  void SetUp() override {
    options.authority = etcd.address();
    options.timing.dead_after = RouterOptions().timing.dead_after;
    start();
    RouterOptions second = options;
    second.name = "router-2";
    second.state_dir = folder.path() + "/state-2";
    auto opened = Router::open(second);
    ASSERT_TRUE(opened.has_value()) << opened.status().to_string();
    other = std::move(opened).value();
  }

  std::shared_ptr<grpc::Channel> other_as(Role role, const std::string& name) const {
    return rpc::open_channel("127.0.0.1:" + std::to_string(other->port()), Role::router,
                             with_token(role, name))
        .value();
  }
  v1::GetStatusResponse other_status() const {
    Call call;
    v1::GetStatusResponse response;
    const auto stub = v1::Admin::NewStub(other_as(Role::admin, "ops"));
    EXPECT_TRUE(stub->GetStatus(&call, {}, &response).ok());
    return response;
  }

  testing::EtcdProcess etcd;
  std::unique_ptr<Router> other;
};

TEST_F(FailoverTest, hands_the_cluster_to_the_other_router) {
  ASSERT_TRUE(eventually(
      [&] { return status_as(Role::admin, "ops").controller() != other_status().controller(); }));
  if (other_status().controller()) std::swap(router, other);
  BeatingServer here(as(Role::server, "s1"), "s1");
  BeatingServer there(other_as(Role::server, "s1"), "s1");
  v1::HeartbeatResponse answer;
  ASSERT_TRUE(eventually([&] {
    EXPECT_TRUE(here.tell(&answer));
    EXPECT_TRUE(there.tell(&answer));
    return answer.server_id() == 1;
  }));
  EXPECT_EQ(other_status().epoch(), 2u);
  router.reset();
  EXPECT_TRUE(eventually([&] {
    EXPECT_TRUE(there.tell(&answer));
    return other_status().controller();
  }));
  // The server beat to both, so nothing happened to it.
  EXPECT_EQ(other_status().epoch(), 2u);
  EXPECT_EQ(other_status().servers(0).state(), "up");
}

TEST_F(FailoverTest, takes_an_operators_word_at_either_router) {
  ASSERT_TRUE(eventually([&] { return other_status().epoch() == 1; }));
  v1::RevokeTenantRequest request;
  request.set_tenant("demo");
  for (const auto& channel : {as(Role::admin, "ops"), other_as(Role::admin, "ops")}) {
    Call call;
    v1::RevokeTenantResponse response;
    const auto status = v1::Admin::NewStub(channel)->RevokeTenant(&call, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
  }
  EXPECT_TRUE(eventually(
      [&] { return other_status().epoch() == 3 && status_as(Role::admin, "ops").epoch() == 3; }));
}

TEST_F(FailoverTest, says_what_waits_while_etcd_is_down_and_does_it_after) {
  other.reset();
  BeatingServer s1(as(Role::server, "s1"), "s1");
  ASSERT_EQ(s1.join(), 1u);
  etcd.end(SIGKILL);
  (void)s1.end();
  EXPECT_TRUE(eventually([&] {
    const auto status = status_as(Role::admin, "ops");
    return !status.authority_reachable() && status.pending_change() == "s1 is down";
  }));
  EXPECT_EQ(config_as(Role::tenant, "demo").epoch(), 2u);
  Call call;
  v1::IssueTicketResponse ticket;
  const auto tickets = v1::Tickets::NewStub(as(Role::tenant, "demo"));
  EXPECT_TRUE(tickets->IssueTicket(&call, {}, &ticket).ok());
  etcd.start();
  EXPECT_TRUE(eventually([&] { return status_as(Role::admin, "ops").epoch() == 3; }));
  EXPECT_EQ(status_as(Role::admin, "ops").pending_change(), "");
}

}  // namespace
}  // namespace tarn::router
