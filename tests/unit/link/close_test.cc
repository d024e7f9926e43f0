// A link that ends in every state that an operation can be in, and deadlines that are moved.
#include "tests/unit/link/link_fixture.h"

namespace tarn::fabric {
namespace {

using std::chrono::milliseconds;

const std::string kBytes(4096, 'b');

struct State {
  const char* name;
  // Of the operation, once the link was lost, and once its own deadline had passed.
  Code after_loss;
  Code after_deadline;
  // The memory is in use: the operation ends later, and its deadline takes the connection along.
  bool holds_memory;
};

// Without this gtest prints the bytes of the pointers.
void PrintTo(const State& state, std::ostream* out) {
  *out << state.name;
}

class CloseTest : public LinkTest, public ::testing::WithParamInterface<State> {
 protected:
  void SetUp() override {
    LinkIdentity identity;
    identity.credits = 2;
    open(identity);
    reach(GetParam().name);
  }

  LinkOp& op() { return x_is_put ? static_cast<LinkOp&>(x_put) : x_get; }
  int ends() const { return x_is_put ? x_put.ends : x_get.ends; }

  void reach(const std::string& state) {
    x_is_put = state.starts_with("put");
    if (state == "get_waits_for_credit") {
      for (Counted<PingOp>& ping : x_before)
        ASSERT_TRUE(x_link->submit(ping).is_ok());
    }
    ASSERT_TRUE((x_is_put ? x_link->submit(x_put) : x_link->submit(x_get)).is_ok());
    if (state == "get_has_a_miss") reply_misses(0, 0, 1);
    if (state == "get_receives") reply_block(0, 0, kBytes);
    if (state == "get_receives_the_last") {
      reply_misses(0, 0, 1);
      reply_block(0, 1, kBytes);
    }
    if (state == "put_waits_for_its_answer") end_send(0);
    if (state == "put_was_kept_while_it_sends") reply(0, wire::PutReply{{}, Code::exists, 2, {}});
    ASSERT_EQ(ends(), 0);
  }

  void expect_over(Code code) {
    EXPECT_EQ(ends(), 1);
    EXPECT_EQ(op().code, code);
    if (!x_is_put) {
      EXPECT_EQ(x_get.blocks.size(), 2u) << "each block was told once";
    }
  }

  void expect_refuses() {
    Counted<PingOp> late;
    const Status refused = x_link->submit(late);
    EXPECT_EQ(refused.code(), Code::unavailable);
    EXPECT_NE(refused.message().find(x_link->lost_status().message()), std::string::npos);
    EXPECT_EQ(x_link->next_deadline(), kNever);
  }

  bool x_is_put = false;
  std::deque<Counted<PingOp>> x_before = std::deque<Counted<PingOp>>(2);
  Get x_get{2, kBytes.size()};
  Put x_put{kBytes};
};

TEST_P(CloseTest, ByALoss) {
  x_link->lost(unavailable("the peer is gone"));
  EXPECT_TRUE(x_network.is_closed);
  EXPECT_EQ(ends(), GetParam().holds_memory ? 0 : 1);
  EXPECT_EQ(x_link->is_idle(), !GetParam().holds_memory);
  expect_refuses();
  finish_all();
  expect_over(GetParam().after_loss);
  EXPECT_TRUE(x_link->is_idle());
}

TEST_P(CloseTest, ByItsDeadline) {
  x_link->hasten(op(), x_clock.now() + milliseconds(3));
  EXPECT_EQ(x_link->next_deadline(), x_clock.now() + milliseconds(3));
  advance(milliseconds(2));
  EXPECT_EQ(ends(), 0);
  advance(milliseconds(1));
  EXPECT_EQ(x_link->is_lost(), GetParam().holds_memory);
  EXPECT_EQ(ends(), GetParam().holds_memory ? 0 : 1);
  if (GetParam().holds_memory) expect_refuses();
  finish_all();
  expect_over(GetParam().after_deadline);
}

// The next request cannot be sent: found in the middle of a submit, told by the next turn.
TEST_P(CloseTest, ByASendThatFails) {
  Counted<PingOp> last;
  fault::arm("link.send", {});
  ASSERT_TRUE(x_link->submit(last).is_ok());
  if (GetParam().name == std::string("get_waits_for_credit")) {
    reply(0, wire::Pong{});
    EXPECT_EQ(x_before[0].ends, 1);
  }
  EXPECT_EQ(ends() + last.ends, 0) << "not from inside";
  x_link->expire(x_clock.now());
  EXPECT_TRUE(x_link->is_lost());
  EXPECT_EQ(last.code, Code::unavailable);
  finish_all();
  expect_over(GetParam().after_loss);
  EXPECT_EQ(last.ends, 1);
}

// What the network and the server still say of a link that is lost goes nowhere.
TEST_P(CloseTest, NothingThatComesLaterCounts) {
  x_link->lost(unavailable("the peer is gone"));
  const std::vector<Code> codes = {x_get.targets[0].code, x_get.targets[1].code};
  const size_t receives = x_network.receives.size();
  for (size_t i = 0; i < x_network.sent.size(); ++i) {
    reply_block(i, 1, kBytes);
    reply_misses(i, 0, 2);
    reply(i, wire::PutReply{Epoch{9}, Code::ok, 1, {}});
    reply(i, wire::ErrorReply{Epoch{9}, Code::internal, {}});
  }
  EXPECT_EQ(x_link->counters().unknown_replies, 4 * x_network.sent.size());
  EXPECT_EQ(x_network.receives.size(), receives);
  EXPECT_EQ(x_get.targets[0].code, codes[0]);
  EXPECT_EQ(x_get.targets[1].code, codes[1]);
  x_link->expire(x_clock.now() + std::chrono::hours(1));
  finish_all();
  expect_over(GetParam().after_loss);
}

constexpr State kStates[] = {
    {"get_waits_for_credit", Code::unavailable, Code::deadline_exceeded, false},
    {"get_was_sent", Code::unavailable, Code::deadline_exceeded, false},
    {"get_has_a_miss", Code::unavailable, Code::deadline_exceeded, false},
    {"get_receives", Code::unavailable, Code::deadline_exceeded, true},
    {"get_receives_the_last", Code::unavailable, Code::deadline_exceeded, true},
    {"put_sends", Code::unavailable, Code::deadline_exceeded, true},
    {"put_waits_for_its_answer", Code::unavailable, Code::deadline_exceeded, false},
    {"put_was_kept_while_it_sends", Code::exists, Code::exists, true},
};

INSTANTIATE_TEST_SUITE_P(States, CloseTest, ::testing::ValuesIn(kStates),
                         [](const auto& each) { return each.param.name; });

class HastenTest : public LinkTest {};

TEST_F(HastenTest, NeverGivesMoreTime) {
  Get get(1, 64);
  get.deadline = x_clock.now() + milliseconds(5);
  ASSERT_TRUE(x_link->submit(get).is_ok());
  x_link->hasten(get, x_clock.now() + milliseconds(50));
  x_link->hasten(get, kNever);
  EXPECT_EQ(get.deadline, x_clock.now() + milliseconds(5));
  advance(milliseconds(5));
  EXPECT_EQ(get.code, Code::deadline_exceeded);
}

TEST_F(HastenTest, IntoThePastEndsAtTheNextTurnAndNotFromInside) {
  Get get(1, 64);
  ASSERT_TRUE(x_link->submit(get).is_ok());
  x_link->hasten(get, x_clock.now() - milliseconds(1));
  EXPECT_EQ(get.ends, 0);
  x_link->expire(x_clock.now());
  EXPECT_EQ(get.ends, 1);
}

// One in the queue is taken out of it; those behind keep their order and move up.
TEST_F(HastenTest, OneThatWaitsLetsTheOthersGoOn) {
  LinkIdentity identity;
  identity.credits = 1;
  open(identity);
  Counted<PingOp> first;
  Get waiting(2, 64);
  std::deque<Counted<PingOp>> behind(3);
  ASSERT_TRUE(x_link->submit(first).is_ok());
  ASSERT_TRUE(x_link->submit(waiting).is_ok());
  for (auto& ping : behind)
    ASSERT_TRUE(x_link->submit(ping).is_ok());
  x_link->hasten(waiting, x_clock.now());
  x_link->expire(x_clock.now());
  EXPECT_EQ(waiting.ends, 1);
  EXPECT_EQ(waiting.blocks, (std::vector<size_t>{0, 1}));
  for (size_t i = 0; i < 4; ++i) {
    ASSERT_EQ(x_network.sent.size(), i + 1) << "one at a time";
    EXPECT_EQ(i == 0 ? first.ends : behind[i - 1].ends, 0);
    reply(i, wire::Pong{});
    EXPECT_EQ(i == 0 ? first.ends : behind[i - 1].ends, 1);
  }
}

// As a caller does that gives up the rest of a batch at its first failure.
TEST_F(HastenTest, FromACallbackOfAnother) {
  Get other(3, 64);
  Get trigger(1, 64);
  trigger.on_block = [&](GetOp&, size_t) { x_link->hasten(other, x_clock.now()); };
  ASSERT_TRUE(x_link->submit(trigger).is_ok());
  ASSERT_TRUE(x_link->submit(other).is_ok());
  reply_misses(0, 0, 1);
  EXPECT_EQ(trigger.ends, 1);
  EXPECT_EQ(other.ends, 0);
  x_link->expire(x_clock.now());
  EXPECT_EQ(other.ends, 1);
  EXPECT_EQ(other.code, Code::deadline_exceeded);
  EXPECT_FALSE(x_link->is_lost());
}

using LinkDeathTest = LinkTest;

TEST_F(LinkDeathTest, AnOperationIsInFlightOnceAtATime) {
  Get get(1, 64);
  ASSERT_TRUE(x_link->submit(get).is_ok());
  EXPECT_DEATH((void)x_link->submit(get), "check failed");
  EXPECT_DEATH(x_link.reset(), "check failed") << "not while something is in flight";
  reply_misses(0, 0, 1);
}

TEST_F(LinkTest, ATableTellsLanesApartAndLeavesLostLinksOut) {
  FakeNetwork other_network;
  LinkIdentity identity = x_link->identity();
  identity.lane = kLane + 1;
  auto other = std::move(Link::open({identity, std::string(32, 'k'),
                                     std::make_unique<FakeConnection>(other_network), &x_clock}))
                   .value();
  LinkTable table;
  table.add(1, *x_link);
  table.add(2, *other);
  const auto bring = [&](uint64_t number, uint16_t lane) {
    wire::HeaderBuffer header;
    wire::encode({kId, wire::first_sequence(lane)}, wire::Pong{}, header);
    wire::sign(header, x_server_mac);
    FakePayload payload(x_network, {});
    return table.on_message(number, header.view(), payload);
  };
  EXPECT_TRUE(bring(0, kLane));
  EXPECT_EQ(x_link->counters().unknown_replies, 1u);
  EXPECT_TRUE(bring(0, kLane + 1));
  EXPECT_EQ(other->counters().unknown_replies, 1u);
  EXPECT_FALSE(bring(0, kLane + 2));
  EXPECT_FALSE(bring(3, kLane));
  // A message that says another lane than the connection it came over is that link's to refuse.
  EXPECT_TRUE(bring(2, kLane));
  EXPECT_EQ(other->counters().refused.of(wire::Refusal::lane), 1u);
  other->lost(unavailable("gone"));
  EXPECT_FALSE(bring(0, kLane + 1));
  EXPECT_EQ(table.unrouted(), 3u);
}

}  // namespace
}  // namespace tarn::fabric
