#include <gtest/gtest.h>

#include "common/base/fault_point.h"
#include "common/rpc/credentials.h"
#include "tests/unit/server/session/cluster_of_slots.h"

namespace tarn::session {
namespace {

// The dearest form of what a command may hold: every block an extent of its own, the longest hashes
// and ids of five bytes.
v1::SessionCommand append_much(const std::string& id, uint64_t version, int blocks, int tokens) {
  auto command = append(id, version, 1000 + static_cast<int>(version));
  auto& what = *command.mutable_append();
  what.clear_blocks();
  for (int i = 0; i < blocks; ++i) {
    v1::BlockRef& block = *what.add_blocks();
    std::string hash = std::to_string(version) + "." + std::to_string(i);
    hash.resize(kHashBytesMax, '.');
    block.set_hash(hash);
    block.set_anchor(std::move(hash));
    block.set_index(63);
  }
  what.mutable_token_ids()->Reserve(tokens);
  for (int i = 0; i < tokens; ++i)
    what.add_token_ids(UINT32_MAX);
  what.set_tail(std::string(kSessionTailBytesMax, 't'));
  return command;
}

// Four times as many token ids were allowed: such a session was acknowledged, and then no channel
// could carry it to whoever resolved it.
TEST(Limits, a_session_at_its_limits_fits_one_message) {
  SessionTable table;
  ASSERT_EQ(table.apply(create("s", 1), 1).outcome(), v1::OUTCOME_OK);
  const auto tokens = append_much("s", 1, 0, kManifestTokensMax);
  const auto blocks = append_much("s", 2, kManifestBlocksMax, 0);
  EXPECT_LT(tokens.ByteSizeLong(), static_cast<size_t>(rpc::kControlMessageBytesMax));
  EXPECT_LT(blocks.ByteSizeLong(), static_cast<size_t>(rpc::kControlMessageBytesMax));
  ASSERT_EQ(table.apply(tokens, 1).version(), 2u);
  ASSERT_EQ(table.apply(blocks, 1).version(), 3u);
  const auto whole = table.answer(resolve("s"), 1).value();
  ASSERT_EQ(whole.outcome(), v1::OUTCOME_OK);
  EXPECT_EQ(block_count(whole.manifest()), static_cast<uint64_t>(kManifestBlocksMax));
  EXPECT_EQ(whole.manifest().token_ids_size(), kManifestTokensMax);
  EXPECT_LT(whole.ByteSizeLong(), static_cast<size_t>(rpc::kControlMessageBytesMax));
  for (const auto& more : {append_much("s", 3, 1, 0), append_much("s", 3, 0, 1)}) {
    const auto refused = table.apply(more, 1);
    EXPECT_EQ(refused.outcome(), v1::OUTCOME_INVALID_ARGUMENT);
    EXPECT_NE(refused.message().find("65536 blocks"), std::string::npos) << refused.message();
  }
}

std::string session_in(const ClusterOfSlots& cluster, uint32_t slot, int number) {
  for (int salt = 0;; ++salt) {
    std::string id = "s" + std::to_string(number) + "." + std::to_string(salt);
    if (cluster.slot_of(id).value == slot) return id;
  }
}

v1::ReadLogResponse whole_log(ClusterOfSlots& cluster, uint32_t server, uint32_t slot) {
  v1::ReadLogRequest ask;
  ask.set_slot(slot);
  ask.set_epoch(cluster.config().epoch.value);
  ask.set_from_index(1);
  return cluster.store(server).read_log(ask);
}

// A slot's log was without a limit, and what goes to a learner in one message was not: beyond it a
// lost copy could never be replaced.
TEST(Limits, a_full_slot_refuses_more_until_something_is_deleted) {
  constexpr uint64_t kMax = 1 << 20;
  ClusterOfSlots cluster(2, kMax);
  const uint32_t slot = cluster.slot_of("s").value;
  ASSERT_EQ(cluster.run(create("s", 1)).outcome(), v1::OUTCOME_OK);
  ASSERT_EQ(cluster.run(append_much("s", 1, 0, 150'000)).version(), 2u);
  const std::string other = session_in(cluster, slot, 1);
  ASSERT_EQ(cluster.run(create(other, 1)).outcome(), v1::OUTCOME_OK);
  const auto large = append_much(other, 1, 0, 50'000);
  const auto refused = cluster.run(large);
  EXPECT_EQ(refused.outcome(), v1::OUTCOME_OVERLOADED);
  EXPECT_NE(refused.message().find("is full"), std::string::npos) << refused.message();
  // What fits, and reading, go on.
  EXPECT_EQ(cluster.run(append_much(other, 1, 1, 10)).version(), 2u);
  EXPECT_EQ(cluster.run(resolve("s")).version(), 2u);
  v1::SessionCommand remove;
  remove.mutable_delete_()->set_session_id("s");
  remove.mutable_delete_()->set_request_id(request_id(77));
  EXPECT_EQ(cluster.run(remove).outcome(), v1::OUTCOME_OK);
  cluster.clock().advance(std::chrono::seconds(2));
  EXPECT_EQ(cluster.run(append_much(other, 2, 0, 50'000)).version(), 3u);
}

TEST(Limits, a_log_of_many_bytes_is_compacted_before_it_has_many_entries) {
  ClusterOfSlots cluster(2);
  ASSERT_EQ(cluster.run(create("s", 1)).outcome(), v1::OUTCOME_OK);
  for (uint64_t version = 1; version <= 8; ++version) {
    ASSERT_EQ(cluster.run(append_much("s", version, 0, 150'000)).version(), version + 1);
  }
  for (uint32_t id = 1; id <= 2; ++id) {
    const auto log = whole_log(cluster, id, cluster.slot_of("s").value);
    EXPECT_GT(log.first_index(), 1u);
    EXPECT_EQ(log.last_index(), 9u);
    EXPECT_LT(log.ByteSizeLong(), static_cast<size_t>(kSlotMessageBytesMax));
  }
  cluster.set_config(cluster.config());
  EXPECT_EQ(cluster.run(resolve("s")).version(), 9u);
}

// The new primary's clock was behind, and a session that had expired was back.
TEST(Time, goes_on_from_the_log_when_a_clock_is_set_back) {
  ClusterOfSlots cluster(2);
  ASSERT_EQ(cluster.run(create("s", 1, 60'000)).outcome(), v1::OUTCOME_OK);
  const std::string other = session_in(cluster, cluster.slot_of("s").value, 1);
  cluster.clock().advance(std::chrono::seconds(61));
  ASSERT_EQ(cluster.run(create(other, 2)).outcome(), v1::OUTCOME_OK);
  ASSERT_EQ(cluster.run(resolve("s")).outcome(), v1::OUTCOME_NOT_FOUND);
  cluster.clock().step(Millis(-30'000));
  cluster.set_config(cluster.config());  // a takeover
  EXPECT_EQ(cluster.run(resolve("s")).outcome(), v1::OUTCOME_NOT_FOUND);
  const auto before = cluster.run(resolve(other)).manifest();
  ASSERT_EQ(cluster.run(append(other, 1, 3)).version(), 2u);
  EXPECT_GE(cluster.run(resolve(other)).manifest().updated_unix_ms(), before.updated_unix_ms());
}

}  // namespace
}  // namespace tarn::session
