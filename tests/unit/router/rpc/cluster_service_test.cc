#include <map>
#include <string>

#include <gtest/gtest.h>

#include "tests/unit/router/rpc/router_fixture.h"

namespace tarn::router {
namespace {

using ClusterServiceTest = RouterTest;

TEST_F(ClusterServiceTest, shows_ticket_keys_to_servers_and_routers_only) {
  EXPECT_EQ(config_as(Role::server, "s1").ticket_keys_size(), 1);
  EXPECT_EQ(config_as(Role::router, "router-1").ticket_keys_size(), 1);
  EXPECT_EQ(config_as(Role::tenant, "demo").ticket_keys_size(), 0);
  EXPECT_EQ(config_as(Role::worker, "demo/w1").ticket_keys_size(), 0);
  EXPECT_EQ(config_as(Role::admin, "ops").ticket_keys_size(), 0);
  EXPECT_EQ(config_as(Role::tenant, "demo").epoch(), 1u);
}

TEST_F(ClusterServiceTest, refuses_who_shows_nothing_or_an_expired_token) {
  rpc::TlsMaterial tls = with_token(Role::tenant, "demo");
  tls.token.clear();
  v1::ClusterConfig config;
  {
    Call call;
    const auto stub = v1::Cluster::NewStub(channel(tls));
    EXPECT_EQ(code_of(stub->GetConfig(&call, {}, &config)), Code::unauthenticated);
  }
  tls.token = token(Role::tenant, "demo", -120'000);
  Call call;
  const auto stub = v1::Cluster::NewStub(channel(tls));
  EXPECT_EQ(code_of(stub->GetConfig(&call, {}, &config)), Code::unauthenticated);
}

TEST_F(ClusterServiceTest, joins_servers_that_beat_and_acts_on_a_death_within_a_second) {
  restart_with_dead_after(RouterOptions().timing.dead_after);
  BeatingServer s1(as(Role::server, "s1"), "s1");
  BeatingServer s2(as(Role::server, "s2"), "s2");
  v1::HeartbeatResponse answer;
  ASSERT_TRUE(s1.tell(&answer));
  EXPECT_EQ(answer.server_id(), 0u);
  EXPECT_EQ(answer.dead_after_ms(), 600u);
  ASSERT_TRUE(s2.tell(&answer));
  ASSERT_TRUE(eventually([&] {
    EXPECT_TRUE(s1.tell(&answer));
    v1::HeartbeatResponse other;
    EXPECT_TRUE(s2.tell(&other));
    return answer.server_id() != 0 && other.server_id() != 0;
  }));
  const v1::ClusterConfig joined = config_as(Role::server, "s1");
  EXPECT_EQ(joined.epoch(), 2u);
  EXPECT_EQ(joined.members_size(), 2);
  EXPECT_EQ(joined.slots_size(), 1024);

  (void)s2.end();
  const Instant died = system_clock().now();
  ASSERT_TRUE(eventually([&] {
    EXPECT_TRUE(s1.tell(&answer));
    return answer.epoch() == 3;
  }));
  EXPECT_LT(system_clock().now() - died, Millis(1000));
  std::map<std::string, v1::MemberState> states;
  const v1::ClusterConfig after = config_as(Role::server, "s1");
  for (const auto& member : after.members())
    states[member.name()] = member.state();
  EXPECT_EQ(states["s1"], v1::MEMBER_STATE_UP);
  EXPECT_EQ(states["s2"], v1::MEMBER_STATE_DOWN);
}

TEST_F(ClusterServiceTest, takes_heartbeats_from_servers_under_their_own_names_only) {
  v1::HeartbeatResponse answer;
  BeatingServer tenant(as(Role::tenant, "demo"), "s1");
  EXPECT_FALSE(tenant.tell(&answer));
  EXPECT_EQ(code_of(tenant.end()), Code::permission_denied);
  BeatingServer liar(as(Role::server, "s1"), "s2");
  EXPECT_FALSE(liar.tell(&answer));
  EXPECT_EQ(code_of(liar.end()), Code::permission_denied);
  BeatingServer wrong(as(Role::server, "s1"), "s1");
  wrong.beat.set_lanes(0);
  EXPECT_FALSE(wrong.tell(&answer));
  EXPECT_EQ(code_of(wrong.end()), Code::invalid_argument);
  EXPECT_EQ(config_as(Role::tenant, "demo").members_size(), 0);
}

TEST_F(ClusterServiceTest, streams_each_new_config) {
  const auto stub = v1::Cluster::NewStub(as(Role::tenant, "demo"));
  Call call;
  const auto stream = stub->WatchConfig(&call, {});
  v1::ClusterConfig config;
  ASSERT_TRUE(stream->Read(&config));
  EXPECT_EQ(config.epoch(), 1u);
  BeatingServer s1(as(Role::server, "s1"), "s1");
  EXPECT_EQ(s1.join(), 1u);
  ASSERT_TRUE(stream->Read(&config));
  EXPECT_EQ(config.epoch(), 2u);
  EXPECT_EQ(config.ticket_keys_size(), 0);
  call.TryCancel();
  (void)stream->Finish();
}

TEST_F(ClusterServiceTest, starts_again_from_the_authority_without_its_state_folder) {
  {
    BeatingServer s1(as(Role::server, "s1"), "s1");
    EXPECT_EQ(s1.join(), 1u);
  }
  router.reset();
  std::filesystem::remove_all(options.state_dir);
  start();
  const v1::ClusterConfig config = config_as(Role::server, "s1");
  EXPECT_EQ(config.epoch(), 2u);
  EXPECT_EQ(config.members_size(), 1);
  BeatingServer again(as(Role::server, "s1"), "s1");
  EXPECT_EQ(again.join(), 1u);
  EXPECT_EQ(config_as(Role::server, "s1").epoch(), 2u);
}

TEST_F(ClusterServiceTest, ends_its_streams_when_it_closes) {
  const auto stub = v1::Cluster::NewStub(as(Role::tenant, "demo"));
  Call call;
  const auto stream = stub->WatchConfig(&call, {});
  v1::ClusterConfig config;
  ASSERT_TRUE(stream->Read(&config));
  BeatingServer s1(as(Role::server, "s1"), "s1");
  v1::HeartbeatResponse answer;
  ASSERT_TRUE(s1.tell(&answer));
  router.reset();
  EXPECT_FALSE(stream->Read(&config));
  EXPECT_FALSE(stream->Finish().ok());
}

TEST_F(ClusterServiceTest, takes_plain_tcp_with_tokens_only_where_told_to) {
  router.reset();
  options.insecure_loopback = true;
  start();
  EXPECT_EQ(channel(with_token(Role::tenant, "demo")) != nullptr, true);
  v1::ClusterConfig config;
  const auto stub = v1::Cluster::NewStub(channel(with_token(Role::tenant, "demo")));
  EXPECT_TRUE(eventually([&] {
    Call call;
    return stub->GetConfig(&call, {}, &config).ok();
  }));
  router.reset();
  options.listen = "0.0.0.0:0";
  EXPECT_EQ(Router::open(options).status().code(), Code::invalid_argument);
}

}  // namespace
}  // namespace tarn::router
