// A session belongs to one space: who holds it for another may neither read nor change it.
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "server/session/session_table.h"
#include "tests/unit/server/session/cluster_of_slots.h"

namespace tarn::session {
namespace {

const std::string kOwn(16, 's');  // that of create()
const std::string kOther(16, 'o');
const char kRefusal[] =
    "session 's' is of another space: open it in the space that it was created in";

// A command about session "s", which has version 2 and one block.
struct Operation {
  const char* name;
  v1::SessionCommand (*make)(const std::string& space, int request);
};

v1::SessionCommand append_in(const std::string& space, int request) {
  v1::SessionCommand command = append("s", 2, request);
  command.mutable_append()->set_space(space);
  return command;
}

v1::SessionCommand truncate_in(const std::string& space, int request) {
  v1::SessionCommand command;
  auto& truncate = *command.mutable_truncate();
  truncate.set_session_id("s");
  truncate.set_expected_version(2);
  truncate.set_request_id(request_id(request));
  truncate.set_space(space);
  return command;
}

v1::SessionCommand update_in(const std::string& space, int request) {
  v1::SessionCommand command;
  auto& update = *command.mutable_update();
  update.set_session_id("s");
  update.set_pinned(true);
  update.set_ttl_ms(5'000'000);
  update.set_request_id(request_id(request));
  update.set_space(space);
  return command;
}

v1::SessionCommand delete_in(const std::string& space, int request) {
  v1::SessionCommand command;
  command.mutable_delete_()->set_session_id("s");
  command.mutable_delete_()->set_request_id(request_id(request));
  command.mutable_delete_()->set_space(space);
  return command;
}

v1::SessionCommand fork_in(const std::string& space, int request) {
  v1::SessionCommand command;
  auto& fork = *command.mutable_fork();
  fork.mutable_source()->set_session_id("s");
  fork.mutable_source()->set_space(kOwn);
  fork.mutable_request()->set_session_id("s");
  fork.mutable_request()->set_new_session_id("child");
  fork.mutable_request()->set_request_id(request_id(request));
  fork.mutable_request()->set_space(space);
  return command;
}

v1::SessionCommand resolve_in(const std::string& space, int) {
  v1::SessionCommand command = resolve("s");
  command.mutable_resolve()->set_space(space);
  return command;
}

const Operation kOperations[] = {{"append", append_in}, {"truncate", truncate_in},
                                 {"update", update_in}, {"delete", delete_in},
                                 {"fork", fork_in},     {"resolve", resolve_in}};

class SpaceOfASession : public testing::TestWithParam<Operation> {
 protected:
  SpaceOfASession() {
    EXPECT_EQ(x_cluster.run(create("s", 1)).outcome(), v1::OUTCOME_OK);
    EXPECT_EQ(x_cluster.run(append("s", 1, 2)).version(), 2u);
  }
  v1::SessionResult run(const v1::SessionCommand& command) { return x_cluster.run(command); }
  v1::SessionResult run_in(const std::string& space, int request = 7) {
    return run(GetParam().make(space, request));
  }
  // Where the log of the slot that the operation writes to ends, on each server.
  std::pair<uint64_t, uint64_t> log_ends() {
    v1::ReadLogRequest ask;
    ask.set_slot(x_cluster.slot_of(rpc::session_id_of(GetParam().make(kOwn, 7))).value);
    ask.set_epoch(x_cluster.config().epoch.value);
    return {x_cluster.store(1).read_log(ask).last_index(),
            x_cluster.store(2).read_log(ask).last_index()};
  }

  ClusterOfSlots x_cluster{2};
};

INSTANTIATE_TEST_SUITE_P(Operations, SpaceOfASession, testing::ValuesIn(kOperations),
                         [](const auto& test) { return std::string(test.param.name); });

TEST_P(SpaceOfASession, AnotherOneIsRefusedByNameAndReachesNoLog) {
  const auto ends = log_ends();
  const std::string before = run(resolve("s")).SerializeAsString();
  for (int tries = 0; tries < 2; ++tries) {
    const auto refused = run_in(kOther);
    EXPECT_EQ(refused.outcome(), v1::OUTCOME_INVALID_ARGUMENT);
    EXPECT_EQ(refused.message(), kRefusal);
  }
  EXPECT_EQ(log_ends(), ends);
  EXPECT_EQ(run(resolve("s")).SerializeAsString(), before);
  EXPECT_EQ(run(resolve("child")).outcome(), v1::OUTCOME_NOT_FOUND);
  EXPECT_EQ(run_in(kOwn).outcome(), v1::OUTCOME_OK) << "not even its request id is taken";
}

TEST_P(SpaceOfASession, IsNotAskedOfClientsThatNameNone) {
  EXPECT_EQ(run_in("").outcome(), v1::OUTCOME_OK);
}

// The first try may have been answered by a server of an older release, which looks at no space.
TEST_P(SpaceOfASession, DoesNotCountForARetryWhichGetsItsFirstAnswer) {
  if (is_read(GetParam().make(kOwn, 7))) return;  // which has no request id
  const auto first = run_in("");
  ASSERT_EQ(first.outcome(), v1::OUTCOME_OK);
  const auto ends = log_ends();
  const auto again = run_in(kOther);
  EXPECT_EQ(again.outcome(), v1::OUTCOME_OK) << again.message();
  EXPECT_EQ(again.version(), first.version());
  EXPECT_EQ(again.block_count(), first.block_count());
  EXPECT_EQ(log_ends(), ends);
}

// A log that an older server wrote has commands that this one would have refused. They were
// acknowledged: every member that reads the log must make the same table of it.
TEST_P(SpaceOfASession, DoesNotCountInALog) {
  const auto table_after = [](v1::SessionCommand last) {
    SessionTable table;
    for (auto command : {create("s", 1), append("s", 1, 2), std::move(last)}) {
      command.set_tenant("acme");
      EXPECT_EQ(table.apply(command, 1).outcome(), v1::OUTCOME_OK);
    }
    return table.snapshot(1).SerializeAsString();
  };
  EXPECT_EQ(table_after(GetParam().make(kOther, 7)), table_after(GetParam().make("", 7)));
}

class ReusedName : public testing::Test {
 protected:
  v1::SessionResult create_in(const std::string& space, int request) {
    v1::SessionCommand command = create("s", request);
    command.mutable_create()->set_space(space);
    return x_cluster.run(command);
  }
  v1::Outcome run(const v1::SessionCommand& command) { return x_cluster.run(command).outcome(); }

  ClusterOfSlots x_cluster{2};
};

TEST_F(ReusedName, InAnotherSpaceIsTakenWhileTheSessionIsThere) {
  ASSERT_EQ(create_in(kOwn, 1).outcome(), v1::OUTCOME_OK);
  EXPECT_EQ(create_in(kOther, 2).outcome(), v1::OUTCOME_EXISTS);
  EXPECT_EQ(x_cluster.run(resolve("s")).manifest().space(), kOwn);
}

TEST_F(ReusedName, OfADeletedSessionIsFreeInAnyAndOldHandlesDoNotReachTheNext) {
  ASSERT_EQ(create_in(kOwn, 1).outcome(), v1::OUTCOME_OK);
  ASSERT_EQ(run(delete_in(kOwn, 2)), v1::OUTCOME_OK);
  EXPECT_EQ(run(resolve_in(kOther, 0)), v1::OUTCOME_NOT_FOUND) << "a deleted one has no space";
  EXPECT_EQ(run(delete_in(kOther, 3)), v1::OUTCOME_OK);
  ASSERT_EQ(create_in(kOther, 4).outcome(), v1::OUTCOME_OK);
  EXPECT_EQ(run(append_in(kOwn, 5)), v1::OUTCOME_INVALID_ARGUMENT);
  EXPECT_EQ(run(delete_in(kOwn, 6)), v1::OUTCOME_INVALID_ARGUMENT);
  EXPECT_EQ(run(delete_in(kOwn, 2)), v1::OUTCOME_OK) << "a retry";
  EXPECT_EQ(run(resolve_in(kOther, 0)), v1::OUTCOME_OK);
}

TEST_F(ReusedName, OfAnExpiredSessionIsFreeInAny) {
  v1::SessionCommand brief = create("s", 1, 100);
  ASSERT_EQ(run(brief), v1::OUTCOME_OK);
  x_cluster.clock().advance(Millis(100));
  EXPECT_EQ(run(resolve_in(kOther, 0)), v1::OUTCOME_NOT_FOUND);
  EXPECT_EQ(create_in(kOther, 2).outcome(), v1::OUTCOME_OK);
  EXPECT_EQ(run(resolve_in(kOther, 0)), v1::OUTCOME_OK);
}

}  // namespace
}  // namespace tarn::session
