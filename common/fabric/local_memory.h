#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/fabric/fabric.h"

namespace tarn::fabric {

// Whose memory it is that a peer may map; zero for nobody's.
using Domain = std::array<uint8_t, 16>;

// Makes bytes that a peer views stay where and what they are until the returned function is
// called, whatever becomes of their send; null where that cannot be.
using Keeper = std::function<std::function<void()>(Bytes)>;

// Memory of one peer that this process has mapped, for reading only.
class LocalMapping {
 public:
  // Maps memory that a peer has passed, if nothing that the peer does can take its pages away: a
  // memfd of ordinary pages, sealed against shrinking and growing. Closes `fd`.
  // Returns: the mapping, invalid_argument (what is wrong with it), overloaded.
  static Result<std::shared_ptr<const LocalMapping>> open(int fd, uint64_t bytes);

  LocalMapping(const std::byte* base, size_t bytes) : x_memory(base, bytes) {}
  ~LocalMapping();
  LocalMapping(const LocalMapping&) = delete;
  LocalMapping& operator=(const LocalMapping&) = delete;

  Bytes memory() const { return x_memory; }

 private:
  const Bytes x_memory;
};

// The memory that the ports of a process show to peers instead of copying out of it: a server's
// slabs, by domain, or the Buffers of an SDK. Thread-safe. Outlives its ports.
class LocalMemory {
 public:
  struct Region {
    uint64_t id = 0;
    Bytes memory;
    int fd = -1;      // of a sealed memfd, mapped from its start; not owned
    Domain domain{};  // whose peers may map it; zero: every peer
  };

  // The memory stays where it is until remove(). Ids are never used again.
  void add(Region region);
  void remove(uint64_t id);

  // The region in which all of `bytes` lies.
  std::optional<Region> find(Bytes bytes) const;
  bool has(uint64_t id) const;
  // Rises when a region goes.
  uint64_t removals() const { return x_removals.load(std::memory_order_acquire); }

 private:
  mutable Mutex x_mutex;
  std::map<const std::byte*, Region> x_by_address TARN_GUARDED_BY(x_mutex);
  std::map<uint64_t, const std::byte*> x_by_id TARN_GUARDED_BY(x_mutex);
  std::atomic<uint64_t> x_removals{0};
};

}  // namespace tarn::fabric
