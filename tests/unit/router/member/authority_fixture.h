#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "common/auth/ticket.h"
#include "common/base/fault_point.h"
#include "router/member/authority.h"
#include "tests/unit/router/etcd_process.h"

namespace tarn::member {

using testing::EtcdProcess;
using testing::eventually;
using testing::TemporaryFolder;

inline ClusterState state_of(uint64_t epoch) {
  ClusterState state;
  state.config.epoch = {epoch};
  state.config.cluster = "test";
  state.config.members.push_back({{3}, "s3", "127.0.0.1:1", {77}, 100, "rack-1"});
  state.config.ticket_keys = {auth::make_ticket_key(1, 0).value()};
  state.next_server_id = 4;
  NamedSpace space{"demo", {}};
  space.spec.model = "m";
  state.spaces.push_back(space);
  return state;
}

// What each kind of authority must do alike. Each test has a cluster of its own in one etcd.
class AuthorityTest : public ::testing::TestWithParam<const char*> {
 protected:
  static void SetUpTestSuite() { s_etcd = std::make_unique<EtcdProcess>(); }
  static void TearDownTestSuite() { s_etcd.reset(); }
  void TearDown() override { fault::disarm_all(); }

  static bool is_etcd() { return std::string(GetParam()) == "etcd"; }

  std::unique_ptr<Authority> open(const std::string& router) {
    AuthorityOptions options;
    options.address = is_etcd() ? s_etcd->address() : "file:" + x_folder.path() + "/authority";
    options.cluster = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    options.router = router;
    auto authority = open_authority(options);
    EXPECT_TRUE(authority.has_value()) << authority.status().to_string();
    return std::move(authority).value();
  }

  std::unique_ptr<Authority> open_started(const std::string& router) {
    auto authority = open(router);
    authority->start([] {});
    EXPECT_TRUE(eventually([&] { return authority->latest() != nullptr; }));
    return authority;
  }

  static inline std::unique_ptr<EtcdProcess> s_etcd;
  TemporaryFolder x_folder;
};

}  // namespace tarn::member
