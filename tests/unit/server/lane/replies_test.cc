// Answers that a connection does not take at once.
#include "server/lane/replies.h"

#include <gtest/gtest.h>

namespace tarn::lane {
namespace {

// Takes `room` messages, and then none until there is room again.
class Narrow : public fabric::Connection {
 public:
  Narrow(size_t& room, size_t& sent) : x_room(room), x_sent(sent) {}
  Status send(fabric::Bytes, std::span<const fabric::Bytes>, fabric::SendDone) override {
    if (x_room == 0) return overloaded("full");
    --x_room;
    ++x_sent;
    return Status::ok();
  }
  void close() override {}

 private:
  size_t& x_room;
  size_t& x_sent;
};

class RepliesTest : public testing::Test {
 protected:
  struct Reader {
    Peer* peer = nullptr;
    size_t room = 0;
    size_t sent = 0;
  };
  void add(Reader& reader, uint64_t id) {
    PeerSpec spec;
    spec.connection_id = id;
    spec.ticket.holder = *auth::make_identity(auth::Role::tenant, "acme");
    spec.client_key = std::string(32, 'k');
    reader.peer = x_peers.add(spec).value();
    reader.peer->connection = std::make_unique<Narrow>(reader.room, reader.sent);
  }
  void answer(Reader& reader) {
    x_replies.send(*reader.peer, {reader.peer->id, 1}, wire::Pong{Epoch{1}});
  }

  metrics::Registry x_registry;
  LaneMetrics x_metrics{x_registry, 0};
  Peers x_peers;
  Replies x_replies{x_peers, x_metrics};
};

TEST_F(RepliesTest, OneThatReadsNothingDelaysNobodyElse) {
  Reader stuck;
  Reader slow;
  add(stuck, 1);
  add(slow, 2);
  answer(stuck);
  answer(slow);
  answer(slow);
  EXPECT_EQ(x_replies.flush(), 0u);
  slow.room = 10;
  EXPECT_EQ(x_replies.flush(), 2u);
  EXPECT_EQ(slow.sent, 2u);
  EXPECT_EQ(slow.peer->requests, 0u);
  EXPECT_EQ(stuck.sent, 0u);
  EXPECT_FALSE(x_replies.is_idle());
  stuck.room = 1;
  EXPECT_EQ(x_replies.flush(), 1u);
  EXPECT_TRUE(x_replies.is_idle());
}

TEST_F(RepliesTest, NothingOvertakesWhatWaits) {
  Reader slow;
  add(slow, 1);
  answer(slow);
  slow.room = 1;
  answer(slow);
  EXPECT_EQ(slow.sent, 0u);
  const auto block = [&] { return x_replies.send_block(*slow.peer, {}, {}).code(); };
  EXPECT_EQ(block(), Code::overloaded);
  EXPECT_EQ(x_replies.flush(), 1u);
  EXPECT_EQ(block(), Code::overloaded);
  slow.room = 2;
  EXPECT_EQ(x_replies.flush(), 1u);
  EXPECT_EQ(block(), Code::ok);
  EXPECT_EQ(slow.sent, 3u);
}

TEST_F(RepliesTest, OneThatReadsNothingIsClosedAtItsLimit) {
  Reader stuck;
  Reader slow;
  add(stuck, 1);
  add(slow, 2);
  answer(slow);
  for (size_t i = 0; i < Replies::kParkedOfPeerMax; ++i) {
    answer(stuck);
    ASSERT_FALSE(stuck.peer->is_closed) << i;
  }
  answer(stuck);
  EXPECT_TRUE(stuck.peer->is_closed);
  EXPECT_FALSE(slow.peer->is_closed);
  EXPECT_EQ(x_replies.flush(), Replies::kParkedOfPeerMax) << "what was kept for it is forgotten";
  EXPECT_EQ(stuck.peer->requests, 0u);
  slow.room = 1;
  EXPECT_EQ(x_replies.flush(), 1u);
}

}  // namespace
}  // namespace tarn::lane
