#pragma once

#include <cstdint>

#include "common/metrics/registry.h"
#include "server/tiers/tiered_store.h"

namespace tarn::lane {

// What one lane moves between dram and flash, as metrics. publish() is for the lane's own thread;
// the metrics can be read from any.
class TierMetrics {
 public:
  TierMetrics(metrics::Registry& registry, uint32_t lane);

  // Adds what came since the last call.
  void publish(const tiers::TieredCounters& totals);

 private:
  metrics::Counter& x_hits;
  metrics::Counter& x_bytes;
  metrics::Counter& x_misses;
  metrics::Counter& x_destaged;
  metrics::Counter& x_refused;
  tiers::TieredCounters x_seen;
};

}  // namespace tarn::lane
