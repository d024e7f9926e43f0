// Which commands are refused before they reach a log, and in which words.
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "common/base/units.h"
#include "server/session/session_table.h"
#include "tests/unit/server/session/cluster_of_slots.h"

namespace tarn::session {
namespace {

constexpr int64_t kTenYearsMs = int64_t{10} * 365 * 24 * 3600 * 1000;

v1::SessionCommand fork_of(const std::string& source) {
  v1::SessionCommand command;
  auto& fork = *command.mutable_fork();
  fork.mutable_source()->set_session_id(source);
  fork.mutable_source()->set_space(std::string(16, 's'));
  fork.mutable_request()->set_session_id(source);
  fork.mutable_request()->set_new_session_id("copy");
  fork.mutable_request()->set_request_id(request_id(1));
  return command;
}

v1::SessionCommand truncate_of(uint64_t version) {
  v1::SessionCommand command;
  command.mutable_truncate()->set_session_id("s");
  command.mutable_truncate()->set_expected_version(version);
  command.mutable_truncate()->set_request_id(request_id(1));
  return command;
}

v1::SessionCommand update_of(int64_t ttl_ms) {
  v1::SessionCommand command;
  command.mutable_update()->set_session_id("s");
  command.mutable_update()->set_ttl_ms(ttl_ms);
  command.mutable_update()->set_request_id(request_id(1));
  return command;
}

v1::SessionCommand delete_of(const std::string& request) {
  v1::SessionCommand command;
  command.mutable_delete_()->set_session_id("s");
  command.mutable_delete_()->set_request_id(request);
  return command;
}

struct Case {
  const char* name;
  v1::SessionCommand command;
  const char* names;  // what the refusal has to name; null: it is fine
};

Case with(const char* name, v1::SessionCommand command,
          const std::function<void(v1::SessionCommand&)>& bend, const char* names) {
  bend(command);
  return {name, std::move(command), names};
}

using Command = v1::SessionCommand;

std::vector<Case> id_cases() {
  const auto id = [](const char* name, const std::string& text, const char* names) {
    return with(
        name, create("s", 1), [&](Command& c) { c.mutable_create()->set_session_id(text); }, names);
  };
  return {id("empty", "", "session_id"),
          id("longest", std::string(kNameBytesMax, 'x'), nullptr),
          id("too_long", std::string(kNameBytesMax + 1, 'x'), "session_id"),
          id("space", "a b", "session_id"),
          id("control", std::string("a\0b", 3), "session_id"),
          id("not_ascii", "a\xc3\xa4", "session_id"),
          id("delete_character", "a\x7f", "session_id"),
          id("punctuation", "a/b:c#~!", nullptr)};
}

std::vector<Case> create_cases() {
  const auto ttl = [](const char* name, int64_t ms, const char* names) {
    return with(
        name, create("s", 1), [&](Command& c) { c.mutable_create()->set_ttl_ms(ms); }, names);
  };
  return {ttl("ttl_never", 0, nullptr),
          ttl("ttl_negative", -1, "ttl_ms"),
          ttl("ttl_ten_years", kTenYearsMs, nullptr),
          ttl("ttl_more", kTenYearsMs + 1, "ttl_ms"),
          with(
              "space_17", create("s", 1),
              [](Command& c) { c.mutable_create()->set_space(std::string(17, 's')); }, "space"),
          with(
              "request_15", create("s", 1),
              [](Command& c) { c.mutable_create()->set_request_id(std::string(15, 'r')); },
              "request_id"),
          with(
              "request_none", create("s", 1),
              [](Command& c) { c.mutable_create()->clear_request_id(); }, "request_id")};
}

std::vector<Case> append_cases() {
  const auto tail = [](const char* name, size_t bytes, const char* names) {
    return with(
        name, append("s", 1, 1),
        [&](Command& c) { c.mutable_append()->set_tail(std::string(bytes, 't')); }, names);
  };
  return {tail("tail_none", 0, nullptr),
          tail("tail_longest", kSessionTailBytesMax, nullptr),
          tail("tail_too_long", kSessionTailBytesMax + 1, "tail"),
          {"version_0", append("s", 0, 1), "expected_version"}};
}

void add_block_cases(std::vector<Case>& cases) {
  const auto add = [&](const char* name, const std::string& hash, const std::string& anchor,
                       uint32_t index, const char* names) {
    v1::SessionCommand command = append("s", 1, 1);
    auto* second = command.mutable_append()->add_blocks();
    second->set_hash(hash);
    second->set_anchor(anchor);
    second->set_index(index);
    cases.push_back({name, std::move(command), names});
  };
  const std::string longest(kHashBytesMax, 'h');
  add("hash_longest", longest, longest, 0, nullptr);
  add("hash_none", "", "a", 0, "blocks[1]");
  add("hash_33", longest + "h", "a", 0, "blocks[1]");
  add("anchor_none", "h", "", 0, "blocks[1]");
  add("anchor_33", "h", longest + "h", 0, "blocks[1]");
  add("index_63", "h", "a", 63, nullptr);
  add("index_64", "h", "a", 64, "blocks[1]");
}

std::vector<Case> other_cases() {
  return {{"fork", fork_of("s"), nullptr},
          with(
              "fork_source_id", fork_of("s"),
              [](Command& c) { c.mutable_fork()->mutable_source()->set_session_id("a b"); },
              "source.session_id"),
          with(
              "fork_source_space", fork_of("s"),
              [](Command& c) { c.mutable_fork()->mutable_source()->set_space("x"); }, "space"),
          with(
              "fork_new_id", fork_of("s"),
              [](Command& c) { c.mutable_fork()->mutable_request()->clear_new_session_id(); },
              "session_id"),
          with(
              "fork_ttl", fork_of("s"),
              [](Command& c) { c.mutable_fork()->mutable_request()->set_ttl_ms(-5); }, "ttl_ms"),
          {"truncate", truncate_of(3), nullptr},
          {"truncate_version_0", truncate_of(0), "expected_version"},
          with(
              "truncate_tail", truncate_of(3),
              [](Command& c) {
                c.mutable_truncate()->set_tail(std::string(kSessionTailBytesMax + 1, 't'));
              },
              "tail"),
          {"update", update_of(5), nullptr},
          {"update_ttl", update_of(-5), "ttl_ms"},
          {"delete", delete_of(request_id(3)), nullptr},
          {"delete_of_an_old_router", delete_of(""), nullptr},
          {"delete_request_8", delete_of("12345678"), "request_id"},
          {"resolve", resolve("s"), nullptr},
          with(
              "resolve_space_15", resolve("s"),
              [](Command& c) { c.mutable_resolve()->set_space(std::string(15, 's')); }, "space"),
          with(
              "append_space_17", append("s", 1, 1),
              [](Command& c) { c.mutable_append()->set_space(std::string(17, 's')); }, "space"),
          {"nothing", {}, "session_id"}};
}

TEST(SessionCommands, AreRefusedByFieldAtTheirLimits) {
  std::vector<Case> cases = id_cases();
  for (auto more : {create_cases(), append_cases(), other_cases()})
    cases.insert(cases.end(), more.begin(), more.end());
  add_block_cases(cases);
  for (const Case& each : cases) {
    const Status status = validate(each.command);
    if (each.names == nullptr) {
      EXPECT_TRUE(status.is_ok()) << each.name << ": " << status.to_string();
      continue;
    }
    EXPECT_EQ(status.code(), Code::invalid_argument) << each.name;
    EXPECT_TRUE(status.message().starts_with(each.names)) << each.name << ": " << status.message();
  }
}

TEST(SessionCommands, ARefusedOneNeverReachesALog) {
  ClusterOfSlots cluster(1);
  const auto refused = cluster.run(create("s", 1, -1));
  EXPECT_EQ(refused.outcome(), v1::OUTCOME_INVALID_ARGUMENT);
  EXPECT_NE(refused.message().find("ttl_ms"), std::string::npos);
  v1::ReadLogRequest ask;
  ask.set_slot(cluster.slot_of("s").value);
  ask.set_epoch(cluster.config().epoch.value);
  EXPECT_EQ(cluster.store(1).read_log(ask).last_index(), 0u);
}

}  // namespace
}  // namespace tarn::session
