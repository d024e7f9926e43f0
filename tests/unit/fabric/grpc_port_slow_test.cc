#include <gtest/gtest.h>

#include <fstream>

#include "common/base/clock.h"
#include "common/base/units.h"
#include "tests/unit/fabric/grpc_pair.h"

namespace tarn::fabric {
namespace {

uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  uint64_t total_pages = 0;
  uint64_t resident_pages = 0;
  file >> total_pages >> resident_pages;
  return resident_pages * 4096;
}

// A lane that does not turn holds the client back instead of growing.
TEST(GrpcFlow, ASlowLaneHoldsTheClientBack) {
  GrpcServerOfTests server;
  auto lane = GrpcPort::open_lane(server.service().streams(), 0).value();
  auto client = GrpcPort::open_client(server.new_channel()).value();
  auto connection = client->connect({.peer_address = "0", .link = 0, .on_lost = {}}).value();
  const std::vector<std::byte> out = pattern(16 * kMiB, 1);
  const Bytes part = out;
  const std::string header = "x";
  uint64_t accepted = 0;
  uint64_t ended = 0;
  const uint64_t before = resident_bytes();
  const auto send = [&] {
    const Status sent =
        connection->send(std::as_bytes(std::span(header)), {&part, 1}, [&](Code) { ++ended; });
    if (sent.is_ok()) ++accepted;
    return sent;
  };
  const Instant end = system_clock().now() + std::chrono::seconds(3);
  while (system_clock().now() < end) {
    (void)send();
    client->progress();
  }
  EXPECT_EQ(send().code(), Code::overloaded);
  EXPECT_LE(accepted * out.size(), kGrpcInboxBytesMax + kGrpcOutboxBytesMax + 8 * out.size());
  EXPECT_LE(resident_bytes() - before,
            2 * (kGrpcInboxBytesMax + kGrpcOutboxBytesMax) + 16 * out.size());
  uint64_t arrived = 0;
  lane->set_handler([&](uint64_t, Bytes, Payload&) { ++arrived; });
  const Instant drained = system_clock().now() + std::chrono::seconds(30);
  while ((arrived < accepted || ended < accepted) && system_clock().now() < drained) {
    lane->progress();
    client->progress();
  }
  EXPECT_EQ(arrived, accepted);
  EXPECT_EQ(ended, accepted);
}

}  // namespace
}  // namespace tarn::fabric
