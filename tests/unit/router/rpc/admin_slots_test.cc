#include <gmock/gmock.h>

#include <algorithm>

#include "tests/unit/router/rpc/router_fixture.h"

// What operators can do about session slots whose last log is gone.
namespace tarn::router {
namespace {

using ::testing::HasSubstr;

class SlotsOfRouter : public RouterTest {
 protected:
  v1::ListSlotsResponse slots() const {
    Call call;
    v1::ListSlotsResponse response;
    EXPECT_TRUE(v1::Admin::NewStub(as(Role::admin, "ops"))->ListSlots(&call, {}, &response).ok());
    return response;
  }

  long count(const std::string& state) const {
    const auto all = slots();
    return std::count_if(all.slots().begin(), all.slots().end(),
                         [&](const v1::SlotStatus& slot) { return slot.state() == state; });
  }

  Status abandon(std::vector<uint32_t> numbers, bool even_waiting = false,
                 Role role = Role::admin) const {
    v1::AbandonSlotsRequest request;
    request.mutable_slots()->Add(numbers.begin(), numbers.end());
    request.set_even_waiting(even_waiting);
    Call call;
    v1::AbandonSlotsResponse response;
    const auto stub = v1::Admin::NewStub(as(role, role == Role::admin ? "ops" : "demo"));
    return rpc::from_grpc(stub->AbandonSlots(&call, request, &response));
  }

  // s1, the only server, comes back without its disk.
  std::unique_ptr<BeatingServer> wiped_server() {
    auto first = std::make_unique<BeatingServer>(as(Role::server, "s1"), "s1");
    EXPECT_NE(first->join(), 0u);
    EXPECT_EQ(count("ok"), 1024);
    (void)first->end();
    auto second = std::make_unique<BeatingServer>(as(Role::server, "s1"), "s1");
    second->beat.set_incarnation(8);
    EXPECT_TRUE(eventually([&] {
      v1::HeartbeatResponse answer;
      return second->tell(&answer) && count("lost") == 1024;
    }));
    return second;
  }
};

TEST_F(SlotsOfRouter, are_unused_before_a_server_joins_and_named_after_it) {
  (void)config_as(Role::server, "s1");
  EXPECT_EQ(slots().slots_size(), 1024);
  EXPECT_EQ(count("unused"), 1024);
  BeatingServer s1(as(Role::server, "s1"), "s1");
  ASSERT_NE(s1.join(), 0u);
  const auto slot = slots().slots(17);
  EXPECT_EQ(slot.state(), "ok");
  EXPECT_EQ(slot.primary(), "s1");
  ASSERT_EQ(slot.synced_size(), 1);
  EXPECT_EQ(slot.synced(0), "s1");
}

TEST_F(SlotsOfRouter, lost_ones_show_in_the_status_until_they_are_given_up) {
  const auto server = wiped_server();
  EXPECT_EQ(status_as(Role::admin, "ops").slots_lost(), 1024u);
  EXPECT_EQ(status_as(Role::tenant, "demo").slots_lost(), 0u) << "not a tenant's business";
  const uint64_t epoch = slots().epoch();
  ASSERT_TRUE(abandon({3, 5, 5}).is_ok());
  ASSERT_TRUE(eventually([&] { return count("ok") == 2; }));
  EXPECT_EQ(count("lost"), 1022);
  const auto config = config_as(Role::server, "s1");
  EXPECT_GT(config.epoch(), epoch);
  EXPECT_EQ(config.slots(5).begun_epoch(), epoch + 1);
  EXPECT_EQ(config.slots(6).begun_epoch(), 0u);
}

TEST_F(SlotsOfRouter, given_up_ones_stay_so_when_the_router_is_another) {
  {
    const auto server = wiped_server();
    ASSERT_TRUE(abandon({3}).is_ok());
  }
  router.reset();
  start();
  const auto config = config_as(Role::server, "s1");
  EXPECT_GT(config.slots(3).begun_epoch(), 0u);
  EXPECT_EQ(config.slots(4).begun_epoch(), 0u);
}

TEST_F(SlotsOfRouter, refusals_name_the_slot_and_change_nothing) {
  BeatingServer s1(as(Role::server, "s1"), "s1");
  ASSERT_NE(s1.join(), 0u);
  const uint64_t epoch = slots().epoch();
  const Status healthy = abandon({17});
  EXPECT_EQ(healthy.code(), Code::conflict);
  EXPECT_THAT(healthy.message(), HasSubstr("slot 17 is not lost"));
  EXPECT_EQ(abandon({17}, true).code(), Code::conflict);
  EXPECT_EQ(abandon({}).code(), Code::invalid_argument);
  EXPECT_EQ(abandon({1024}).code(), Code::invalid_argument);
  EXPECT_EQ(slots().epoch(), epoch);
}

TEST_F(SlotsOfRouter, are_for_operators_alone) {
  Call call;
  v1::ListSlotsResponse response;
  const auto status = v1::Admin::NewStub(as(Role::tenant, "demo"))->ListSlots(&call, {}, &response);
  EXPECT_EQ(code_of(status), Code::permission_denied);
  EXPECT_EQ(abandon({1}, false, Role::tenant).code(), Code::permission_denied);
  Call other;
  EXPECT_EQ(code_of(v1::Admin::NewStub(as(Role::server, "s1"))->ListSlots(&other, {}, &response)),
            Code::permission_denied);
}

TEST_F(SlotsOfRouter, waiting_ones_are_given_up_only_when_it_is_said) {
  restart_with_dead_after(Millis(200));
  {
    BeatingServer s1(as(Role::server, "s1"), "s1");
    ASSERT_NE(s1.join(), 0u);
  }
  ASSERT_TRUE(eventually([&] { return count("waiting") == 1024; }));
  EXPECT_EQ(status_as(Role::admin, "ops").slots_waiting(), 1024u);
  const Status refused = abandon({17});
  EXPECT_EQ(refused.code(), Code::conflict);
  EXPECT_THAT(refused.message(), HasSubstr("start that server"));
  EXPECT_TRUE(abandon({17}, true).is_ok());
  ASSERT_TRUE(eventually([&] { return count("unused") == 1; }));
}

}  // namespace
}  // namespace tarn::router
