// The rules of sessions as a tenant meets them through a router: repeats, versions, limits, ends.
#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/base/units.h"
#include "tests/unit/router/session/sessions_fixture.h"

namespace tarn::router {
namespace {

const std::string kRequest(16, 'r');

class SessionRules : public Sessions {
 protected:
  void SetUp() override {
    Sessions::SetUp();
    v1::Manifest manifest;
    ASSERT_EQ(create("s", manifest), Status::ok());
    ASSERT_EQ(append(one_block("s", 1)), Status::ok());
    ASSERT_EQ(append(one_block("s", 2)), Status::ok());  // version 3, two blocks
  }

  v1::TruncateSessionRequest cut(uint64_t version, uint64_t blocks) {
    v1::TruncateSessionRequest request;
    request.set_session_id("s");
    request.set_expected_version(version);
    request.set_block_count(blocks);
    request.set_token_count(blocks * 16);
    return request;
  }
  Status truncate(const v1::TruncateSessionRequest& request) {
    return call(&Stub::TruncateSession, request, appended);
  }
  Status update(const v1::UpdateSessionRequest& request) {
    return call(&Stub::UpdateSession, request, appended);
  }
  Status update(std::optional<bool> pinned, std::optional<int64_t> ttl_ms) {
    v1::UpdateSessionRequest request;
    request.set_session_id("s");
    if (pinned) request.set_pinned(*pinned);
    if (ttl_ms) request.set_ttl_ms(*ttl_ms);
    return update(request);
  }
  Status remove(const std::string& id) {
    v1::DeleteSessionRequest request;
    request.set_session_id(id);
    v1::DeleteSessionResponse gone;
    return call(&Stub::DeleteSession, request, gone);
  }
  v1::Manifest manifest_of(const std::string& id) {
    v1::Manifest manifest;
    EXPECT_EQ(resolve(id, manifest), Status::ok());
    return manifest;
  }
  static bool eventually(const std::function<bool()>& holds) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!holds() && std::chrono::steady_clock::now() < end)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return holds();
  }
};

TEST_F(SessionRules, a_repeated_request_gives_the_first_result_and_changes_nothing) {
  auto more = one_block("s", 3);
  more.set_request_id(kRequest);
  ASSERT_EQ(append(more), Status::ok());
  const uint64_t version = appended.version();
  auto less = cut(4, 1);
  less.set_request_id(std::string(16, 't'));
  ASSERT_EQ(truncate(less), Status::ok());
  v1::UpdateSessionRequest pin;
  pin.set_session_id("s");
  pin.set_pinned(true);
  pin.set_request_id(std::string(16, 'u'));
  ASSERT_EQ(update(pin), Status::ok());
  const v1::Manifest before = manifest_of("s");
  EXPECT_EQ(before.version(), 6u);
  // In another order, as late retries come.
  for (int again = 0; again < 2; ++again) {
    ASSERT_EQ(update(pin), Status::ok());
    EXPECT_EQ(appended.version(), 6u);
    ASSERT_EQ(append(more), Status::ok());
    EXPECT_EQ(appended.version(), version) << "the version then, not the one that stands";
    ASSERT_EQ(truncate(less), Status::ok());
    EXPECT_EQ(appended.version(), 5u);
    EXPECT_EQ(appended.block_count(), 1u);
  }
  EXPECT_EQ(manifest_of("s").SerializeAsString(), before.SerializeAsString());
}

TEST_F(SessionRules, sixty_four_requests_are_remembered_and_no_more) {
  const auto id = [](int i) { return std::string(15, 'x') + static_cast<char>(i); };
  uint64_t version = 3;
  for (int i = 0; i < 65; ++i) {
    auto next = one_block("s", version++);
    next.set_request_id(id(i));
    ASSERT_EQ(append(next), Status::ok()) << i;
  }
  auto old = one_block("s", 4);
  old.set_request_id(id(1));
  EXPECT_EQ(append(old), Status::ok());
  EXPECT_EQ(appended.version(), 5u);
  old = one_block("s", 3);
  old.set_request_id(id(0));
  EXPECT_EQ(append(old).code(), Code::conflict) << "forgotten, so it is judged as a new one";
}

TEST_F(SessionRules, a_request_id_of_another_session_means_nothing_here) {
  v1::Manifest other;
  ASSERT_EQ(create("t", other, kRequest), Status::ok());
  auto more = one_block("s", 3);
  more.set_request_id(kRequest);
  ASSERT_EQ(append(more), Status::ok());
  EXPECT_EQ(appended.version(), 4u);
}

TEST_F(SessionRules, each_change_that_names_a_version_is_fenced_by_it) {
  for (const uint64_t wrong : {1u, 2u, 4u, 1'000'000u}) {
    EXPECT_EQ(append(one_block("s", wrong)).code(), Code::conflict) << wrong;
    EXPECT_EQ(standing_version, "3");
    EXPECT_EQ(truncate(cut(wrong, 1)).code(), Code::conflict) << wrong;
    EXPECT_EQ(standing_version, "3");
    v1::UpdateSessionRequest pin;
    pin.set_session_id("s");
    pin.set_expected_version(wrong);
    pin.set_pinned(true);
    EXPECT_EQ(update(pin).code(), Code::conflict) << wrong;
    EXPECT_EQ(standing_version, "3");
  }
  EXPECT_EQ(manifest_of("s").version(), 3u);
  EXPECT_EQ(append(one_block("s", 3)), Status::ok());
  EXPECT_EQ(standing_version, "") << "only a conflict names it";
}

TEST_F(SessionRules, of_two_appends_at_one_version_one_wins) {
  for (uint64_t version = 3; version < 9; ++version) {
    std::vector<Status> outcomes(2);
    std::vector<std::thread> writers;
    for (size_t i = 0; i < 2; ++i) {
      writers.emplace_back([&, i] {
        const auto own = cluster.stub_for(auth::Role::worker, "acme/gpu-" + std::to_string(i));
        auto request = one_block("s", version);
        request.set_tail("writer " + std::to_string(i));
        grpc::ClientContext context;
        rpc::set_timeout(context, Millis(8000));
        v1::AppendSessionResponse response;
        outcomes[i] = rpc::from_grpc(own->AppendSession(&context, request, &response));
      });
    }
    for (auto& writer : writers)
      writer.join();
    const size_t winner = outcomes[0].is_ok() ? 0 : 1;
    EXPECT_EQ(outcomes[winner], Status::ok());
    EXPECT_EQ(outcomes[1 - winner].code(), Code::conflict);
    const v1::Manifest now = manifest_of("s");
    EXPECT_EQ(now.version(), version + 1);
    EXPECT_EQ(now.tail(), "writer " + std::to_string(winner));
  }
}

TEST_F(SessionRules, truncating_keeps_the_front_and_replaces_the_tail) {
  auto to_none = cut(3, 0);
  to_none.set_tail("loose");
  auto too_many = cut(3, 3);
  const Status status = truncate(too_many);
  EXPECT_EQ(status.code(), Code::invalid_argument);
  EXPECT_NE(status.message().find("only 2 blocks"), std::string::npos) << status.message();
  ASSERT_EQ(truncate(cut(3, 2)), Status::ok());  // all of them: a change all the same
  EXPECT_EQ(appended.version(), 4u);
  to_none.set_expected_version(4);
  ASSERT_EQ(truncate(to_none), Status::ok());
  const v1::Manifest now = manifest_of("s");
  EXPECT_EQ(now.runs_size(), 0);
  EXPECT_EQ(now.token_count(), 0u);
  EXPECT_EQ(now.tail(), "loose");
}

TEST_F(SessionRules, the_tail_may_have_64_KiB_and_no_more) {
  auto request = one_block("s", 3);
  request.set_tail(std::string(kSessionTailBytesMax + 1, 't'));
  const Status status = append(request);
  EXPECT_EQ(status.code(), Code::invalid_argument);
  EXPECT_NE(status.message().find("tail: at most 65536 bytes, got 65537"), std::string::npos)
      << status.message();
  auto less = cut(3, 1);
  less.set_tail(request.tail());
  EXPECT_EQ(truncate(less).code(), Code::invalid_argument);
  request.set_tail(std::string(kSessionTailBytesMax, 't'));
  EXPECT_EQ(append(request), Status::ok());
  EXPECT_EQ(manifest_of("s").tail().size(), kSessionTailBytesMax);
}

TEST_F(SessionRules, a_session_ends_with_its_ttl_unless_it_is_pinned) {
  v1::Manifest manifest;
  ASSERT_EQ(update(true, 1), Status::ok());
  ASSERT_TRUE(
      eventually([&] { return manifest_of("s").expires_unix_ms() < system_clock().unix_ms(); }));
  EXPECT_EQ(resolve("s", manifest), Status::ok()) << "pinned";
  EXPECT_TRUE(manifest.pinned());
  ASSERT_EQ(update(false, std::nullopt), Status::ok());
  EXPECT_EQ(resolve("s", manifest).code(), Code::not_found);
  EXPECT_EQ(append(one_block("s", 5)).code(), Code::not_found);
  v1::ListSessionsResponse page;
  ASSERT_EQ(call(&Stub::ListSessions, v1::ListSessionsRequest(), page), Status::ok());
  EXPECT_EQ(page.sessions_size(), 0) << "nor is it listed";
  // Its name is free again.
  ASSERT_EQ(create("s", manifest), Status::ok());
  EXPECT_EQ(manifest.version(), 1u);
}

TEST_F(SessionRules, a_ttl_may_be_taken_back_and_has_limits) {
  ASSERT_EQ(update(std::nullopt, 3'600'000), Status::ok());
  const int64_t left = manifest_of("s").expires_unix_ms() - system_clock().unix_ms();
  EXPECT_GT(left, 3'500'000);
  EXPECT_LE(left, 3'600'000);
  ASSERT_EQ(update(true, std::nullopt), Status::ok());
  EXPECT_NE(manifest_of("s").expires_unix_ms(), 0) << "a pin leaves the ttl as it was";
  ASSERT_EQ(update(std::nullopt, 0), Status::ok());
  EXPECT_EQ(manifest_of("s").expires_unix_ms(), 0);
  constexpr int64_t kTenYears = int64_t{10} * 365 * 24 * 3600 * 1000;
  EXPECT_EQ(update(std::nullopt, kTenYears), Status::ok());
  for (const int64_t wrong : {kTenYears + 1, int64_t{-1}}) {
    const Status status = update(std::nullopt, wrong);
    EXPECT_EQ(status.code(), Code::invalid_argument) << wrong;
    EXPECT_NE(status.message().find("ttl_ms"), std::string::npos);
  }
}

TEST_F(SessionRules, deleting_is_final_and_may_be_repeated) {
  v1::Manifest manifest;
  ASSERT_EQ(remove("s"), Status::ok());
  EXPECT_EQ(remove("s"), Status::ok());
  EXPECT_EQ(remove("never"), Status::ok());
  EXPECT_EQ(resolve("s", manifest).code(), Code::not_found);
  EXPECT_EQ(append(one_block("s", 3)).code(), Code::not_found);
  EXPECT_EQ(truncate(cut(3, 1)).code(), Code::not_found);
  EXPECT_EQ(update(true, std::nullopt).code(), Code::not_found);
  v1::ForkSessionRequest copy;
  copy.set_session_id("s");
  EXPECT_EQ(fork(copy, manifest).code(), Code::not_found);
}

TEST_F(SessionRules, a_fork_lives_a_life_of_its_own) {
  v1::Manifest child;
  v1::ForkSessionRequest request;
  request.set_session_id("s");
  request.set_new_session_id("child");
  ASSERT_EQ(update(true, std::nullopt), Status::ok());
  ASSERT_EQ(fork(request, child), Status::ok());
  EXPECT_FALSE(child.pinned()) << "the pin is the source's";
  EXPECT_EQ(child.token_count(), 32u);
  ASSERT_EQ(append(one_block("s", 4)), Status::ok());
  auto own = one_block("child", 1);
  own.mutable_blocks(0)->set_hash("its own");
  ASSERT_EQ(append(own), Status::ok());
  EXPECT_EQ(appended.block_count(), 3u);
  ASSERT_EQ(remove("s"), Status::ok());
  // And a fork of the fork.
  request.set_session_id("child");
  request.set_new_session_id("grandchild");
  ASSERT_EQ(fork(request, child), Status::ok());
  EXPECT_EQ(child.parent(), "child");
  EXPECT_EQ(manifest_of("grandchild").runs(0).hashes_size() +
                (child.runs_size() > 1 ? child.runs(1).hashes_size() : 0),
            3);
  EXPECT_EQ(fork(request, child).code(), Code::exists) << "by another request";
}

TEST_F(SessionRules, ids_are_printable_and_at_most_128_bytes) {
  v1::Manifest manifest;
  EXPECT_EQ(create(std::string(kNameBytesMax, 'i'), manifest), Status::ok());
  for (const std::string& bad : {std::string(kNameBytesMax + 1, 'i'), std::string("two words"),
                                 std::string("new\nline"), std::string("\x7f")}) {
    const Status status = create(bad, manifest);
    EXPECT_EQ(status.code(), Code::invalid_argument) << bad;
    EXPECT_NE(status.message().find("session_id: 1 to 128 printable"), std::string::npos);
    EXPECT_EQ(resolve(bad, manifest).code(), Code::invalid_argument);
  }
}

TEST_F(SessionRules, blocks_that_are_malformed_are_named_by_their_number) {
  const auto refusal = [&](const std::function<void(v1::BlockRef&)>& spoil) {
    auto request = one_block("s", 3);
    *request.add_blocks() = request.blocks(0);
    spoil(*request.mutable_blocks(1));
    const Status status = append(request);
    EXPECT_EQ(status.code(), Code::invalid_argument);
    return status.message();
  };
  for (const std::string& message :
       {refusal([](auto& block) { block.set_hash(""); }),
        refusal([](auto& block) { block.set_hash(std::string(33, 'h')); }),
        refusal([](auto& block) { block.clear_anchor(); }),
        refusal([](auto& block) { block.set_anchor(std::string(33, 'a')); }),
        refusal([](auto& block) { block.set_index(64); })}) {
    EXPECT_NE(message.find("blocks[1]"), std::string::npos) << message;
  }
  EXPECT_EQ(manifest_of("s").version(), 3u);
}

TEST_F(SessionRules, lists_begin_at_a_prefix_and_end_with_it) {
  v1::Manifest manifest;
  for (const char* id : {"a", "ab", "ab-1", "ab-2", "abc", "b"})
    ASSERT_EQ(create(id, manifest), Status::ok());
  const auto ids = [&](const std::string& prefix, const std::string& after) {
    v1::ListSessionsRequest request;
    request.set_prefix(prefix);
    request.set_after(after);
    v1::ListSessionsResponse page;
    EXPECT_EQ(call(&Stub::ListSessions, request, page), Status::ok());
    std::vector<std::string> all;
    for (const auto& session : page.sessions())
      all.push_back(session.session_id());
    return all;
  };
  using Ids = std::vector<std::string>;
  EXPECT_EQ(ids("ab", ""), (Ids{"ab", "ab-1", "ab-2", "abc"}));
  EXPECT_EQ(ids("ab", "ab-1"), (Ids{"ab-2", "abc"}));
  EXPECT_EQ(ids("ab-", "a"), (Ids{"ab-1", "ab-2"}));
  EXPECT_EQ(ids("ab", "b"), Ids{});
  EXPECT_EQ(ids("", "abc"), (Ids{"b", "s"}));
  EXPECT_EQ(ids("none", ""), Ids{});
}

TEST_F(SessionRules, a_list_waits_for_servers_that_run_another_epoch) {
  cluster.publish_to_router(*cluster.config.current());
  v1::ListSessionsResponse page;
  const Status early = call(&Stub::ListSessions, v1::ListSessionsRequest(), page, Millis(150));
  EXPECT_EQ(early.code(), Code::unavailable);
  EXPECT_NE(early.message().find("runs epoch"), std::string::npos) << early.message();
  cluster.tell_servers(*cluster.config.current());
  EXPECT_EQ(call(&Stub::ListSessions, v1::ListSessionsRequest(), page), Status::ok());
  EXPECT_EQ(page.sessions_size(), 1);
}

}  // namespace
}  // namespace tarn::router
