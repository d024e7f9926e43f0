#include <chrono>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include <grpcpp/create_channel.h>

#include "router/member/authority.h"
#include "router/member/etcd_authority.h"
#include "router/member/etcd_client.h"
#include "tests/unit/router/etcd_process.h"

namespace tarn::member {
namespace {

using testing::EtcdProcess;
using testing::eventually;

ClusterState state_of(uint64_t epoch) {
  ClusterState state;
  state.config.epoch = {epoch};
  state.config.cluster = "test";
  return state;
}

std::unique_ptr<Authority> open_started(const EtcdProcess& etcd, const std::string& router) {
  auto authority = std::move(open_authority({etcd.address(), "test", router})).value();
  authority->start([] {});
  return authority;
}

TEST(EtcdAuthority, goes_on_under_the_last_config_while_etcd_is_down) {
  EtcdProcess etcd;
  const auto authority = open_started(etcd, "r1");
  ASSERT_TRUE(eventually([&] { return authority->holds_lock(); }));
  const uint64_t first = authority->compare_and_swap(state_of(1), 0).value();
  etcd.end(SIGKILL);
  EXPECT_EQ(authority->compare_and_swap(state_of(2), first).status().code(), Code::unavailable);
  EXPECT_TRUE(eventually([&] { return !authority->reachable() && !authority->holds_lock(); }));
  EXPECT_EQ(authority->latest()->state->config.epoch, Epoch{1});
  etcd.start();
  EXPECT_TRUE(eventually([&] { return authority->holds_lock(); }));
  EXPECT_TRUE(authority->compare_and_swap(state_of(2), first).has_value());
}

TEST(EtcdAuthority, ends_each_call_in_time_when_etcd_hangs) {
  EtcdProcess etcd;
  const auto authority = open_started(etcd, "r1");
  ASSERT_TRUE(eventually([&] { return authority->holds_lock(); }));
  etcd.freeze();
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(authority->compare_and_swap(state_of(1), 0).status().code(), Code::unavailable);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 2 * kAuthorityTimeout);
  EXPECT_TRUE(eventually([&] { return !authority->holds_lock(); }));
  etcd.thaw();
  EXPECT_TRUE(eventually([&] { return authority->holds_lock() && authority->reachable(); }));
}

TEST(EtcdAuthority, takes_the_lock_of_its_own_earlier_life_at_once) {
  EtcdProcess etcd;
  EtcdClient client(
      grpc::CreateChannel(etcd.endpoint().substr(7), grpc::InsecureChannelCredentials()));
  const int64_t lease = client.grant_lease(60).value();
  ASSERT_TRUE(client.put_if({"/tarn/test/controller", "r1 1 1", lease, 0}).has_value());
  const auto other = open_started(etcd, "r2");
  ASSERT_TRUE(eventually([&] { return other->latest() != nullptr; }));
  EXPECT_FALSE(other->holds_lock());
  const auto restarted = open_started(etcd, "r1");
  EXPECT_TRUE(eventually([&] { return restarted->holds_lock(); }));
  EXPECT_FALSE(other->holds_lock());
}

TEST(EtcdAuthority, takes_a_dead_controllers_lock_when_its_lease_ends) {
  EtcdProcess etcd;
  EtcdClient client(
      grpc::CreateChannel(etcd.endpoint().substr(7), grpc::InsecureChannelCredentials()));
  const int64_t lease = client.grant_lease(kLockTtlS).value();
  ASSERT_TRUE(client.put_if({"/tarn/test/controller", "r1 1 1", lease, 0}).has_value());
  const auto other = open_started(etcd, "r2");
  EXPECT_TRUE(eventually([&] { return other->holds_lock(); }));
}

TEST(EtcdAuthority, starts_before_etcd_does) {
  EtcdProcess etcd;
  etcd.end(SIGTERM);
  const auto authority = open_started(etcd, "r1");
  EXPECT_EQ(authority->load().status().code(), Code::unavailable);
  EXPECT_EQ(authority->latest(), nullptr);
  etcd.start();
  EXPECT_TRUE(eventually([&] { return authority->latest() != nullptr; }));
}

}  // namespace
}  // namespace tarn::member
