#include "router/session/session_front.h"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "router/session/session_ids.h"
#include "tests/unit/router/session/front_fixture.h"

namespace tarn::session {
namespace {

TEST_F(Front, asks_again_with_the_same_request_id) {
  std::vector<std::string> ids;
  execute = [&](ServerId, const v1::SessionCommand& command) -> Result<v1::SessionResult> {
    ids.push_back(command.append().request_id());
    EXPECT_EQ(command.tenant(), "acme");
    EXPECT_EQ(command.epoch(), 1u);
    if (ids.size() == 1) return unavailable("lost");
    if (ids.size() == 2) return result(v1::OUTCOME_STALE_EPOCH);
    return result(v1::OUTCOME_OK);
  };
  v1::AppendSessionRequest request;
  request.set_session_id("s");
  EXPECT_EQ(front->append(caller(), request).outcome(), v1::OUTCOME_OK);
  ASSERT_EQ(ids.size(), 3u);
  EXPECT_EQ(ids[0].size(), 16u);
  EXPECT_EQ(ids[1], ids[0]);
  EXPECT_EQ(ids[2], ids[0]);
}

TEST_F(Front, decisions_are_final) {
  for (const auto outcome : {v1::OUTCOME_NOT_FOUND, v1::OUTCOME_CONFLICT, v1::OUTCOME_EXISTS,
                             v1::OUTCOME_INVALID_ARGUMENT, v1::OUTCOME_INTERNAL}) {
    calls = 0;
    execute = [&](ServerId, const v1::SessionCommand&) { return result(outcome); };
    v1::ResolveSessionRequest request;
    request.set_session_id("s");
    EXPECT_EQ(front->resolve(caller(), request).outcome(), outcome);
    EXPECT_EQ(calls, 1);
  }
}

TEST_F(Front, gives_up_shortly_before_the_deadline) {
  execute = [&](ServerId, const v1::SessionCommand&) -> Result<v1::SessionResult> {
    return unavailable("dead");
  };
  v1::ResolveSessionRequest request;
  request.set_session_id("s");
  const SessionCaller impatient = caller(Millis(120));
  const auto given_up = front->resolve(impatient, request);
  EXPECT_EQ(given_up.outcome(), v1::OUTCOME_UNAVAILABLE);
  EXPECT_NE(given_up.message().find("dead"), std::string::npos);
  EXPECT_LT(system_clock().now(), impatient.deadline + Millis(500));
  EXPECT_GT(calls, 2);
  EXPECT_EQ(registry.counter("tarn_session_unavailable_total", "Any.").value(), 1u);
}

TEST_F(Front, goes_to_the_next_primary_as_soon_as_the_config_names_it) {
  std::atomic<uint32_t> asked_last = 0;
  std::atomic<uint32_t> dead = 0;
  execute = [&](ServerId to, const v1::SessionCommand&) -> Result<v1::SessionResult> {
    asked_last = to.value;
    if (dead == 0) dead = to.value;
    if (to.value == dead) return unavailable("dead");
    return result(v1::OUTCOME_OK);
  };
  std::thread authority([&] {
    while (dead == 0)
      std::this_thread::yield();
    ring::ClusterConfig next = *config.current();
    next.epoch = {2};
    ring::find_member(next, {dead})->state = ring::MemberState::down;
    next.slots = ring::remove_member(next, {dead});
    EXPECT_TRUE(config.publish(std::move(next)).is_ok());
  });
  v1::ResolveSessionRequest request;
  request.set_session_id("s");
  EXPECT_EQ(front->resolve(caller(), request).outcome(), v1::OUTCOME_OK);
  EXPECT_NE(asked_last, dead);
  authority.join();
}

TEST(SessionIds, depend_on_tenant_and_request) {
  const std::string request(16, 'r');
  EXPECT_EQ(session_id_for("acme", request), session_id_for("acme", request));
  EXPECT_NE(session_id_for("acme", request), session_id_for("other", request));
  EXPECT_NE(session_id_for("acme", request), session_id_for("acme", std::string(16, 'q')));
  EXPECT_NE(draw_request_id(), draw_request_id());
}

}  // namespace
}  // namespace tarn::session
