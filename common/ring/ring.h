#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "common/base/check.h"
#include "common/base/ids.h"
#include "common/base/result.h"
#include "common/ring/config.h"

namespace tarn::ring {

// Owners that one question can ask for: k+m+1 of the widest erasure code.
inline constexpr uint32_t kOwnersMax = 16;
// Points on the ring of a server of weight kWeightOne; docs/RING.md has the measured balance.
inline constexpr uint32_t kVirtualNodes = 512;

// A few servers in order, without allocation. Value type.
class OwnerList {
 public:
  uint32_t size() const { return x_count; }
  bool empty() const { return x_count == 0; }
  ServerId operator[](uint32_t i) const {
    TARN_DCHECK(i < x_count);
    return x_ids[i];
  }
  ServerId front() const { return (*this)[0]; }
  const ServerId* begin() const { return x_ids.data(); }
  const ServerId* end() const { return x_ids.data() + x_count; }
  bool contains(ServerId id) const;
  // Precondition: size() < kOwnersMax.
  void push_back(ServerId id) {
    TARN_CHECK(x_count < kOwnersMax);
    x_ids[x_count++] = id;
  }

  friend bool operator==(const OwnerList& a, const OwnerList& b) {
    return a.x_ids == b.x_ids && a.x_count == b.x_count;
  }

 private:
  std::array<ServerId, kOwnersMax> x_ids{};
  uint32_t x_count = 0;
};

// The weighted consistent hash of one epoch: each server stands at weight / kWeightOne *
// kVirtualNodes points; a position belongs to the servers met from it upwards, around. The same
// members give the same owners in every process. Immutable after build, thread-safe. Limit: memory
// is 16 bytes a point, twice while a member drains.
class Ring {
 public:
  // Returns: the ring, invalid_argument for a config that validate refuses. Without a member that
  // is up it has no owners.
  static Result<Ring> build(const ClusterConfig& config);

  // At most `count` (and kOwnersMax) servers that own the position for writes; the first is the
  // primary. Distinct failure domains come first; when they run out, further servers of domains
  // already named. Fewer when the ring has fewer servers.
  OwnerList owners(Position position, uint32_t count) const {
    return walk(x_writes, position, count);
  }

  // The same among members that are up or draining: who would hold what was put before the drain
  // began.
  OwnerList owners_for_read(Position position, uint32_t count) const {
    return walk(x_reads.points.empty() ? x_writes : x_reads, position, count);
  }

  Epoch epoch() const { return x_epoch; }
  // Failure domains among the members that own positions for writes: `replicated` n needs n.
  uint32_t domain_count() const { return x_writes.domain_count; }
  uint32_t server_count() const { return static_cast<uint32_t>(x_writes.servers.size()); }

 private:
  struct Server {
    ServerId id;
    uint32_t domain_index = 0;
  };
  struct Point {
    uint64_t position = 0;
    uint32_t server_index = 0;
  };
  struct Circle {
    std::vector<Server> servers;
    std::vector<Point> points;  // by position, then server
    uint32_t domain_count = 0;
  };

  static Circle draw(const ClusterConfig& config, bool with_draining);
  static OwnerList walk(const Circle& circle, Position position, uint32_t count);

  Epoch x_epoch;
  Circle x_writes;
  Circle x_reads;  // empty when nobody drains: then it equals x_writes
};

}  // namespace tarn::ring
