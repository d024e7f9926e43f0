#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <filesystem>
#include <optional>
#include <random>
#include <string>

#include "server/io/block_device.h"
#include "server/io/page_buffer.h"

namespace tarn::io {

// A folder of a test's own, on a real file system.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string pattern = testing::TempDir() + "tarn-io-XXXXXX";
    x_path = ::mkdtemp(pattern.data());
  }
  ~ScratchFolder() { std::filesystem::remove_all(x_path); }
  std::string file(const std::string& name) const { return x_path + "/" + name; }

 private:
  std::string x_path;
};

inline void fill(std::span<std::byte> bytes, uint64_t seed) {
  std::mt19937_64 random(seed);
  for (std::byte& byte : bytes)
    byte = static_cast<std::byte>(random());
}

inline PageBuffer filled(uint64_t bytes, uint64_t seed) {
  PageBuffer buffer(bytes);
  fill(buffer.bytes(), seed);
  return buffer;
}

inline bool same(const PageBuffer& a, const PageBuffer& b) {
  return std::ranges::equal(a.bytes(), b.bytes());
}

// The outcome of one operation, once there is one.
struct Outcome {
  std::optional<Status> status;
  int freed = 0;

  IoDone done() {
    return [this](Status told) {
      EXPECT_FALSE(status.has_value()) << "told twice";
      EXPECT_EQ(freed, 0) << "freed before it is told";
      status = std::move(told);
    };
  }
  IoOptions options(IoQueue queue = IoQueue::read, Instant deadline = kNever) {
    return {queue, deadline, [this] { ++freed; }};
  }
  Code code() const { return status ? status->code() : Code::internal; }
};

// Sleeps on the event as a lane does, until the device is idle.
inline void run(BlockDevice& device) {
  device.poll();
  while (!device.is_idle()) {
    pollfd wait = {device.event_fd(), POLLIN, 0};
    ASSERT_EQ(::poll(&wait, 1, 10'000), 1) << "nothing wakes the lane";
    device.poll();
  }
}

inline Status write_now(BlockDevice& device, uint64_t offset, const PageBuffer& from) {
  Outcome outcome;
  const Status taken =
      device.write(offset, from.bytes(), outcome.options(IoQueue::destage), outcome.done());
  if (!taken.is_ok()) return taken;
  run(device);
  EXPECT_EQ(outcome.freed, 1);
  return outcome.status.value();
}

inline Status read_now(BlockDevice& device, uint64_t offset, PageBuffer& into) {
  Outcome outcome;
  const Status taken = device.read(offset, into.bytes(), outcome.options(), outcome.done());
  if (!taken.is_ok()) return taken;
  run(device);
  EXPECT_EQ(outcome.freed, 1);
  return outcome.status.value();
}

inline Status flush_now(BlockDevice& device) {
  Outcome outcome;
  const Status taken = device.flush(outcome.options(), outcome.done());
  if (!taken.is_ok()) return taken;
  run(device);
  return outcome.status.value();
}

}  // namespace tarn::io
