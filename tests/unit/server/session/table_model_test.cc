// Random commands on a table of sessions, against a model in plain C++; the same entries must give
// the same table wherever, and however often, they are applied.
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "server/session/manifest.h"
#include "server/session/session_table.h"
#include "tests/unit/server/session/cluster_of_slots.h"

namespace tarn::session {
namespace {

// What a user believes of one session.
struct Believed {
  uint64_t version = 0;
  std::vector<std::string> blocks;
  uint64_t tokens = 0;
  bool pinned = false;
};

class TableModel : public testing::TestWithParam<uint32_t> {
 protected:
  uint64_t pick(uint64_t below) { return x_random() % below; }
  std::string some_id() { return "s" + std::to_string(pick(6)); }

  v1::SessionCommand make_append(const std::string& id, uint64_t version) {
    v1::SessionCommand command;
    auto& append = *command.mutable_append();
    append.set_session_id(id);
    append.set_expected_version(version);
    append.set_request_id(request_id(++x_request));
    for (uint64_t i = 0, count = pick(4); i < count; ++i) {
      auto* block = append.add_blocks();
      block->set_hash("h" + std::to_string(++x_block));
      block->set_anchor("a" + std::to_string(pick(3)));
      block->set_index(static_cast<uint32_t>(pick(4)));
    }
    append.set_token_count(pick(1000));
    return command;
  }

  v1::SessionCommand make_truncate(const std::string& id, uint64_t version, uint64_t keep) {
    v1::SessionCommand command;
    auto& truncate = *command.mutable_truncate();
    truncate.set_session_id(id);
    truncate.set_expected_version(version);
    truncate.set_block_count(keep);
    truncate.set_token_count(keep * 16);
    truncate.set_request_id(request_id(++x_request));
    return command;
  }

  v1::SessionCommand make_delete(const std::string& id) {
    v1::SessionCommand command;
    command.mutable_delete_()->set_session_id(id);
    command.mutable_delete_()->set_request_id(request_id(++x_request));
    return command;
  }

  v1::SessionCommand make_pin(const std::string& id, bool pinned) {
    v1::SessionCommand command;
    command.mutable_update()->set_session_id(id);
    command.mutable_update()->set_pinned(pinned);
    command.mutable_update()->set_request_id(request_id(++x_request));
    return command;
  }

  v1::SessionResult apply(v1::SessionCommand command) {
    command.set_tenant("acme");
    x_log.push_back({command, ++x_now_ms});
    return x_table.apply(command, x_now_ms);
  }

  void append_one(const std::string& id) {
    const auto found = x_model.find(id);
    const uint64_t version = found == x_model.end() ? 1 : found->second.version;
    const bool is_stale = pick(4) == 0;
    const auto command = make_append(id, is_stale ? version + 1 : version);
    const auto result = apply(command);
    if (found == x_model.end()) {
      EXPECT_EQ(result.outcome(), v1::OUTCOME_NOT_FOUND);
    } else if (is_stale) {
      EXPECT_EQ(result.outcome(), v1::OUTCOME_CONFLICT);
      EXPECT_EQ(result.version(), version) << "a conflict tells the version that stands";
    } else {
      EXPECT_EQ(result.outcome(), v1::OUTCOME_OK) << result.message();
      for (const auto& block : command.append().blocks())
        found->second.blocks.push_back(block.hash());
      found->second.tokens = command.append().token_count();
      EXPECT_EQ(result.version(), ++found->second.version);
      EXPECT_EQ(result.block_count(), found->second.blocks.size());
      check_retry(command, result);
    }
  }

  void truncate_one(const std::string& id) {
    const auto found = x_model.find(id);
    if (found == x_model.end()) return;
    const uint64_t blocks = found->second.blocks.size();
    const uint64_t keep = pick(blocks + 2);
    const auto command = make_truncate(id, found->second.version, keep);
    const auto result = apply(command);
    if (keep > blocks) {
      EXPECT_EQ(result.outcome(), v1::OUTCOME_INVALID_ARGUMENT);
      EXPECT_NE(result.message().find("block_count"), std::string::npos);
      return;
    }
    found->second.blocks.resize(keep);
    found->second.tokens = keep * 16;
    EXPECT_EQ(result.version(), ++found->second.version);
    check_retry(command, result);
  }

  void make_or_delete(const std::string& id) {
    const bool was_there = x_model.contains(id);
    if (pick(2) == 0) {
      const auto result = apply(create(id, ++x_request));
      EXPECT_EQ(result.outcome(), was_there ? v1::OUTCOME_EXISTS : v1::OUTCOME_OK);
      if (!was_there) x_model[id].version = 1;
    } else {
      const auto command = make_delete(id);
      EXPECT_EQ(apply(command).outcome(), v1::OUTCOME_OK);
      x_model.erase(id);
      check_retry(command, x_table.apply(x_log.back().command, x_now_ms));
    }
  }

  void fork_one(const std::string& from) {
    const auto source = x_table.answer(of_acme(resolve(from)), x_now_ms);
    if (!x_model.contains(from)) {
      EXPECT_EQ(source->outcome(), v1::OUTCOME_NOT_FOUND);
      return;
    }
    const std::string to = "f" + std::to_string(pick(4));
    v1::SessionCommand command;
    *command.mutable_fork()->mutable_source() = source->manifest();
    command.mutable_fork()->mutable_request()->set_session_id(from);
    command.mutable_fork()->mutable_request()->set_new_session_id(to);
    command.mutable_fork()->mutable_request()->set_request_id(request_id(++x_request));
    const bool was_there = x_model.contains(to);
    EXPECT_EQ(apply(command).outcome(), was_there ? v1::OUTCOME_EXISTS : v1::OUTCOME_OK);
    if (was_there) return;
    x_model[to] = x_model.at(from);
    x_model[to].version = 1;
    x_model[to].pinned = false;
  }

  // The same request again: the first result, and nothing changes.
  void check_retry(v1::SessionCommand command, const v1::SessionResult& first) {
    command.set_tenant("acme");
    const auto again = x_table.answer(command, x_now_ms);
    ASSERT_TRUE(again.has_value()) << "a retry must not reach the log";
    EXPECT_EQ(again->outcome(), first.outcome());
    EXPECT_EQ(again->version(), first.version());
    EXPECT_EQ(again->block_count(), first.block_count());
  }

  void step() {
    switch (pick(10)) {
      case 0:
      case 1:
        make_or_delete(some_id());
        break;
      case 2:
        truncate_one(some_id());
        break;
      case 3:
        fork_one(some_id());
        break;
      case 4: {
        const std::string id = some_id();
        const auto result = apply(make_pin(id, pick(2) == 0));
        if (x_model.contains(id)) {
          EXPECT_EQ(result.version(), ++x_model[id].version);
        }
        break;
      }
      default:
        append_one(pick(8) == 0 ? "f" + std::to_string(pick(4)) : some_id());
    }
  }

  static v1::SessionCommand of_acme(v1::SessionCommand command) {
    command.set_tenant("acme");
    return command;
  }

  void check(const SessionTable& table) {
    for (const char* id : {"s0", "s1", "s2", "s3", "s4", "s5", "f0", "f1", "f2", "f3"}) {
      const auto found = table.answer(of_acme(resolve(id)), x_now_ms);
      const auto expected = x_model.find(id);
      ASSERT_EQ(found->outcome() == v1::OUTCOME_OK, expected != x_model.end()) << id;
      if (expected == x_model.end()) continue;
      std::vector<std::string> blocks;
      for (const auto& run : found->manifest().runs())
        blocks.insert(blocks.end(), run.hashes().begin(), run.hashes().end());
      EXPECT_EQ(blocks, expected->second.blocks) << id;
      EXPECT_EQ(found->manifest().version(), expected->second.version);
      EXPECT_EQ(found->manifest().token_count(), expected->second.tokens);
    }
  }

  std::mt19937_64 x_random{GetParam()};
  SessionTable x_table;
  std::map<std::string, Believed> x_model;
  struct Entry {
    v1::SessionCommand command;
    int64_t unix_ms;
  };
  std::vector<Entry> x_log;
  int64_t x_now_ms = 1'000'000;
  int x_request = 0;
  int x_block = 0;
};

TEST_P(TableModel, SaysWhatAUserBelieves) {
  SCOPED_TRACE("seed " + std::to_string(GetParam()));
  for (int i = 0; i < 800; ++i) {
    step();
    if (i % 40 == 0) check(x_table);
    if (HasFailure()) FAIL() << "step " << i;
  }
  check(x_table);
}

TEST_P(TableModel, TheSameEntriesGiveTheSameTableThroughAnySnapshot) {
  for (int i = 0; i < 400; ++i)
    step();
  for (const size_t cut : {size_t{0}, x_log.size() / 3, x_log.size() - 1}) {
    SessionTable first;
    for (size_t i = 0; i < cut; ++i)
      (void)first.apply(x_log[i].command, x_log[i].unix_ms);
    SessionTable second;
    v1::SlotSnapshot snapshot;
    const int64_t at_ms = cut == 0 ? 0 : x_log[cut - 1].unix_ms;
    // Through bytes, as a learner gets it.
    ASSERT_TRUE(snapshot.ParseFromString(first.snapshot(at_ms).SerializeAsString()));
    second.restore(snapshot);
    for (size_t i = cut; i < x_log.size(); ++i)
      (void)second.apply(x_log[i].command, x_log[i].unix_ms);
    check(second);
    EXPECT_EQ(second.snapshot(x_now_ms).SerializeAsString(),
              x_table.snapshot(x_now_ms).SerializeAsString());
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, TableModel, testing::Range(1u, 5u));

TEST(SessionLimits, AManifestHoldsSoManyBlocksAndNoMore) {
  SessionTable table;
  const auto of_acme = [](v1::SessionCommand command) {
    command.set_tenant("acme");
    return command;
  };
  (void)table.apply(of_acme(create("s", 1)), 1);
  const auto append_blocks = [&](uint64_t version, int count) {
    v1::SessionCommand command = append("s", version, 10'000 + static_cast<int>(version));
    command.mutable_append()->clear_blocks();
    for (int i = 0; i < count; ++i) {
      auto* block = command.mutable_append()->add_blocks();
      block->set_hash("h");
      block->set_anchor("a");
    }
    return table.apply(of_acme(command), 1);
  };
  ASSERT_EQ(append_blocks(1, kManifestBlocksMax - 1).outcome(), v1::OUTCOME_OK);
  const auto refused = append_blocks(2, 2);
  EXPECT_EQ(refused.outcome(), v1::OUTCOME_INVALID_ARGUMENT);
  EXPECT_NE(refused.message().find("65536"), std::string::npos) << refused.message();
  EXPECT_EQ(append_blocks(2, 1).block_count(), static_cast<uint64_t>(kManifestBlocksMax));
  EXPECT_EQ(append_blocks(3, 1).outcome(), v1::OUTCOME_INVALID_ARGUMENT);
}

TEST(SessionLimits, OnlyTheLatestRequestsAreRecognised) {
  SessionTable table;
  const auto of_acme = [](v1::SessionCommand command) {
    command.set_tenant("acme");
    return command;
  };
  (void)table.apply(of_acme(create("s", 1)), 1);
  for (uint64_t i = 1; i <= static_cast<uint64_t>(kAppliedRequestsMax); ++i)
    (void)table.apply(of_acme(append("s", i, 100 + static_cast<int>(i))), 1);
  EXPECT_EQ(table.apply(of_acme(append("s", 1, 101)), 1).version(), 2u) << "the oldest kept one";
  EXPECT_EQ(table.apply(of_acme(create("s", 1)), 1).outcome(), v1::OUTCOME_EXISTS)
      << "one more is forgotten";
}

std::string hex(const std::string& bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    const auto byte = static_cast<uint8_t>(c);
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

// The bytes of a manifest, as SDKs and older routers read it: fields keep their numbers.
TEST(Manifest, GoldenBytes) {
  v1::Manifest manifest;
  manifest.set_session_id("chat-1");
  manifest.set_space(std::string(16, '\x11'));
  manifest.set_version(3);
  for (uint32_t index = 0; index < 2; ++index) {
    v1::BlockRef block;
    block.set_hash(std::string(1, static_cast<char>('A' + index)));
    block.set_anchor("A");
    block.set_index(index);
    add_block(manifest, block);
  }
  manifest.set_token_count(35);
  manifest.add_token_ids(7);
  manifest.set_tail("tail");
  manifest.set_pinned(true);
  manifest.set_parent("p");
  const std::string bytes = manifest.SerializeAsString();
  EXPECT_EQ(hex(bytes),
            "0a06636861742d31"                      // session_id
            "121011111111111111111111111111111111"  // space
            "1803"                                  // version
            "22090a01411a01411a0142"                // runs: anchor, hashes
            "2823"                                  // token_count
            "320107"                                // token_ids
            "3a047461696c"                          // tail
            "4001"                                  // pinned
            "520170");                              // parent
  v1::Manifest back;
  // A field that only a newer peer knows does no harm.
  ASSERT_TRUE(back.ParseFromString(bytes + std::string("\xfa\x3f\x03new", 6)));
  ASSERT_EQ(back.runs_size(), 1);
  EXPECT_EQ(back.runs(0).hashes_size(), 2);
  EXPECT_EQ(back.tail(), "tail");
  EXPECT_TRUE(back.pinned());
}

}  // namespace
}  // namespace tarn::session
