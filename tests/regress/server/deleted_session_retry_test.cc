// A client whose acknowledgement of a delete was lost sent it again. Meanwhile another worker had
// made a session of that name: the retry deleted it, and a conversation was gone. In the same way
// a late retry of the create brought a deleted session back, empty.
#include <gtest/gtest.h>

#include "tests/unit/server/session/cluster_of_slots.h"

namespace tarn::session {
namespace {

v1::SessionCommand remove(const std::string& id, int request) {
  v1::SessionCommand command;
  command.mutable_delete_()->set_session_id(id);
  if (request != 0) command.mutable_delete_()->set_request_id(request_id(request));
  return command;
}

class DeletedSession : public testing::Test {
 protected:
  v1::Outcome run(v1::SessionCommand command) {
    return x_cluster.run(std::move(command)).outcome();
  }
  bool is_there() { return run(resolve("s")) == v1::OUTCOME_OK; }

  ClusterOfSlots x_cluster{2};
};

TEST_F(DeletedSession, ARetriedDeleteSparesTheNextSessionOfThatName) {
  ASSERT_EQ(run(create("s", 1)), v1::OUTCOME_OK);
  ASSERT_EQ(run(remove("s", 2)), v1::OUTCOME_OK);
  EXPECT_FALSE(is_there());
  ASSERT_EQ(run(create("s", 3)), v1::OUTCOME_OK);
  EXPECT_EQ(run(remove("s", 2)), v1::OUTCOME_OK) << "the same answer as the first time";
  EXPECT_TRUE(is_there());
  EXPECT_EQ(run(remove("s", 4)), v1::OUTCOME_OK) << "a delete of its own";
  EXPECT_FALSE(is_there());
}

TEST_F(DeletedSession, ADeleteThatFoundNothingIsRememberedAsWell) {
  ASSERT_EQ(run(remove("s", 2)), v1::OUTCOME_OK);
  ASSERT_EQ(run(create("s", 3)), v1::OUTCOME_OK);
  EXPECT_EQ(run(remove("s", 2)), v1::OUTCOME_OK);
  EXPECT_TRUE(is_there());
}

TEST_F(DeletedSession, ARetriedCreateBringsNothingBack) {
  ASSERT_EQ(run(create("s", 1)), v1::OUTCOME_OK);
  ASSERT_EQ(run(remove("s", 2)), v1::OUTCOME_OK);
  const auto late = x_cluster.run(create("s", 1));
  EXPECT_EQ(late.outcome(), v1::OUTCOME_NOT_FOUND);
  EXPECT_NE(late.message().find("deleted"), std::string::npos) << late.message();
  EXPECT_FALSE(is_there());
}

TEST_F(DeletedSession, AnAppendToItFindsNoSession) {
  ASSERT_EQ(run(create("s", 1)), v1::OUTCOME_OK);
  ASSERT_EQ(run(append("s", 1, 2)), v1::OUTCOME_OK);
  ASSERT_EQ(run(remove("s", 3)), v1::OUTCOME_OK);
  EXPECT_EQ(run(append("s", 2, 4)), v1::OUTCOME_NOT_FOUND);
  EXPECT_EQ(run(append("s", 1, 2)), v1::OUTCOME_NOT_FOUND);
  v1::ListSlotRequest all;
  all.set_tenant("acme");
  for (uint32_t id = 1; id <= 2; ++id)
    EXPECT_EQ(x_cluster.store(id).list(all)->sessions_size(), 0) << "nor does a list show it";
}

TEST_F(DeletedSession, TheMemoryOfADeleteSurvivesCompactionARestartAndAnotherEpoch) {
  int request = 1;
  for (uint64_t entries = 0; entries < kLogEntriesMax + 20; entries += 2) {
    ASSERT_EQ(run(create("s", ++request)), v1::OUTCOME_OK);
    ASSERT_EQ(run(remove("s", ++request)), v1::OUTCOME_OK);
  }
  ASSERT_EQ(run(create("s", 5000)), v1::OUTCOME_OK);
  for (uint32_t id = 1; id <= 2; ++id) {
    x_cluster.kill(id);
    x_cluster.start(id);
  }
  x_cluster.set_config(x_cluster.config());
  EXPECT_EQ(run(remove("s", request)), v1::OUTCOME_OK);
  EXPECT_TRUE(is_there());
}

TEST_F(DeletedSession, ItsMemoryEndsWithTime) {
  ASSERT_EQ(run(create("s", 1)), v1::OUTCOME_OK);
  ASSERT_EQ(run(remove("s", 2)), v1::OUTCOME_OK);
  x_cluster.clock().advance(Millis(kDeletedKeptMs - 1));
  EXPECT_EQ(run(create("s", 1)), v1::OUTCOME_NOT_FOUND);
  x_cluster.clock().advance(Millis(1));
  EXPECT_EQ(run(create("s", 1)), v1::OUTCOME_OK);
}

TEST_F(DeletedSession, WithoutARequestIdEachDeleteIsItsOwn) {
  ASSERT_EQ(run(create("s", 1)), v1::OUTCOME_OK);
  EXPECT_EQ(run(remove("s", 0)), v1::OUTCOME_OK);
  EXPECT_EQ(run(remove("s", 0)), v1::OUTCOME_OK);
  ASSERT_EQ(run(create("s", 3)), v1::OUTCOME_OK);
  EXPECT_EQ(run(remove("s", 0)), v1::OUTCOME_OK);
  EXPECT_FALSE(is_there());
}

TEST(DeletedSessions, AreForgottenInTimeAndLeaveTheSnapshot) {
  SessionTable table;
  const auto of_acme = [](v1::SessionCommand command) {
    command.set_tenant("acme");
    return command;
  };
  int64_t now_ms = 1'000'000;
  for (int i = 0; i < 50; ++i) {
    const std::string id = "s" + std::to_string(i);
    (void)table.apply(of_acme(create(id, 2 * i + 1)), now_ms);
    (void)table.apply(of_acme(remove(id, 2 * i + 2)), now_ms);
    now_ms += kDeletedKeptMs / 10;
  }
  EXPECT_LE(table.size(), 11u) << "no more than ten minutes of them";
  SessionTable copy;
  copy.restore(table.snapshot(now_ms));
  EXPECT_LE(copy.size(), table.size());
  now_ms += 2 * kDeletedKeptMs;
  EXPECT_EQ(table.snapshot(now_ms).sessions_size(), 0);
  (void)copy.apply(of_acme(remove("other", 1000)), now_ms);
  EXPECT_EQ(copy.size(), 1u) << "a restored table forgets as well";
}

}  // namespace
}  // namespace tarn::session
