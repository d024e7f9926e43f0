#include "common/fabric/loop_port.h"

#include <gtest/gtest.h>

#include <optional>

#include "common/base/fault_point.h"
#include "tests/unit/fabric/fabric_pair.h"

namespace tarn::fabric {
namespace {

Bytes bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

class Loop : public testing::Test {
 protected:
  void SetUp() override {
    x_a = LoopPort::open(x_hub, "a").value();
    x_b = LoopPort::open(x_hub, "b").value();
    x_connection =
        x_a->connect({.peer_address = "b", .link = 0, .on_lost = [this](Status) { ++x_lost; }})
            .value();
    x_b->set_handler([this](uint64_t, Bytes, Payload&) { ++x_arrived; });
  }

  void TearDown() override { fault::disarm_all(); }

  Status send() {
    return x_connection->send(bytes_of("m"), {}, [this](Code code) { x_ends.push_back(code); });
  }
  void turn() {
    for (int i = 0; i < 4; ++i) {
      x_a->progress();
      x_b->progress();
    }
  }

  LoopHub x_hub;
  std::unique_ptr<LoopPort> x_a;
  std::unique_ptr<LoopPort> x_b;
  std::unique_ptr<Connection> x_connection;
  std::vector<Code> x_ends;
  int x_arrived = 0;
  int x_lost = 0;
};

TEST_F(Loop, NamesAreUniqueAndNotEmpty) {
  EXPECT_EQ(LoopPort::open(x_hub, "a").status().code(), Code::invalid_argument);
  EXPECT_EQ(LoopPort::open(x_hub, "").status().code(), Code::invalid_argument);
  x_b.reset();
  EXPECT_TRUE(LoopPort::open(x_hub, "b").has_value());
}

TEST_F(Loop, ADroppedMessageLooksSent) {
  x_hub.set_path("a", "b", LoopHub::Path::drop);
  ASSERT_TRUE(send().is_ok());
  turn();
  EXPECT_EQ(x_ends, std::vector{Code::ok});
  EXPECT_EQ(x_arrived, 0);
}

TEST_F(Loop, AHeldMessageStaysInFlightUntilReleased) {
  x_hub.set_path("a", "b", LoopHub::Path::hold);
  ASSERT_TRUE(send().is_ok());
  turn();
  EXPECT_TRUE(x_ends.empty());
  EXPECT_FALSE(x_a->idle());
  x_hub.set_path("a", "b", LoopHub::Path::pass);
  turn();
  EXPECT_EQ(x_ends, std::vector{Code::ok});
  EXPECT_EQ(x_arrived, 1);
  EXPECT_TRUE(x_a->idle());
}

TEST_F(Loop, AHeldMessageIsCancelledByClose) {
  x_hub.set_path("a", "b", LoopHub::Path::hold);
  ASSERT_TRUE(send().is_ok());
  x_connection->close();
  turn();
  EXPECT_EQ(x_ends, std::vector{Code::cancelled});
  x_hub.set_path("a", "b", LoopHub::Path::pass);
  turn();
  EXPECT_EQ(x_arrived, 0);
}

TEST_F(Loop, ALostPeerEndsWhatIsInFlight) {
  x_hub.set_path("a", "b", LoopHub::Path::hold);
  ASSERT_TRUE(send().is_ok());
  x_hub.lose("a", "b");
  turn();
  EXPECT_EQ(x_ends, std::vector{Code::unavailable});
  EXPECT_EQ(x_lost, 1);
  EXPECT_EQ(send().code(), Code::unavailable);
  x_hub.set_path("a", "b", LoopHub::Path::pass);
  x_connection = x_a->connect({.peer_address = "b", .link = 0, .on_lost = {}}).value();
  ASSERT_TRUE(send().is_ok());
  turn();
  EXPECT_EQ(x_arrived, 1);
}

TEST_F(Loop, AFullInboxRefuses) {
  for (size_t i = 0; i < kLoopInboxMessagesMax; ++i)
    ASSERT_TRUE(send().is_ok());
  EXPECT_EQ(send().code(), Code::overloaded);
  turn();
  EXPECT_EQ(x_arrived, static_cast<int>(kLoopInboxMessagesMax));
  EXPECT_TRUE(send().is_ok());
  turn();
}

TEST_F(Loop, APortThatGoesEndsWhatWaitedAtIt) {
  ASSERT_TRUE(send().is_ok());
  x_b.reset();
  x_a->progress();
  x_a->progress();
  EXPECT_EQ(x_ends, std::vector{Code::unavailable});
  EXPECT_EQ(x_lost, 1);
}

TEST_F(Loop, AConnectionMayOutliveItsPort) {
  x_a.reset();
  EXPECT_EQ(send().code(), Code::unavailable);
  x_connection.reset();
}

// Sends a payload of these parts, and asks for a view of it.
class LoopViews : public Loop {
 protected:
  void view_of(std::vector<std::string> parts) {
    x_parts = std::move(parts);
    std::vector<Bytes> payload;
    for (const std::string& part : x_parts)
      payload.push_back(bytes_of(part));
    x_b->set_handler([this](uint64_t, Bytes, Payload& arrived) {
      x_view.emplace(arrived.view());
      if (*x_view) return;
      x_room.resize(arrived.size());
      const MutableBytes room = std::as_writable_bytes(std::span(x_room));
      arrived.receive({&room, 1}, [](Code, uint32_t) {});
    });
    const auto done = [this](Code code) { x_ends.push_back(code); };
    ASSERT_TRUE(x_connection->send(bytes_of("m"), payload, done).is_ok());
    turn();
    ASSERT_TRUE(x_view.has_value());
  }

  std::vector<std::string> x_parts;
  std::optional<Result<View>> x_view;
  std::string x_room;
};

TEST_F(LoopViews, AreTheSendersBytesAndKeepTheSendGoing) {
  view_of({"whole"});
  ASSERT_TRUE(x_view->has_value());
  EXPECT_EQ(static_cast<const void*>((*x_view)->bytes.data()), x_parts[0].data());
  EXPECT_EQ((*x_view)->bytes.size(), 5u);
  EXPECT_TRUE(x_ends.empty());
  EXPECT_FALSE(x_a->idle());
  (*x_view)->release();
  turn();
  EXPECT_EQ(x_ends, std::vector{Code::ok});
  EXPECT_TRUE(x_a->idle());
}

TEST_F(LoopViews, OfSeveralPartsThereAreNoneButACopyWorks) {
  view_of({"two", "parts"});
  EXPECT_EQ(x_view->status().code(), Code::unsupported);
  EXPECT_EQ(x_room, "twoparts");
  EXPECT_EQ(x_ends, std::vector{Code::ok});
}

TEST_F(LoopViews, OutliveTheSendersClose) {
  view_of({"whole"});
  x_connection->close();
  turn();
  EXPECT_TRUE(x_ends.empty()) << "the bytes are still being looked at";
  (*x_view)->release();
  turn();
  EXPECT_EQ(x_ends, std::vector{Code::cancelled});
}

TEST_F(LoopViews, AreNotHandedOutWhereNothingIsMapped) {
  x_b->set_maps(false);
  view_of({"whole"});
  EXPECT_EQ(x_view->status().code(), Code::unsupported);
  EXPECT_EQ(x_room, "whole");
}

TEST_F(Loop, TheFaultPointFailsASend) {
  fault::arm("fabric.loop_send", {});
  EXPECT_EQ(send().code(), Code::unavailable);
  EXPECT_TRUE(send().is_ok());
  turn();
  EXPECT_EQ(x_arrived, 1);
}

}  // namespace
}  // namespace tarn::fabric
