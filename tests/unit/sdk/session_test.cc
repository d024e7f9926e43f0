#include <gmock/gmock.h>

#include <optional>
#include <utility>
#include <vector>

#include "tests/unit/sdk/kv_fixture.h"

namespace tarn::sdk {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

TEST_F(KvTest, ASessionIsResumedByAnotherClient) {
  start(2);
  Chain chain("a", 10);
  ASSERT_THAT(put(chain), ElementsAre(Outcome::ok));
  Session session = space->create_session("talk").value();
  Append append;
  append.blocks = chain.hashes;
  append.token_count = 163;
  append.tail = "rest";
  EXPECT_EQ(session.append(1, append).value(), 2u);

  auto other = Client::connect(cluster->options());
  Space theirs = other->open_space(space->spec()).value();
  auto manifest = theirs.open_session("talk").resolve();
  ASSERT_TRUE(manifest) << manifest.error().message;
  EXPECT_EQ(manifest->version, 2u);
  EXPECT_EQ(manifest->blocks, chain.hashes);
  EXPECT_EQ(manifest->block_count, 10u);
  EXPECT_EQ(manifest->token_count, 163u);
  EXPECT_EQ(manifest->tail, "rest");
  Transfer get = theirs.get_kv(chain.reads());
  EXPECT_THAT(outcomes(get), ElementsAre(Outcome::ok));
  EXPECT_TRUE(chain.is_whole());
  EXPECT_EQ(cluster->state().locates, 0u) << "the manifest said where the blocks lie";
}

TEST_F(KvTest, AnAppendWhoseAnswerIsLostIsAppliedOnce) {
  start(1);
  Session session = space->create_session("talk").value();
  cluster->state().lose_answers = 1;
  Append append;
  append.token_count = 5;
  EXPECT_EQ(session.append(1, append).value(), 2u);
  EXPECT_EQ(cluster->state().appends, 1u);
  const auto again = session.append(1, append);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().outcome, Outcome::conflict);
}

TEST_F(KvTest, AnAppendLocatesBlocksThatOthersPut) {
  start(1);
  {
    const std::lock_guard lock(cluster->state().mutex);
    cluster->state().located["x-1"] = {"x-0", 1, false};
  }
  Session session = space->create_session().value();
  EXPECT_THAT(session.id(), SizeIs(32));
  Append append;
  append.blocks = {"x-1"};
  ASSERT_TRUE(session.append(1, append));
  EXPECT_THAT(cluster->state().placed[session.id()], ElementsAre("x-0+1"));
}

TEST_F(KvTest, SessionsAreForkedTruncatedPinnedAndRemoved) {
  start(1);
  Chain chain("a", 4);
  ASSERT_THAT(put(chain), ElementsAre(Outcome::ok));
  Session session = space->create_session("talk").value();
  Append append;
  append.blocks = chain.hashes;
  ASSERT_TRUE(session.append(1, append));
  Session fork = session.fork().value();
  EXPECT_EQ(fork.resolve()->parent, "talk");
  EXPECT_EQ(fork.resolve()->blocks, chain.hashes);
  Truncate to;
  to.block_count = 1;
  EXPECT_EQ(fork.truncate(1, to).value(), 2u);
  EXPECT_EQ(fork.resolve()->blocks, (std::vector<BlockHash>{"a-0"}));
  EXPECT_TRUE(session.pin(true));
  EXPECT_TRUE(session.resolve()->pinned);
  EXPECT_TRUE(session.set_ttl(77));
  EXPECT_EQ(session.resolve()->expires_unix_ms, 77);
  EXPECT_TRUE(session.resolve()->pinned) << "stays as it was";
  EXPECT_TRUE(session.remove());
  EXPECT_EQ(session.resolve().error().outcome, Outcome::miss);
}

TEST_F(KvTest, SessionsAreListedPageByPage) {
  start(1);
  for (const char* id : {"b-2", "a-1", "b-1", "c"})
    ASSERT_TRUE(space->create_session(id));
  EXPECT_EQ(space->create_session("c").error().outcome, Outcome::exists);
  Space other = open(3);
  ASSERT_TRUE(other.create_session("b-3"));
  const auto all = space->list_sessions("b");
  ASSERT_TRUE(all);
  ASSERT_THAT(*all, SizeIs(2));
  EXPECT_EQ((*all)[0].session_id, "b-1");
  EXPECT_EQ((*all)[1].session_id, "b-2");
}

// What one call through the handle gives.
using HandleCall = std::optional<Error> (*)(Session&);
template <typename T>
std::optional<Error> error_in(const Expected<T>& result) {
  return result ? std::nullopt : std::optional(result.error());
}
const std::vector<std::pair<const char*, HandleCall>> kHandleCalls = {
    {"append", [](Session& handle) { return error_in(handle.append(1, {})); }},
    {"truncate", [](Session& handle) { return error_in(handle.truncate(1, {})); }},
    {"pin", [](Session& handle) { return error_in(handle.pin(true)); }},
    {"set_ttl", [](Session& handle) { return error_in(handle.set_ttl(5)); }},
    {"fork", [](Session& handle) { return error_in(handle.fork("child")); }},
    {"resolve", [](Session& handle) { return error_in(handle.resolve()); }},
    {"remove", [](Session& handle) { return error_in(handle.remove()); }}};

TEST_F(KvTest, AHandleOfAnotherSpaceIsToldSoAndChangesNothing) {
  start(1);
  Session mine = space->create_session("talk").value();
  Session theirs = open(3).open_session("talk");
  for (const auto& [name, call] : kHandleCalls) {
    const auto error = call(theirs);
    ASSERT_TRUE(error) << name;
    EXPECT_EQ(error->outcome, Outcome::invalid_argument) << name;
    EXPECT_THAT(error->message, testing::HasSubstr("'talk' is of another space: open it in"));
  }
  auto manifest = mine.resolve();
  ASSERT_TRUE(manifest) << manifest.error().message;
  EXPECT_EQ(manifest->version, 1u);
  EXPECT_FALSE(manifest->pinned);
  EXPECT_EQ(space->list_sessions()->size(), 1u) << "nor is there a child";
  for (const auto& [name, call] : kHandleCalls)
    EXPECT_NE(call(mine).value_or(Error{}).outcome, Outcome::invalid_argument) << name;
}

TEST_F(KvTest, AnOlderServersSessionOfAnotherSpaceIsSeenWhenItIsRead) {
  start(1);
  cluster->state().looks_at_spaces = false;
  ASSERT_TRUE(space->create_session("talk"));
  const auto read = open(3).open_session("talk").resolve();
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().outcome, Outcome::invalid_argument);
  EXPECT_THAT(read.error().message, testing::HasSubstr("'talk' is of another space: open it in"));
}

TEST_F(KvTest, WhatIsNotValidInASessionIsNamed) {
  start(1);
  Session session = space->create_session("talk").value();
  Append append;
  append.tail = std::string(65537, 't');
  EXPECT_EQ(session.append(1, append).error().outcome, Outcome::invalid_argument);
  append.tail.clear();
  append.blocks = {"ok", ""};
  EXPECT_THAT(session.append(1, append).error().message, testing::HasSubstr("blocks[1]"));
  EXPECT_EQ(session.set_ttl(-1).error().outcome, Outcome::invalid_argument);
  EXPECT_EQ(space->create_session("t", -1).error().outcome, Outcome::invalid_argument);
}

TEST_F(KvTest, MatchTeachesWhereBlocksLie) {
  start(1);
  {
    const std::lock_guard lock(cluster->state().mutex);
    for (uint32_t i = 0; i < 3; ++i)
      cluster->state().located["m-" + std::to_string(i)] = {"m-0", i, false};
  }
  Chain chain("m", 5);
  const auto matched = space->match(chain.hashes);
  ASSERT_TRUE(matched);
  EXPECT_EQ(matched.value().matched, 3u);
  EXPECT_EQ(matched.value().runs[0].server, "s1");
  EXPECT_EQ(matched.value().runs[0].tier, "dram");
  // So a put that goes on from there needs no Locate.
  auto items = chain.writes(3);
  Transfer put = space->put_kv(items);
  ASSERT_THAT(outcomes(put), ElementsAre(Outcome::ok));
  EXPECT_EQ(cluster->state().locates, 0u);
  const std::vector<BlockHash> bad{std::string(40, 'x')};
  EXPECT_EQ(space->match(bad).error().outcome, Outcome::invalid_argument);
}

}  // namespace
}  // namespace tarn::sdk
