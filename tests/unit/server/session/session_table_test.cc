#include "server/session/session_table.h"

#include <gtest/gtest.h>

#include "server/session/manifest.h"
#include "tests/unit/server/session/cluster_of_slots.h"

namespace tarn::session {
namespace {

constexpr int64_t kNow = 1'000'000;

v1::SessionCommand of_acme(v1::SessionCommand command) {
  command.set_tenant("acme");
  return command;
}

TEST(SessionTable, append_is_compare_and_swap_on_the_version) {
  SessionTable table;
  EXPECT_EQ(table.apply(of_acme(create("s", 1)), kNow).version(), 1u);
  EXPECT_EQ(table.apply(of_acme(append("s", 1, 2)), kNow).version(), 2u);
  const auto lost = table.apply(of_acme(append("s", 1, 3)), kNow);
  EXPECT_EQ(lost.outcome(), v1::OUTCOME_CONFLICT);
  EXPECT_EQ(lost.version(), 2u);
  EXPECT_EQ(table.answer(of_acme(resolve("s")), kNow)->block_count(), 1u);
}

TEST(SessionTable, a_repeated_request_gets_its_first_result) {
  SessionTable table;
  (void)table.apply(of_acme(create("s", 1)), kNow);
  (void)table.apply(of_acme(append("s", 1, 2)), kNow);
  (void)table.apply(of_acme(append("s", 2, 3)), kNow);
  const auto again = table.apply(of_acme(append("s", 1, 2)), kNow);
  EXPECT_EQ(again.outcome(), v1::OUTCOME_OK);
  EXPECT_EQ(again.version(), 2u);
  EXPECT_EQ(table.apply(of_acme(create("s", 1)), kNow).outcome(), v1::OUTCOME_OK);
  EXPECT_EQ(table.apply(of_acme(create("s", 9)), kNow).outcome(), v1::OUTCOME_EXISTS);
}

TEST(SessionTable, consecutive_blocks_of_an_extent_share_a_run) {
  v1::Manifest manifest;
  const auto add = [&](const char* anchor, uint32_t index) {
    v1::BlockRef block;
    block.set_hash(std::string(anchor) + std::to_string(index));
    block.set_anchor(anchor);
    block.set_index(index);
    add_block(manifest, block);
  };
  for (uint32_t i = 0; i < 4; ++i)
    add("a", i);
  for (uint32_t i = 0; i < 2; ++i)
    add("b", i);
  add("b", 5);
  EXPECT_EQ(manifest.runs_size(), 3);
  EXPECT_EQ(block_count(manifest), 7u);
  for (uint32_t i = 0; i < 14; ++i)
    manifest.add_token_ids(i);
  cut_blocks(manifest, 5);
  EXPECT_EQ(block_count(manifest), 5u);
  EXPECT_EQ(manifest.token_ids_size(), 10);
  EXPECT_EQ(manifest.runs(1).hashes(0), "b0");
  cut_blocks(manifest, 0);
  EXPECT_EQ(manifest.runs_size(), 0);
}

TEST(SessionTable, an_expired_session_is_gone_unless_it_is_pinned) {
  SessionTable table;
  (void)table.apply(of_acme(create("s", 1, 100)), kNow);
  (void)table.apply(of_acme(create("p", 2, 100)), kNow);
  v1::SessionCommand pin;
  pin.mutable_update()->set_session_id("p");
  pin.mutable_update()->set_pinned(true);
  pin.mutable_update()->set_request_id(request_id(3));
  EXPECT_EQ(table.apply(of_acme(pin), kNow).version(), 2u);
  EXPECT_EQ(table.answer(of_acme(resolve("s")), kNow + 99)->outcome(), v1::OUTCOME_OK);
  EXPECT_EQ(table.answer(of_acme(resolve("s")), kNow + 100)->outcome(), v1::OUTCOME_NOT_FOUND);
  EXPECT_EQ(table.answer(of_acme(resolve("p")), kNow + 100)->outcome(), v1::OUTCOME_OK);
  EXPECT_EQ(table.snapshot(kNow + 100).sessions_size(), 1);
  EXPECT_EQ(table.apply(of_acme(create("s", 4)), kNow + 100).version(), 1u);
}

TEST(SessionTable, fork_copies_the_manifest_and_names_its_parent) {
  SessionTable table;
  (void)table.apply(of_acme(create("s", 1)), kNow);
  (void)table.apply(of_acme(append("s", 1, 2)), kNow);
  v1::SessionCommand fork;
  *fork.mutable_fork()->mutable_source() = table.answer(of_acme(resolve("s")), kNow)->manifest();
  fork.mutable_fork()->mutable_request()->set_session_id("s");
  fork.mutable_fork()->mutable_request()->set_new_session_id("t");
  fork.mutable_fork()->mutable_request()->set_request_id(request_id(3));
  const auto forked = table.apply(of_acme(fork), kNow + 5).manifest();
  EXPECT_EQ(forked.parent(), "s");
  EXPECT_EQ(forked.version(), 1u);
  EXPECT_EQ(block_count(forked), 1u);
  EXPECT_EQ(forked.tail(), "tail");
}

TEST(SessionTable, tenants_do_not_see_each_other) {
  SessionTable table;
  (void)table.apply(of_acme(create("s", 1)), kNow);
  v1::SessionCommand foreign = resolve("s");
  foreign.set_tenant("other");
  EXPECT_EQ(table.answer(foreign, kNow)->outcome(), v1::OUTCOME_NOT_FOUND);
}

TEST(SessionTable, a_snapshot_restores_everything_also_the_memory_of_requests) {
  SessionTable table;
  (void)table.apply(of_acme(create("s", 1)), kNow);
  (void)table.apply(of_acme(append("s", 1, 2)), kNow);
  SessionTable copy;
  copy.restore(table.snapshot(kNow));
  EXPECT_EQ(copy.apply(of_acme(append("s", 1, 2)), kNow).version(), 2u);
  EXPECT_EQ(copy.size(), 1u);
}

TEST(SessionCommand, bad_fields_are_named) {
  const auto message_of = [](const v1::SessionCommand& command) {
    return validate(command).message();
  };
  EXPECT_NE(message_of({}).find("session_id"), std::string::npos);
  EXPECT_NE(message_of(create("with space", 1)).find("session_id"), std::string::npos);
  EXPECT_NE(message_of(create(std::string(200, 'x'), 1)).find("session_id"), std::string::npos);
  auto bad = create("s", 1);
  bad.mutable_create()->set_space("short");
  EXPECT_NE(message_of(bad).find("space"), std::string::npos);
  bad = append("s", 0, 1);
  EXPECT_NE(message_of(bad).find("expected_version"), std::string::npos);
  bad = append("s", 1, 1);
  bad.mutable_append()->mutable_blocks(0)->set_hash(std::string(33, 'h'));
  EXPECT_NE(message_of(bad).find("blocks[0]"), std::string::npos);
  bad = append("s", 1, 1);
  bad.mutable_append()->set_tail(std::string(65'537, 't'));
  EXPECT_NE(message_of(bad).find("tail"), std::string::npos);
  bad = append("s", 1, 1);
  bad.mutable_append()->set_request_id("short");
  EXPECT_NE(message_of(bad).find("request_id"), std::string::npos);
  EXPECT_TRUE(validate(append("s", 1, 1)).is_ok());
}

}  // namespace
}  // namespace tarn::session
