#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <utility>

#include "common/ring/slots.h"
#include "router/session/session_front.h"

namespace tarn::session {

// The front alone, with servers that answer as a test wants.
class Front : public testing::Test {
 protected:
  Front() {
    ring::ClusterConfig first;
    first.epoch = {1};
    first.cluster = "test";
    for (uint32_t id = 1; id <= 2; ++id) {
      ring::Member member;
      member.id = {id};
      member.name = "s" + std::to_string(id);
      member.control_endpoint = "127.0.0.1:1";
      member.state = ring::MemberState::up;
      first.members.push_back(member);
    }
    first.slots = ring::assign_slots(first);
    EXPECT_TRUE(config.publish(first).is_ok());
    SessionFrontOptions options;
    options.config = &config;
    options.registry = &registry;
    options.calls.execute = [this](ServerId to, const v1::SessionCommand& command, Instant) {
      ++calls;
      return execute(to, command);
    };
    options.calls.list = [this](ServerId to, const v1::ListSlotRequest& request, Instant) {
      ++calls;
      return list(to, request);
    };
    front = std::make_unique<SessionFront>(std::move(options));
  }

  static SessionCaller caller(Millis timeout = Millis(5000)) {
    return {"acme", system_clock().now() + timeout};
  }
  static v1::SessionResult result(v1::Outcome outcome) {
    v1::SessionResult made;
    made.set_outcome(outcome);
    made.set_message("as told");
    return made;
  }

  // The next epoch, with these contents.
  void publish(ring::ClusterConfig next) {
    next.epoch.value = config.current()->epoch.value + 1;
    ASSERT_TRUE(config.publish(std::move(next)).is_ok());
  }

  cluster::ConfigView config;
  metrics::Registry registry;
  std::atomic<int> calls = 0;
  std::function<Result<v1::SessionResult>(ServerId, const v1::SessionCommand&)> execute;
  std::function<Result<v1::ListSessionsResponse>(ServerId, const v1::ListSlotRequest&)> list =
      [](ServerId, const v1::ListSlotRequest&) { return v1::ListSessionsResponse(); };
  std::unique_ptr<SessionFront> front;
};

}  // namespace tarn::session
