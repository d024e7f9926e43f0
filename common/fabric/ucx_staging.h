#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/fabric/fabric.h"

namespace tarn::fabric {

// Bytes of staging that one port has, in use and spare together.
inline constexpr size_t kUcxStagingBytesMax = 192 * 1024 * 1024;

// Memory in one piece for payloads that go into many, over shared memory: UCX reads the peer's
// memory by one system call into one piece, and copies through its queues into many; a peer that is
// killed in the middle of writing to a queue blocks it for all. One-thread (the port's).
// Limit: kUcxStagingBytesMax.
class UcxStaging {
 public:
  struct Buffer {
    std::unique_ptr<std::byte[]> memory;
    size_t capacity = 0;
  };

  // An empty one when there is no room.
  Buffer take(size_t bytes) {
    for (size_t i = 0; i < x_spare.size(); ++i) {
      if (x_spare[i].capacity < bytes) continue;
      std::swap(x_spare[i], x_spare.back());
      Buffer found = std::move(x_spare.back());
      x_spare.pop_back();
      return found;
    }
    if (x_bytes + bytes > kUcxStagingBytesMax) drop_spare();
    if (x_bytes + bytes > kUcxStagingBytesMax) return {};
    x_bytes += bytes;
    return {std::make_unique_for_overwrite<std::byte[]>(bytes), bytes};
  }

  void give_back(Buffer buffer) {
    TARN_CHECK(buffer.memory != nullptr && buffer.capacity <= x_bytes);
    x_spare.push_back(std::move(buffer));
  }

  size_t bytes() const { return x_bytes; }

 private:
  void drop_spare() {
    for (const Buffer& each : x_spare)
      x_bytes -= each.capacity;
    x_spare.clear();
  }

  size_t x_bytes = 0;
  std::vector<Buffer> x_spare;
};

}  // namespace tarn::fabric
