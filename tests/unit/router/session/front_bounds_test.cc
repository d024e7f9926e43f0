#include <gtest/gtest.h>

#include <vector>

#include "common/ring/slots.h"
#include "router/session/session_front.h"

namespace tarn::session {
namespace {

// A front whose only server answers every command alike.
class Bounds : public testing::Test {
 protected:
  Bounds() {
    ring::ClusterConfig first;
    first.epoch = {1};
    first.cluster = "test";
    ring::Member member;
    member.id = {1};
    member.name = "s1";
    member.control_endpoint = "127.0.0.1:1";
    member.state = ring::MemberState::up;
    first.members.push_back(member);
    first.slots = ring::assign_slots(first);
    EXPECT_TRUE(config.publish(first).is_ok());
    SessionFrontOptions options;
    options.config = &config;
    options.registry = &registry;
    options.calls.execute = [this](ServerId, const v1::SessionCommand&, Instant end) {
      ends.push_back(end);
      return Result<v1::SessionResult>(answer);
    };
    options.calls.list = [this](ServerId, const v1::ListSlotRequest&, Instant end) {
      ends.push_back(end);
      return Result<v1::ListSessionsResponse>(unavailable("as told"));
    };
    front = std::make_unique<SessionFront>(std::move(options));
  }

  static SessionCaller patient() { return {"acme", system_clock().now() + std::chrono::hours(1)}; }
  v1::SessionResult resolve(const SessionCaller& caller) {
    v1::ResolveSessionRequest request;
    request.set_session_id("s");
    return front->resolve(caller, request);
  }

  cluster::ConfigView config;
  metrics::Registry registry;
  v1::SessionResult answer;
  std::vector<Instant> ends;  // of the attempts
  std::unique_ptr<SessionFront> front;
};

// Each held one of the router's threads until a deadline that might be an hour away.
TEST_F(Bounds, a_caller_that_has_gone_is_let_go) {
  answer.set_outcome(v1::OUTCOME_UNAVAILABLE);
  SessionCaller caller = patient();
  caller.is_gone = [this] { return ends.size() >= 2; };
  EXPECT_EQ(resolve(caller).outcome(), v1::OUTCOME_CANCELLED);
  EXPECT_EQ(ends.size(), 2u);
  ends.clear();
  EXPECT_EQ(front->list(caller, {}).error().code(), Code::cancelled);
  EXPECT_EQ(ends.size(), 2u);
}

TEST_F(Bounds, an_attempt_ends_long_before_a_far_deadline) {
  answer.set_outcome(v1::OUTCOME_OK);
  const Instant began = system_clock().now();
  EXPECT_EQ(resolve(patient()).outcome(), v1::OUTCOME_OK);
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_LT(ends[0], began + std::chrono::seconds(30));
}

TEST_F(Bounds, an_overloaded_server_is_named_so_before_the_deadline) {
  answer.set_outcome(v1::OUTCOME_OVERLOADED);
  answer.set_message("session slot 7 is full");
  const auto refused = resolve(patient());
  EXPECT_EQ(refused.outcome(), v1::OUTCOME_OVERLOADED);
  EXPECT_EQ(refused.message(), "session slot 7 is full");
  EXPECT_GT(ends.size(), 3u);
}

}  // namespace
}  // namespace tarn::session
