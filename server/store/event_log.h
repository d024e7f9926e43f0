#pragma once

#include <cstdint>
#include <vector>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "server/store/tier.h"

namespace tarn::store {

// Changes from some sequence on.
struct ChangeBatch {
  uint64_t first_sequence = 0;  // of changes[0]
  std::vector<BlockChange> changes;
  bool gap = false;  // changes before these were lost: take an inventory
};

// The latest changes of a server's blocks, numbered one by one, for routers that watch. Lanes
// append and never wait for a reader: what a reader did not fetch in time is lost to it and shows
// as a gap. Thread-safe. Limit: the newest `capacity` changes.
class EventLog {
 public:
  static constexpr size_t kCapacityDefault = 1 << 16;

  // The first change gets the number after `base`. A base that rises from one life of a server to
  // the next makes every earlier number a gap.
  explicit EventLog(size_t capacity = kCapacityDefault, uint64_t base = 0);

  void append(const BlockChange& change);

  // Sequence of the newest change, the base before the first.
  uint64_t last_sequence() const;

  // At most `limit` changes after `sequence`; with none yet, waits for one until `timeout`. A
  // sequence that is not reached yet counts as a gap.
  ChangeBatch after(uint64_t sequence, size_t limit, Nanos timeout) const;

  // Lets changes gather for so long, unless there are `limit` of them after `sequence` already.
  // Nothing that is appended wakes who waits here.
  void gather(uint64_t sequence, size_t limit, Nanos period) const;

  // Ends all waits, now and in future.
  void close();

 private:
  mutable Mutex x_mutex;
  mutable CondVar x_appended;
  mutable CondVar x_ended;
  std::vector<BlockChange> x_ring TARN_GUARDED_BY(x_mutex);
  uint64_t x_count TARN_GUARDED_BY(x_mutex) = 0;  // appended; the latest at (count - 1) % capacity
  const size_t x_capacity;
  uint64_t x_last TARN_GUARDED_BY(x_mutex);
  bool x_closed TARN_GUARDED_BY(x_mutex) = false;
};

}  // namespace tarn::store
