#include "router/rpc/sessions_service.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include "tests/unit/router/session/sessions_fixture.h"

namespace tarn::router {
namespace {

TEST_F(Sessions, live_from_creation_to_deletion) {
  v1::Manifest manifest;
  ASSERT_EQ(create("s-1", manifest), Status::ok());
  EXPECT_EQ(manifest.session_id(), "s-1");
  EXPECT_EQ(manifest.version(), 1u);
  ASSERT_EQ(append(one_block("s-1", 1)), Status::ok());
  ASSERT_EQ(append(one_block("s-1", 2)), Status::ok());
  EXPECT_EQ(appended.version(), 3u);
  EXPECT_EQ(appended.block_count(), 2u);
  v1::TruncateSessionRequest truncate;
  truncate.set_session_id("s-1");
  truncate.set_expected_version(3);
  truncate.set_block_count(1);
  truncate.set_token_count(16);
  ASSERT_EQ(call(&Stub::TruncateSession, truncate, appended), Status::ok());
  v1::UpdateSessionRequest update;
  update.set_session_id("s-1");
  update.set_pinned(true);
  ASSERT_EQ(call(&Stub::UpdateSession, update, appended), Status::ok());
  ASSERT_EQ(resolve("s-1", manifest), Status::ok());
  EXPECT_EQ(manifest.version(), 5u);
  EXPECT_EQ(manifest.token_count(), 16u);
  EXPECT_TRUE(manifest.pinned());
  v1::DeleteSessionRequest remove;
  remove.set_session_id("s-1");
  v1::DeleteSessionResponse gone;
  ASSERT_EQ(call(&Stub::DeleteSession, remove, gone), Status::ok());
  EXPECT_EQ(resolve("s-1", manifest).code(), Code::not_found);
}

TEST_F(Sessions, without_a_name_get_one_that_a_retry_gets_too) {
  v1::Manifest first;
  v1::Manifest second;
  const std::string request_id(16, 'r');
  ASSERT_EQ(create("", first, request_id), Status::ok());
  EXPECT_EQ(first.session_id().size(), 26u);
  EXPECT_EQ(first.session_id().find_first_not_of("abcdefghijklmnopqrstuvwxyz234567"),
            std::string::npos);
  ASSERT_EQ(create("", second, request_id), Status::ok());
  EXPECT_EQ(second.session_id(), first.session_id());
  ASSERT_EQ(create("", second), Status::ok());
  EXPECT_NE(second.session_id(), first.session_id());
}

TEST_F(Sessions, a_lost_race_names_the_version_that_stands) {
  v1::Manifest manifest;
  ASSERT_EQ(create("s", manifest), Status::ok());
  ASSERT_EQ(append(one_block("s", 1)), Status::ok());
  const Status late = append(one_block("s", 1));
  EXPECT_EQ(late.code(), Code::conflict);
  EXPECT_NE(late.message().find("version 2"), std::string::npos);
  EXPECT_EQ(standing_version, "2");
}

TEST_F(Sessions, refusals_keep_their_reason) {
  v1::Manifest manifest;
  EXPECT_EQ(resolve("nobody", manifest).code(), Code::not_found);
  EXPECT_EQ(resolve("", manifest).code(), Code::invalid_argument);
  ASSERT_EQ(create("s", manifest), Status::ok());
  EXPECT_EQ(create("s", manifest).code(), Code::exists);
  const Status status = append(one_block("s", 0));
  EXPECT_EQ(status.code(), Code::invalid_argument);
  EXPECT_NE(status.message().find("expected_version"), std::string::npos);
  EXPECT_EQ(create("t", manifest, "short").code(), Code::invalid_argument);
}

TEST_F(Sessions, a_lost_answer_is_asked_for_again_and_applied_once) {
  v1::Manifest manifest;
  ASSERT_EQ(create("s", manifest), Status::ok());
  fault::arm("sessions.answer_lost", {});
  ASSERT_EQ(append(one_block("s", 1)), Status::ok());
  EXPECT_EQ(appended.version(), 2u);
  ASSERT_EQ(resolve("s", manifest), Status::ok());
  EXPECT_EQ(manifest.version(), 2u);
  ASSERT_EQ(manifest.runs_size(), 1);
  EXPECT_EQ(manifest.runs(0).hashes_size(), 1);
}

TEST_F(Sessions, survive_the_death_of_their_primary) {
  v1::Manifest manifest;
  ASSERT_EQ(create("s", manifest), Status::ok());
  for (uint64_t version = 1; version <= 5; ++version)
    ASSERT_EQ(append(one_block("s", version)), Status::ok());
  const uint32_t dead = cluster.primary_of("s");
  cluster.kill(dead);
  // The append is on its way while nobody knows yet.
  std::thread authority([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    cluster.publish(cluster.without(dead));
  });
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(append(one_block("s", 6)), Status::ok());
  const auto spent = std::chrono::steady_clock::now() - begin;
  authority.join();
  EXPECT_LT(spent, std::chrono::seconds(2));
  EXPECT_EQ(appended.version(), 7u);
  ASSERT_EQ(resolve("s", manifest), Status::ok());
  EXPECT_EQ(manifest.runs(0).hashes_size(), 6);
  EXPECT_GT(cluster.registry.counter("tarn_session_retries_total", "Any.").value(), 0u);
}

TEST_F(Sessions, wait_for_servers_that_learn_of_the_next_epoch_later) {
  v1::Manifest manifest;
  ASSERT_EQ(create("s", manifest), Status::ok());
  cluster.publish_to_router(*cluster.config.current());
  std::thread authority([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(60));
    cluster.tell_servers(*cluster.config.current());
  });
  EXPECT_EQ(resolve("s", manifest), Status::ok());
  authority.join();
}

TEST_F(Sessions, that_nobody_can_answer_for_are_unavailable_by_the_deadline) {
  v1::Manifest manifest;
  ASSERT_EQ(create("s", manifest), Status::ok());
  for (uint32_t id = 1; id <= 3; ++id)
    cluster.kill(id);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(resolve("s", manifest, Millis(300)).code(), Code::unavailable);
  EXPECT_EQ(resolve("nobody", manifest, Millis(300)).code(), Code::unavailable);
  EXPECT_EQ(append(one_block("s", 1), Millis(300)).code(), Code::unavailable);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(3));
}

TEST_F(Sessions, whose_last_copy_is_lost_are_unavailable_at_once) {
  ring::ClusterConfig next = *cluster.config.current();
  for (auto& slot : next.slots)
    slot.synced.clear();
  cluster.publish(next);
  v1::Manifest manifest;
  const auto begin = std::chrono::steady_clock::now();
  const Status status = resolve("s", manifest);
  EXPECT_EQ(status.code(), Code::unavailable);
  EXPECT_NE(status.message().find("operator"), std::string::npos);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
}

TEST_F(Sessions, a_fork_copies_the_manifest_into_its_own_slot) {
  v1::Manifest manifest;
  ASSERT_EQ(create("s", manifest), Status::ok());
  ASSERT_EQ(append(one_block("s", 1)), Status::ok());
  v1::ForkSessionRequest request;
  request.set_session_id("s");
  request.set_new_session_id("child");
  request.set_version(2);
  ASSERT_EQ(fork(request, manifest), Status::ok());
  EXPECT_EQ(manifest.session_id(), "child");
  EXPECT_EQ(manifest.parent(), "s");
  EXPECT_EQ(manifest.version(), 1u);
  EXPECT_EQ(manifest.runs_size(), 1);
  request.set_new_session_id("another");
  request.set_version(1);
  EXPECT_EQ(fork(request, manifest).code(), Code::conflict);
  EXPECT_EQ(standing_version, "2");
  request.set_session_id("nobody");
  EXPECT_EQ(fork(request, manifest).code(), Code::not_found);
}

TEST_F(Sessions, a_fork_that_is_asked_again_after_its_source_moved_on_is_the_same) {
  v1::Manifest first;
  v1::Manifest again;
  ASSERT_EQ(create("s", first), Status::ok());
  v1::ForkSessionRequest request;
  request.set_session_id("s");
  request.set_version(1);
  request.set_request_id(std::string(16, 'f'));
  ASSERT_EQ(fork(request, first), Status::ok());
  ASSERT_EQ(append(one_block("s", 1)), Status::ok());
  ASSERT_EQ(fork(request, again), Status::ok());
  EXPECT_EQ(again.session_id(), first.session_id());
  request.set_request_id(std::string(16, 'g'));
  EXPECT_EQ(fork(request, again).code(), Code::conflict);
}

TEST_F(Sessions, are_listed_over_all_servers_page_by_page) {
  v1::Manifest manifest;
  for (int i = 10; i < 35; ++i)
    ASSERT_EQ(create("chat-" + std::to_string(i), manifest), Status::ok());
  ASSERT_EQ(create("other", manifest), Status::ok());
  v1::ListSessionsRequest request;
  request.set_prefix("chat-");
  request.set_limit(10);
  std::vector<std::string> ids;
  while (true) {
    v1::ListSessionsResponse page;
    ASSERT_EQ(call(&Stub::ListSessions, request, page), Status::ok());
    EXPECT_LE(page.sessions_size(), 10);
    for (const auto& session : page.sessions())
      ids.push_back(session.session_id());
    if (page.next().empty()) break;
    request.set_after(page.next());
  }
  ASSERT_EQ(ids.size(), 25u);
  EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end()));
}

TEST_F(Sessions, are_never_listed_in_part) {
  v1::Manifest manifest;
  ASSERT_EQ(create("s", manifest), Status::ok());
  cluster.kill(1);
  v1::ListSessionsRequest request;
  v1::ListSessionsResponse page;
  EXPECT_EQ(call(&Stub::ListSessions, request, page, Millis(300)).code(), Code::unavailable);
  cluster.publish(cluster.without(1));
  EXPECT_EQ(call(&Stub::ListSessions, request, page), Status::ok());
  EXPECT_EQ(page.sessions_size(), 1);
}

TEST_F(Sessions, belong_to_their_tenant) {
  v1::Manifest manifest;
  ASSERT_EQ(create("s", manifest), Status::ok());
  stub = cluster.stub_for(auth::Role::tenant, "other");
  EXPECT_EQ(resolve("s", manifest).code(), Code::not_found);
  stub = cluster.stub_for(auth::Role::worker, "acme/gpu-1");
  EXPECT_EQ(resolve("s", manifest), Status::ok());
  stub = cluster.stub_for(auth::Role::admin, "root");
  EXPECT_EQ(resolve("s", manifest).code(), Code::permission_denied);
}

}  // namespace
}  // namespace tarn::router
