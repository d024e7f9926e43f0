// What holds for every operation of the front alike, and for its lists and forks.
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/base/fault_point.h"
#include "common/block/key.h"
#include "common/ring/position.h"
#include "common/rpc/session_command.h"
#include "router/session/session_ids.h"
#include "tests/unit/router/session/front_fixture.h"

namespace tarn::session {
namespace {

constexpr char kSession[] = "chat";

// Every operation, asked for with this request id (where it has one).
struct Operation {
  const char* name;
  bool has_request_id;
  v1::SessionResult (*ask)(SessionFront&, const SessionCaller&, const std::string& request_id);
  std::string (*request_id_of)(const v1::SessionCommand&);
};

const Operation kOperations[] = {
    {"create", true,
     [](SessionFront& front, const SessionCaller& caller, const std::string& id) {
       v1::CreateSessionRequest request;
       request.set_session_id(kSession);
       request.set_request_id(id);
       return front.create(caller, request);
     },
     [](const v1::SessionCommand& command) { return command.create().request_id(); }},
    {"append", true,
     [](SessionFront& front, const SessionCaller& caller, const std::string& id) {
       v1::AppendSessionRequest request;
       request.set_session_id(kSession);
       request.set_request_id(id);
       return front.append(caller, request);
     },
     [](const v1::SessionCommand& command) { return command.append().request_id(); }},
    {"truncate", true,
     [](SessionFront& front, const SessionCaller& caller, const std::string& id) {
       v1::TruncateSessionRequest request;
       request.set_session_id(kSession);
       request.set_request_id(id);
       return front.truncate(caller, request);
     },
     [](const v1::SessionCommand& command) { return command.truncate().request_id(); }},
    {"update", true,
     [](SessionFront& front, const SessionCaller& caller, const std::string& id) {
       v1::UpdateSessionRequest request;
       request.set_session_id(kSession);
       request.set_request_id(id);
       return front.update(caller, request);
     },
     [](const v1::SessionCommand& command) { return command.update().request_id(); }},
    {"delete", true,
     [](SessionFront& front, const SessionCaller& caller, const std::string& id) {
       v1::DeleteSessionRequest request;
       request.set_session_id(kSession);
       request.set_request_id(id);
       return front.remove(caller, request);
     },
     [](const v1::SessionCommand& command) { return command.delete_().request_id(); }},
    {"resolve", false,
     [](SessionFront& front, const SessionCaller& caller, const std::string&) {
       v1::ResolveSessionRequest request;
       request.set_session_id(kSession);
       return front.resolve(caller, request);
     },
     [](const v1::SessionCommand&) { return std::string(); }},
};

class EveryOperation : public Front, public testing::WithParamInterface<Operation> {
 protected:
  v1::SessionResult ask(const std::string& request_id = "", Millis timeout = Millis(5000)) {
    return GetParam().ask(*front, caller(timeout), request_id);
  }
};

INSTANTIATE_TEST_SUITE_P(Operations, EveryOperation, testing::ValuesIn(kOperations),
                         [](const auto& test) { return std::string(test.param.name); });

TEST_P(EveryOperation, goes_to_the_primary_of_its_slot_under_the_callers_tenant_and_the_epoch) {
  std::vector<v1::SessionCommand> seen;
  std::vector<ServerId> asked;
  execute = [&](ServerId to, const v1::SessionCommand& command) {
    seen.push_back(command);
    asked.push_back(to);
    return result(v1::OUTCOME_OK);
  };
  EXPECT_EQ(ask().outcome(), v1::OUTCOME_OK);
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].tenant(), "acme");
  EXPECT_EQ(seen[0].epoch(), 1u);
  EXPECT_EQ(rpc::session_id_of(seen[0]), kSession);
  const auto slot = ring::slot_of(ring::session_position(block::tenant_id("acme"), kSession));
  EXPECT_EQ(asked[0], config.current()->slots[slot.value].primary);
}

TEST_P(EveryOperation, keeps_its_callers_request_id_or_draws_one_for_all_its_tries) {
  std::vector<std::string> ids;
  execute = [&](ServerId, const v1::SessionCommand& command) -> Result<v1::SessionResult> {
    ids.push_back(GetParam().request_id_of(command));
    if (ids.size() % 3 != 0) return unavailable("lost");
    return result(v1::OUTCOME_OK);
  };
  const std::string own(16, 'q');
  EXPECT_EQ(ask(own).outcome(), v1::OUTCOME_OK);
  EXPECT_EQ(ask("").outcome(), v1::OUTCOME_OK);
  EXPECT_EQ(ask("").outcome(), v1::OUTCOME_OK);
  ASSERT_EQ(ids.size(), 9u);
  if (!GetParam().has_request_id) return;
  EXPECT_EQ(std::count(ids.begin(), ids.end(), own), 3);
  EXPECT_EQ(ids[3].size(), 16u);
  EXPECT_EQ(std::set<std::string>(ids.begin() + 3, ids.begin() + 6).size(), 1u);
  EXPECT_EQ(std::set<std::string>(ids.begin() + 3, ids.end()).size(), 2u) << "another call";
}

TEST_P(EveryOperation, is_asked_again_only_where_nobody_decided) {
  struct Answer {
    v1::Outcome outcome;
    bool is_final;
  };
  for (const Answer& answer :
       {Answer{v1::OUTCOME_OK, true}, Answer{v1::OUTCOME_NOT_FOUND, true},
        Answer{v1::OUTCOME_EXISTS, true}, Answer{v1::OUTCOME_CONFLICT, true},
        Answer{v1::OUTCOME_INVALID_ARGUMENT, true}, Answer{v1::OUTCOME_INTERNAL, true},
        Answer{v1::OUTCOME_UNAVAILABLE, false}, Answer{v1::OUTCOME_STALE_EPOCH, false},
        Answer{v1::OUTCOME_OVERLOADED, false}, Answer{v1::OUTCOME_DEADLINE_EXCEEDED, false}}) {
    calls = 0;
    execute = [&](ServerId, const v1::SessionCommand&) {
      return result(calls == 1 ? answer.outcome : v1::OUTCOME_OK);
    };
    const auto given = ask();
    EXPECT_EQ(given.outcome(), answer.is_final ? answer.outcome : v1::OUTCOME_OK);
    EXPECT_EQ(calls, answer.is_final ? 1 : 2) << v1::Outcome_Name(answer.outcome);
  }
}

TEST_P(EveryOperation, keeps_the_version_and_the_words_of_a_conflict) {
  execute = [&](ServerId, const v1::SessionCommand&) {
    auto refused = result(v1::OUTCOME_CONFLICT);
    refused.set_version(41);
    return refused;
  };
  const auto given = ask();
  EXPECT_EQ(given.version(), 41u);
  EXPECT_EQ(given.message(), "as told");
}

TEST_P(EveryOperation, says_at_its_deadline_which_session_and_why) {
  execute = [&](ServerId, const v1::SessionCommand&) -> Result<v1::SessionResult> {
    return unavailable("server 2: connection refused");
  };
  const SessionCaller before = caller(Millis(60));
  const auto given = GetParam().ask(*front, before, "");
  EXPECT_EQ(given.outcome(), v1::OUTCOME_UNAVAILABLE);
  EXPECT_NE(given.message().find("session 'chat'"), std::string::npos) << given.message();
  EXPECT_NE(given.message().find("connection refused"), std::string::npos) << given.message();
}

TEST_P(EveryOperation, whose_slot_is_lost_is_refused_at_once_and_never_begun_anew) {
  ring::ClusterConfig next = *config.current();
  for (auto& slot : next.slots)
    slot.synced.clear();
  publish(next);
  execute = [&](ServerId, const v1::SessionCommand&) { return result(v1::OUTCOME_OK); };
  const auto given = ask();
  EXPECT_EQ(given.outcome(), v1::OUTCOME_UNAVAILABLE);
  EXPECT_NE(given.message().find("operator"), std::string::npos) << given.message();
  EXPECT_EQ(calls, 0) << "no server may be asked to begin a fresh log";
}

TEST_P(EveryOperation, waits_for_a_slot_whose_primary_is_down) {
  ring::ClusterConfig next = *config.current();
  for (auto& member : next.members)
    member.state = ring::MemberState::down;
  publish(next);
  execute = [&](ServerId, const v1::SessionCommand&) { return result(v1::OUTCOME_OK); };
  const auto given = ask("", Millis(60));
  EXPECT_EQ(given.outcome(), v1::OUTCOME_UNAVAILABLE);
  EXPECT_NE(given.message().find("is down"), std::string::npos) << given.message();
  EXPECT_EQ(calls, 0);
}

TEST(FrontWithoutConfig, says_so) {
  cluster::ConfigView empty;
  metrics::Registry registry;
  SessionFrontOptions options;
  options.config = &empty;
  options.registry = &registry;
  options.calls.execute = [](ServerId, const v1::SessionCommand&,
                             Instant) -> Result<v1::SessionResult> {
    return internal_error("nobody may be asked");
  };
  options.calls.list = [](ServerId, const v1::ListSlotRequest&,
                          Instant) -> Result<v1::ListSessionsResponse> {
    return internal_error("nobody may be asked");
  };
  SessionFront front(std::move(options));
  const SessionCaller caller{"acme", system_clock().now() + Millis(60)};
  const auto given = front.resolve(caller, {});
  EXPECT_EQ(given.outcome(), v1::OUTCOME_UNAVAILABLE);
  EXPECT_NE(given.message().find("no config yet"), std::string::npos);
  const auto listed = front.list(caller, {});
  EXPECT_EQ(listed.status().code(), Code::unavailable);
  EXPECT_NE(listed.status().message().find("no config yet"), std::string::npos);
}

// Lists, as two servers with sessions of their own give them.
class Lists : public Front {
 protected:
  Lists() {
    list = [this](ServerId to, const v1::ListSlotRequest& request) { return page_of(to, request); };
    for (int i = 0; i < 30; ++i)
      held[1 + i % 2].insert("s" + std::to_string(100 + i));
  }

  Result<v1::ListSessionsResponse> page_of(ServerId to, const v1::ListSlotRequest& request) {
    asked.push_back(request);
    v1::ListSessionsResponse page;
    for (const std::string& id : held[to.value]) {
      if (!id.starts_with(request.prefix()) || id <= request.after()) continue;
      if (static_cast<uint32_t>(page.sessions_size()) == request.limit()) {
        page.set_next(page.sessions().rbegin()->session_id());
        break;
      }
      page.add_sessions()->set_session_id(id);
    }
    return page;
  }
  static v1::ListSessionsRequest question(uint32_t limit, const std::string& after = "") {
    v1::ListSessionsRequest request;
    request.set_limit(limit);
    request.set_after(after);
    return request;
  }

  std::map<uint32_t, std::set<std::string>> held;
  std::vector<v1::ListSlotRequest> asked;
};

TEST_F(Lists, ask_every_server_for_one_epoch) {
  ASSERT_TRUE(front->list(caller(), question(0)).has_value());
  ASSERT_EQ(asked.size(), 2u);
  for (const auto& request : asked) {
    EXPECT_EQ(request.epoch(), 1u);
    EXPECT_EQ(request.tenant(), "acme");
    EXPECT_EQ(request.limit(), 1000u);
  }
}

TEST_F(Lists, are_asked_again_until_all_servers_run_one_epoch) {
  int late = 3;
  list = [&](ServerId to, const v1::ListSlotRequest& request) -> Result<v1::ListSessionsResponse> {
    if (to.value == 2 && late-- > 0) return unavailable("server 2: the server runs epoch 9, not 1");
    return page_of(to, request);
  };
  const auto listed = front->list(caller(), question(0));
  ASSERT_TRUE(listed.has_value()) << listed.status().to_string();
  EXPECT_EQ(listed->sessions_size(), 30);
  late = 1 << 20;
  const auto given_up = front->list(caller(Millis(60)), question(0));
  EXPECT_EQ(given_up.status().code(), Code::unavailable);
  EXPECT_NE(given_up.status().message().find("epoch 9"), std::string::npos);
}

TEST_F(Lists, of_a_config_that_changed_meanwhile_are_asked_again) {
  bool has_moved = false;
  list = [&](ServerId to, const v1::ListSlotRequest& request) {
    if (!std::exchange(has_moved, true)) publish(*config.current());
    return page_of(to, request);
  };
  const auto listed = front->list(caller(), question(0));
  ASSERT_TRUE(listed.has_value());
  EXPECT_EQ(listed->sessions_size(), 30);
  EXPECT_EQ(asked.size(), 4u);
  EXPECT_EQ(asked.back().epoch(), 2u);
}

TEST_F(Lists, are_cut_at_their_limit_and_go_on_from_there) {
  struct Case {
    uint32_t limit;
    int sessions;
    bool has_next;
  };
  for (const Case& each : {Case{1, 1, true}, Case{29, 29, true}, Case{30, 30, false},
                           Case{31, 30, false}, Case{1000, 30, false}, Case{1001, 30, false}}) {
    const auto listed = front->list(caller(), question(each.limit));
    ASSERT_TRUE(listed.has_value());
    EXPECT_EQ(listed->sessions_size(), each.sessions) << each.limit;
    EXPECT_EQ(!listed->next().empty(), each.has_next) << each.limit;
    EXPECT_LE(asked.back().limit(), 1000u);
  }
  for (const uint32_t limit : {1u, 7u, 15u}) {
    std::vector<std::string> all;
    std::string after;
    do {
      const auto page = front->list(caller(), question(limit, after));
      ASSERT_TRUE(page.has_value());
      for (const auto& session : page->sessions())
        all.push_back(session.session_id());
      after = page->next();
    } while (!after.empty());
    EXPECT_EQ(all.size(), 30u) << limit;
    EXPECT_TRUE(std::is_sorted(all.begin(), all.end()));
    EXPECT_EQ(std::set<std::string>(all.begin(), all.end()).size(), 30u) << "none twice";
  }
}

TEST_F(Lists, with_a_lost_slot_are_unavailable_at_once) {
  ring::ClusterConfig next = *config.current();
  next.slots[7].synced.clear();
  publish(next);
  const auto listed = front->list(caller(), question(0));
  EXPECT_EQ(listed.status().code(), Code::unavailable);
  EXPECT_NE(listed.status().message().find("slot 7"), std::string::npos);
  EXPECT_TRUE(asked.empty());
}

// Forks, whose source may change between two tries.
class Forks : public Front {
 protected:
  Forks() {
    execute = [this](ServerId, const v1::SessionCommand& command) { return serve(command); };
    sessions["source"].set_session_id("source");
    sessions["source"].set_version(3);
    sessions["source"].set_space(kOwn);
  }
  v1::SessionResult serve(const v1::SessionCommand& command) {
    const std::string id = rpc::session_id_of(command);
    if (command.has_fork()) {
      v1::Manifest copy = command.fork().source();
      copy.set_parent(copy.session_id());
      copy.set_session_id(id);
      copy.set_version(1);
      sessions[id] = copy;
    }
    const std::string& space = rpc::expected_space_of(command);
    if (command.has_resolve() && !space.empty() && sessions.contains(id) &&
        sessions[id].space() != space) {
      return result(v1::OUTCOME_INVALID_ARGUMENT);
    }
    auto made = result(sessions.contains(id) ? v1::OUTCOME_OK : v1::OUTCOME_NOT_FOUND);
    if (sessions.contains(id)) *made.mutable_manifest() = sessions[id];
    return made;
  }
  v1::ForkSessionRequest request(uint64_t version = 0) {
    v1::ForkSessionRequest fork;
    fork.set_session_id("source");
    fork.set_version(version);
    fork.set_request_id(std::string(16, 'f'));
    return fork;
  }

  const std::string kOwn = std::string(16, 's');
  const std::string kOther = std::string(16, 'o');
  std::map<std::string, v1::Manifest> sessions;
};

TEST_F(Forks, name_their_copy_by_the_request) {
  const auto made = front->fork(caller(), request());
  ASSERT_EQ(made.outcome(), v1::OUTCOME_OK);
  EXPECT_EQ(made.manifest().session_id(), session_id_for("acme", std::string(16, 'f')));
  EXPECT_EQ(made.manifest().parent(), "source");
}

TEST_F(Forks, of_another_version_are_refused_with_the_one_that_stands) {
  for (const uint64_t version : {1u, 2u, 4u}) {
    const auto refused = front->fork(caller(), request(version));
    EXPECT_EQ(refused.outcome(), v1::OUTCOME_CONFLICT) << version;
    EXPECT_EQ(refused.version(), 3u);
    EXPECT_NE(refused.message().find("has version 3"), std::string::npos);
  }
  EXPECT_EQ(sessions.size(), 1u);
  EXPECT_EQ(front->fork(caller(), request(3)).outcome(), v1::OUTCOME_OK);
}

TEST_F(Forks, that_are_asked_for_again_find_their_copy_whatever_became_of_the_source) {
  const auto first = front->fork(caller(), request(3));
  ASSERT_EQ(first.outcome(), v1::OUTCOME_OK);
  sessions["source"].set_version(9);
  EXPECT_EQ(front->fork(caller(), request(3)).manifest().session_id(),
            first.manifest().session_id());
  sessions.erase("source");
  EXPECT_EQ(front->fork(caller(), request(3)).outcome(), v1::OUTCOME_OK);
  // Nor is a session of that name and another parent taken for the copy.
  sessions[first.manifest().session_id()].set_parent("somebody else");
  EXPECT_EQ(front->fork(caller(), request(3)).outcome(), v1::OUTCOME_NOT_FOUND);
}

TEST_F(Forks, look_for_the_source_in_their_callers_space_alone) {
  auto foreign = request();
  foreign.set_space(kOther);
  const auto refused = front->fork(caller(), foreign);
  EXPECT_EQ(refused.outcome(), v1::OUTCOME_INVALID_ARGUMENT);
  EXPECT_EQ(refused.message(), "as told");
  EXPECT_EQ(sessions.size(), 1u);
  auto own = request();
  own.set_space(kOwn);
  EXPECT_EQ(front->fork(caller(), own).manifest().space(), kOwn);
}

TEST_F(Forks, that_are_asked_for_again_find_their_copy_when_the_name_is_another_spaces_by_now) {
  auto own = request();
  own.set_space(kOwn);
  const auto first = front->fork(caller(), own);
  ASSERT_EQ(first.outcome(), v1::OUTCOME_OK);
  sessions["source"].set_space(kOther);
  const auto again = front->fork(caller(), own);
  EXPECT_EQ(again.outcome(), v1::OUTCOME_OK) << again.message();
  EXPECT_EQ(again.manifest().session_id(), first.manifest().session_id());
}

TEST_F(Forks, of_a_copy_that_its_caller_named_do_not_guess) {
  auto named = request(3);
  named.set_new_session_id("mine");
  ASSERT_EQ(front->fork(caller(), named).outcome(), v1::OUTCOME_OK);
  sessions["source"].set_version(9);
  EXPECT_EQ(front->fork(caller(), named).outcome(), v1::OUTCOME_CONFLICT);
}

TEST_F(Forks, whose_source_cannot_be_read_make_nothing) {
  execute = [&](ServerId, const v1::SessionCommand& command) {
    EXPECT_FALSE(command.has_fork());
    return result(v1::OUTCOME_INTERNAL);
  };
  EXPECT_EQ(front->fork(caller(), request()).outcome(), v1::OUTCOME_INTERNAL);
}

}  // namespace
}  // namespace tarn::session
