#pragma once

#include <cstdint>
#include <string>

#include "common/metrics/registry.h"

namespace tarn::flash {

struct DriveStats;

// One drive's numbers as metrics. publish() is for the drive's own thread; the metrics can be read
// from any.
class DriveMetrics {
 public:
  DriveMetrics(metrics::Registry& registry, uint32_t drive);

  // Counters follow from the last call.
  void publish(const DriveStats& stats);

 private:
  struct Followed {
    metrics::Counter& counter;
    uint64_t seen = 0;
    void follow(uint64_t total);
  };

  metrics::Gauge& x_capacity;
  metrics::Gauge& x_free;
  metrics::Gauge& x_writable;
  metrics::Gauge& x_late;
  Followed x_payload;
  Followed x_written;
  Followed x_moved;
  Followed x_dropped;
  Followed x_corrupt;
  Followed x_errors;
};

}  // namespace tarn::flash
