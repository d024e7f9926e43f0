// One stream under a gRPC that the test plays: it ends reads and writes when it likes.
#include "common/fabric/grpc_stream.h"

#include <gtest/gtest.h>

#include "common/fabric/grpc_port.h"
#include "common/fabric/grpc_streams.h"
#include "tests/unit/fabric/fake_grpc_call.h"

namespace tarn::fabric {
namespace {

class GrpcStreamTest : public testing::Test {
 protected:
  GrpcStreamTest() {
    GrpcStream::Roles roles;
    roles.inbox_of = [this](uint32_t lane) { return lane == 3 ? x_inbox : nullptr; };
    roles.ended = [this](GrpcEvent lost) { x_ended.push_back(std::move(lost)); };
    x_stream = std::make_shared<GrpcStream>("token", std::move(roles));
  }
  ~GrpcStreamTest() override { x_inbox->close(); }

  Status send(uint64_t id, uint64_t connection = 1, uint64_t bytes = 10) {
    return x_stream->send({x_inbox, connection, id, bytes, encode_frame(3, {}, {})});
  }
  void end_write(bool ok) {
    ASSERT_NE(x_call.writing, nullptr);
    x_call.writing = nullptr;
    x_stream->on_write(ok);
  }
  void arrive(grpc::ByteBuffer message) {
    ASSERT_NE(x_call.reading, nullptr);
    x_call.reading->Swap(&message);
    x_call.reading = nullptr;
    x_stream->on_read(true);
  }
  void arrive(uint32_t lane, size_t bytes = 1) {
    const std::vector<std::byte> payload(bytes);
    const Bytes part = payload;
    arrive(encode_frame(lane, {}, {&part, 1}));
  }
  // As gRPC does at last: what is under way ends badly, then the call is gone.
  void let_go(const std::string& why) {
    if (x_call.writing != nullptr) end_write(false);
    if (std::exchange(x_call.reading, nullptr) != nullptr) x_stream->on_read(false);
    x_stream->on_done(why, nullptr);
  }

  std::vector<GrpcEvent> take() {
    std::vector<GrpcEvent> events;
    x_inbox->take_all(&events);
    return events;
  }
  // Ids of the sends that ended, each with "!" when it failed.
  std::string sent() {
    std::string text;
    for (const GrpcEvent& event : take()) {
      if (event.what != GrpcEvent::What::sent) continue;
      text += std::to_string(event.send_id) + (event.code == Code::ok ? " " : "! ");
    }
    return text;
  }

  FakeCall x_call;
  std::shared_ptr<GrpcInbox> x_inbox = std::make_shared<GrpcInbox>(Event::open().value());
  std::vector<GrpcEvent> x_ended;
  std::shared_ptr<GrpcStream> x_stream;
};

TEST_F(GrpcStreamTest, WritesOneAtATimeInOrderAlsoWhatCameBeforeTheCall) {
  ASSERT_TRUE(send(1).is_ok());
  ASSERT_TRUE(send(2).is_ok());
  EXPECT_EQ(x_call.writing, nullptr);
  x_stream->start(&x_call);
  ASSERT_TRUE(send(3).is_ok());
  for (int i = 0; i < 3; ++i)
    end_write(true);
  EXPECT_EQ(x_call.writing, nullptr);
  EXPECT_EQ(sent(), "1 2 3 ");
}

TEST_F(GrpcStreamTest, DropForgetsWhatIsNotYetBeingWritten) {
  x_stream->start(&x_call);
  for (const auto& [id, connection] : {std::pair(1, 1), {2, 1}, {3, 2}, {4, 1}})
    ASSERT_TRUE(send(static_cast<uint64_t>(id), static_cast<uint64_t>(connection)).is_ok());
  x_stream->drop(x_inbox.get(), 1);
  end_write(true);
  end_write(true);
  EXPECT_EQ(x_call.writing, nullptr);
  EXPECT_EQ(sent(), "1 3 ") << "the first was with gRPC already, the third is another's";
  // Another port's connection of the same number is not meant.
  const auto other = std::make_shared<GrpcInbox>(Event::open().value());
  ASSERT_TRUE(send(5).is_ok());
  ASSERT_TRUE(send(6).is_ok());
  x_stream->drop(other.get(), 1);
  end_write(true);
  end_write(true);
  EXPECT_EQ(sent(), "5 6 ");
}

TEST_F(GrpcStreamTest, TheOutboxHasALimitButTakesOneOfAnySize) {
  x_stream->start(&x_call);
  EXPECT_TRUE(x_stream->has_room(2 * kGrpcOutboxBytesMax)) << "alone it may";
  ASSERT_TRUE(send(1, 1, kGrpcOutboxBytesMax - 5).is_ok());
  EXPECT_TRUE(x_stream->has_room(5));
  EXPECT_FALSE(x_stream->has_room(6));
  ASSERT_TRUE(send(2, 2, 5).is_ok());
  EXPECT_FALSE(x_stream->has_room(1));
  x_stream->drop(x_inbox.get(), 2);
  EXPECT_TRUE(x_stream->has_room(5)) << "what was dropped takes no room";
  end_write(true);
  EXPECT_TRUE(x_stream->has_room(kGrpcOutboxBytesMax));
}

// In each state that a stream can be in: every send ends once, the call is finished once, the loss
// is told once with its reason.
TEST_F(GrpcStreamTest, AWriteThatFailsEndsAllOnce) {
  x_stream->start(&x_call);
  for (uint64_t id = 1; id <= 3; ++id)
    ASSERT_TRUE(send(id).is_ok());
  end_write(false);
  EXPECT_EQ(x_call.finishes, 1);
  EXPECT_TRUE(x_stream->is_broken());
  EXPECT_EQ(send(4).code(), Code::unavailable);
  EXPECT_EQ(x_call.writing, nullptr) << "nothing more is written";
  EXPECT_TRUE(x_ended.empty()) << "gRPC has not let go";
  let_go("connection reset");
  EXPECT_EQ(sent(), "1! 2! 3! ");
  ASSERT_EQ(x_ended.size(), 1u);
  EXPECT_EQ(x_ended[0].why, "writing failed (connection reset)");
  EXPECT_EQ(x_call.finishes, 1);
}

TEST_F(GrpcStreamTest, APeerThatLeavesEndsAllOnce) {
  x_stream->start(&x_call);
  ASSERT_TRUE(send(1).is_ok());
  ASSERT_TRUE(send(2).is_ok());
  x_call.reading = nullptr;
  x_stream->on_read(false);
  EXPECT_EQ(x_call.finishes, 1);
  x_stream->close();
  EXPECT_EQ(x_call.finishes, 1);
  EXPECT_EQ(x_call.reason, "the peer ended the stream") << "the first reason holds";
  let_go("");
  EXPECT_EQ(sent(), "1! 2! ");
  ASSERT_EQ(x_ended.size(), 1u);
  EXPECT_EQ(x_ended[0].why, "the peer ended the stream");
}

TEST_F(GrpcStreamTest, GrpcThatEndsByItselfTellsItsOwnReason) {
  x_stream->start(&x_call);
  ASSERT_TRUE(send(1).is_ok());
  x_call.writing = nullptr;
  x_stream->on_done("the certificate is unknown", nullptr);
  EXPECT_EQ(sent(), "1! ");
  ASSERT_EQ(x_ended.size(), 1u);
  EXPECT_NE(x_ended[0].why.find("the certificate is unknown"), std::string::npos);
  EXPECT_EQ(x_call.finishes, 0) << "there is nothing to finish";
  EXPECT_EQ(send(2).code(), Code::unavailable);
}

TEST_F(GrpcStreamTest, AMalformedFrameAndALaneThatIsNoneEndTheStream) {
  struct Case {
    grpc::ByteBuffer message;
    const char* why;
  };
  const grpc::Slice junk("\xff\xff\xff");
  for (const Case& each : {Case{grpc::ByteBuffer(&junk, 1), "malformed frame"},
                           Case{encode_frame(4, {}, {}), "no lane 4"}}) {
    FakeCall call;
    GrpcStream::Roles roles;
    roles.inbox_of = [this](uint32_t lane) { return lane == 3 ? x_inbox : nullptr; };
    const auto stream = std::make_shared<GrpcStream>("t", std::move(roles));
    stream->start(&call);
    grpc::ByteBuffer message = each.message;
    call.reading->Swap(&message);
    call.reading = nullptr;
    stream->on_read(true);
    EXPECT_EQ(call.finishes, 1);
    EXPECT_NE(call.reason.find(each.why), std::string::npos) << call.reason;
    EXPECT_EQ(call.reading, nullptr) << "nothing more is read";
  }
  EXPECT_TRUE(take().empty());
}

// The peer is held back by not reading: one frame waits here, the others with gRPC.
TEST_F(GrpcStreamTest, AFullInboxStopsTheReadingUntilThereIsRoom) {
  x_stream->start(&x_call);
  for (size_t i = 0; i < kGrpcInboxFramesMax; ++i)
    arrive(3);
  ASSERT_NE(x_call.reading, nullptr);
  arrive(3);
  EXPECT_EQ(x_call.reading, nullptr) << "it waits with its frame";
  std::vector<GrpcEvent> events = take();
  EXPECT_EQ(events.size(), kGrpcInboxFramesMax);
  EXPECT_EQ(x_call.reading, nullptr) << "room is made when frames were handled";
  x_inbox->make_room(1, events[0].frame.bytes());
  ASSERT_NE(x_call.reading, nullptr);
  EXPECT_EQ(take().size(), 1u) << "the frame that waited, once";
}

TEST_F(GrpcStreamTest, AStreamThatBreaksWhileItsFrameWaitsDropsIt) {
  x_stream->start(&x_call);
  for (size_t i = 0; i <= kGrpcInboxFramesMax; ++i)
    arrive(3);
  x_stream->close();
  std::vector<GrpcEvent> events = take();
  uint64_t bytes = 0;
  for (const GrpcEvent& event : events)
    bytes += event.frame.bytes();
  x_inbox->make_room(events.size(), bytes);
  EXPECT_TRUE(take().empty());
  EXPECT_EQ(x_call.reading, nullptr);
  let_go("");
  EXPECT_EQ(x_ended.size(), 1u);
}

TEST_F(GrpcStreamTest, APortThatIsGoneTakesNothing) {
  x_stream->start(&x_call);
  x_inbox->close();
  arrive(3);
  EXPECT_EQ(x_call.reading, nullptr);
  ASSERT_TRUE(send(1).is_ok());
  end_write(true);
  EXPECT_TRUE(take().empty()) << "nobody is left to be told";
}

// gRPC takes up calls in any order: an older one that comes late was given up by its client.
TEST(GrpcStreams, AnOlderStreamThatComesLateReplacesNothing) {
  const auto streams = std::make_shared<GrpcStreams>();
  const auto second = streams->add_stream("token", 2).value();
  const auto late = streams->add_stream("token", 1);
  ASSERT_FALSE(late.has_value());
  EXPECT_EQ(late.error().code(), Code::conflict);
  EXPECT_FALSE(second->is_broken());
  EXPECT_EQ(streams->find("token"), second);
  const auto third = streams->add_stream("token", 3).value();
  EXPECT_TRUE(second->is_broken());
  const auto unnumbered = streams->add_stream("token", 0).value();
  EXPECT_TRUE(third->is_broken()) << "of a client that does not number them";
  EXPECT_TRUE(streams->add_stream("other", 1).has_value());
}

}  // namespace
}  // namespace tarn::fabric
