#include "tests/unit/fabric/fabric_pair.h"

#include <gtest/gtest.h>

#include "common/base/clock.h"

namespace tarn::fabric {

std::unique_ptr<Connection> FabricPair::connect_a(ConnectOptions options) {
  options.peer_address = x_b->address();
  auto connection = x_a->connect(std::move(options));
  EXPECT_TRUE(connection.has_value()) << connection.status().to_string();
  return std::move(connection).value();
}

std::unique_ptr<Connection> FabricPair::connect_b(ConnectOptions options) {
  options.peer_address = x_a->address();
  auto connection = x_b->connect(std::move(options));
  EXPECT_TRUE(connection.has_value()) << connection.status().to_string();
  return std::move(connection).value();
}

bool FabricPair::until(const std::function<bool()>& condition) {
  const Instant end = system_clock().now() + std::chrono::seconds(10);
  while (!condition()) {
    if (system_clock().now() > end) return false;
    x_a->progress();
    if (x_b != nullptr) x_b->progress();
  }
  return true;
}

std::vector<std::byte> pattern(size_t bytes, uint64_t seed) {
  std::vector<std::byte> made(bytes);
  uint64_t state = seed * 0x9e3779b97f4a7c15ULL + 1;
  for (std::byte& each : made) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    each = static_cast<std::byte>(state >> 56);
  }
  return made;
}

}  // namespace tarn::fabric
