#include "server/store/event_log.h"

#include <algorithm>

#include "common/base/check.h"

namespace tarn::store {

EventLog::EventLog(size_t capacity, uint64_t base) : x_capacity(capacity), x_last(base) {
  TARN_CHECK(capacity > 0);
}

void EventLog::append(const BlockChange& change) {
  const MutexLock lock(x_mutex);
  ++x_last;
  // Grows to its capacity once, then goes round.
  if (x_ring.size() < x_capacity) x_ring.resize(x_ring.size() + 1);
  x_ring[x_count++ % x_capacity] = change;
  x_appended.notify_all();
}

uint64_t EventLog::last_sequence() const {
  const MutexLock lock(x_mutex);
  return x_last;
}

ChangeBatch EventLog::after(uint64_t sequence, size_t limit, Nanos timeout) const {
  const Instant end = system_clock().now() + timeout;
  const MutexLock lock(x_mutex);
  while (x_last == sequence && !x_closed) {
    const Nanos left = end - system_clock().now();
    if (left.count() <= 0) break;
    x_appended.wait_for(x_mutex, left);
  }
  ChangeBatch batch;
  const uint64_t oldest = x_last - x_ring.size() + 1;
  batch.gap = sequence > x_last || sequence + 1 < oldest;
  batch.first_sequence = batch.gap ? oldest : sequence + 1;
  for (uint64_t s = batch.first_sequence; s <= x_last && batch.changes.size() < limit; ++s)
    batch.changes.push_back(x_ring[(x_count - 1 - (x_last - s)) % x_capacity]);
  return batch;
}

void EventLog::gather(uint64_t sequence, size_t limit, Nanos period) const {
  const Instant end = system_clock().now() + period;
  const MutexLock lock(x_mutex);
  while (!x_closed && x_last - sequence < limit) {
    const Nanos left = end - system_clock().now();
    if (left.count() <= 0) return;
    x_ended.wait_for(x_mutex, left);
  }
}

void EventLog::close() {
  const MutexLock lock(x_mutex);
  x_closed = true;
  x_ended.notify_all();
  x_appended.notify_all();
}

}  // namespace tarn::store
