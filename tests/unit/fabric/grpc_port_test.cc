#include "common/fabric/grpc_port.h"

#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include "common/base/clock.h"
#include "common/base/fault_point.h"
#include "tests/unit/fabric/grpc_pair.h"

namespace tarn::fabric {
namespace {

Bytes bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

class GrpcPortTest : public testing::Test {
 protected:
  void TearDown() override { fault::disarm_all(); }

  std::unique_ptr<GrpcPort> open_lane(uint32_t lane) {
    auto port = GrpcPort::open_lane(x_server.service().streams(), lane).value();
    port->set_handler([this, lane](uint64_t link, Bytes header, Payload&) {
      x_arrived.push_back(std::to_string(lane) + "/" + std::to_string(link) + "/" +
                          std::string(reinterpret_cast<const char*>(header.data()), header.size()));
    });
    x_ports.push_back(port.get());
    return port;
  }
  std::unique_ptr<GrpcPort> open_client() {
    auto port = GrpcPort::open_client(x_server.new_channel()).value();
    x_ports.push_back(port.get());
    return port;
  }
  ConnectOptions to(std::string address) {
    return {.peer_address = std::move(address), .link = 9, .on_lost = [this](Status why) {
              x_lost.push_back(why.message());
            }};
  }
  bool until(const std::function<bool()>& condition) {
    const Instant end = system_clock().now() + std::chrono::seconds(10);
    while (!condition()) {
      if (system_clock().now() > end) return false;
      for (GrpcPort* port : x_ports)
        port->progress();
    }
    return true;
  }

  GrpcServerOfTests x_server;
  std::vector<GrpcPort*> x_ports;
  std::vector<std::string> x_arrived;
  std::vector<std::string> x_lost;
};

TEST_F(GrpcPortTest, OneStreamReachesAllLanes) {
  auto lane_0 = open_lane(0);
  auto lane_5 = open_lane(5);
  auto client = open_client();
  auto back = lane_5->connect(to(client->address())).value();
  auto to_0 = client->connect(to("0")).value();
  auto to_5 = client->connect(to("5")).value();
  ASSERT_TRUE(to_0->send(bytes_of("a"), {}, {}).is_ok());
  ASSERT_TRUE(to_5->send(bytes_of("b"), {}, {}).is_ok());
  ASSERT_TRUE(until([&] { return x_arrived.size() == 2; }));
  std::sort(x_arrived.begin(), x_arrived.end());
  EXPECT_EQ(x_arrived, (std::vector<std::string>{"0/0/a", "5/9/b"}));
  // The stream lives as long as one of its connections.
  to_0.reset();
  ASSERT_TRUE(to_5->send(bytes_of("c"), {}, {}).is_ok());
  EXPECT_TRUE(until([&] { return x_arrived.size() == 3; }));
  EXPECT_TRUE(x_lost.empty());
}

TEST_F(GrpcPortTest, AClientSpeaksToManyServers) {
  GrpcServerOfTests other;
  auto lane = open_lane(0);
  auto other_lane = GrpcPort::open_lane(other.service().streams(), 0).value();
  int at_other = 0;
  other_lane->set_handler([&](uint64_t, Bytes, Payload&) { ++at_other; });
  x_ports.push_back(other_lane.get());
  auto client = GrpcPort::open_client(nullptr).value();
  EXPECT_EQ(client->connect(to("0")).status().code(), Code::unavailable);
  const auto first_channel = x_server.new_channel();
  const auto other_channel = other.new_channel();
  auto first = client->connect_over(first_channel, to("0")).value();
  auto second = client->connect_over(other_channel, to("0")).value();
  x_ports.push_back(client.get());
  ASSERT_TRUE(first->send(bytes_of("x"), {}, {}).is_ok());
  ASSERT_TRUE(second->send(bytes_of("y"), {}, {}).is_ok());
  EXPECT_TRUE(until([&] { return x_arrived.size() == 1 && at_other == 1; }));
}

TEST_F(GrpcPortTest, AnAbsentLaneEndsTheStream) {
  auto lane = open_lane(0);
  auto client = open_client();
  auto connection = client->connect(to("1")).value();
  ASSERT_TRUE(connection->send(bytes_of("x"), {}, {}).is_ok());
  ASSERT_TRUE(until([&] { return x_lost.size() == 1; }));
  EXPECT_NE(x_lost[0].find("no lane 1"), std::string::npos) << x_lost[0];
}

TEST_F(GrpcPortTest, AnAbsentServerIsTold) {
  auto client = open_client();
  x_server.stop();
  auto connection = client->connect(to("0")).value();
  Code ended = Code::ok;
  const Status sent = connection->send(bytes_of("x"), {}, [&](Code code) { ended = code; });
  ASSERT_TRUE(until([&] { return x_lost.size() == 1; }));
  if (sent.is_ok()) {
    EXPECT_EQ(ended, Code::unavailable);
  }
}

TEST_F(GrpcPortTest, ARefusedCallerIsTold) {
  GrpcServerOfTests strict([](grpc::CallbackServerContext&) {
    return grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "who are you?");
  });
  auto client = GrpcPort::open_client(strict.new_channel()).value();
  x_ports.push_back(client.get());
  auto connection = client->connect(to("0")).value();
  ASSERT_TRUE(until([&] { return x_lost.size() == 1; }));
  EXPECT_NE(x_lost[0].find("who are you?"), std::string::npos) << x_lost[0];
}

TEST_F(GrpcPortTest, AfterALossANewConnectionWorks) {
  auto lane = open_lane(0);
  auto client = open_client();
  auto there = client->connect(to("0")).value();
  ASSERT_TRUE(there->send(bytes_of("x"), {}, {}).is_ok());
  ASSERT_TRUE(until([&] { return x_arrived.size() == 1; }));
  x_server.service().close_all();
  ASSERT_TRUE(until([&] { return x_lost.size() == 1; }));
  EXPECT_EQ(there->send(bytes_of("x"), {}, {}).code(), Code::unavailable);
  there = client->connect(to("0")).value();
  ASSERT_TRUE(there->send(bytes_of("y"), {}, {}).is_ok());
  EXPECT_TRUE(until([&] { return x_arrived.size() == 2; }));
}

TEST_F(GrpcPortTest, AStreamWithoutItsTokenOrWithGarbageIsRefused) {
  auto lane = open_lane(0);
  auto stub = v1::StorageBulk::NewStub(x_server.new_channel());
  {
    grpc::ClientContext context;
    auto stream = stub->Exchange(&context);
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  }
  grpc::ClientContext context;
  context.AddMetadata("tarn-port", "0123");
  auto stream = stub->Exchange(&context);
  v1::BulkFrame frame;
  frame.set_header(std::string(kHeaderBytesMax + 1, 'h'));
  ASSERT_TRUE(stream->Write(frame));
  const grpc::Status status = stream->Finish();
  EXPECT_NE(status.error_message().find("malformed"), std::string::npos) << status.error_message();
}

TEST_F(GrpcPortTest, ANewerStreamOfOneClientReplacesTheOlder) {
  auto lane = open_lane(0);
  auto stub = v1::StorageBulk::NewStub(x_server.new_channel());
  grpc::ClientContext first_context;
  first_context.AddMetadata("tarn-port", "0123");
  auto first = stub->Exchange(&first_context);
  v1::BulkFrame frame;
  frame.set_header("first");
  ASSERT_TRUE(first->Write(frame));
  ASSERT_TRUE(until([&] { return x_arrived.size() == 1; }));
  grpc::ClientContext second_context;
  second_context.AddMetadata("tarn-port", "0123");
  auto second = stub->Exchange(&second_context);
  frame.set_header("second");
  ASSERT_TRUE(second->Write(frame));
  ASSERT_TRUE(until([&] { return x_arrived.size() == 2; }));
  EXPECT_EQ(first->Finish().error_code(), grpc::StatusCode::ABORTED);
  second_context.TryCancel();
}

TEST_F(GrpcPortTest, AnAnswerBeforeTheStreamIsOverloaded) {
  auto lane = open_lane(0);
  auto client = open_client();
  auto back = lane->connect(to(client->address())).value();
  EXPECT_EQ(back->send(bytes_of("early"), {}, {}).code(), Code::overloaded);
}

TEST_F(GrpcPortTest, ALaneHasOnePort) {
  auto lane = open_lane(0);
  EXPECT_EQ(GrpcPort::open_lane(x_server.service().streams(), 0).status().code(),
            Code::invalid_argument);
}

TEST_F(GrpcPortTest, AConnectionMayOutliveItsPort) {
  auto client = open_client();
  auto connection = client->connect(to("0")).value();
  x_ports.clear();
  client.reset();
  EXPECT_EQ(connection->send(bytes_of("x"), {}, {}).code(), Code::unavailable);
}

TEST_F(GrpcPortTest, TheFaultPointFailsASend) {
  auto client = open_client();
  auto connection = client->connect(to("0")).value();
  fault::arm("fabric.grpc_send", {});
  EXPECT_EQ(connection->send(bytes_of("x"), {}, {}).code(), Code::unavailable);
}

TEST(GrpcInbox, AFullOneResumesWhoWaits) {
  GrpcInbox inbox(Event::open().value());
  auto stream = std::make_shared<GrpcStream>("t", GrpcStream::Roles{});
  GrpcFrame big;
  big.payload_bytes = kGrpcInboxBytesMax - 1;
  EXPECT_TRUE(inbox.offer(stream, &big));
  GrpcFrame next;
  next.payload_bytes = 2;
  EXPECT_FALSE(inbox.offer(stream, &next));
  EXPECT_FALSE(inbox.arm());
  std::vector<GrpcEvent> taken;
  inbox.take_all(&taken);
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_FALSE(inbox.offer(stream, &next)) << "room is made once the frame was handled";
  inbox.make_room(1, taken[0].frame.bytes());
  EXPECT_TRUE(inbox.offer(stream, &next));
  inbox.close();
  EXPECT_FALSE(inbox.offer(stream, &next));
}

}  // namespace
}  // namespace tarn::fabric
