#pragma once

#include <array>
#include <cstdint>

#include "common/fabric/link.h"
#include "common/fabric/local_session.h"
#include "common/metrics/registry.h"

namespace tarn::lane {

// What the fabric of one lane counts by itself, as metrics. publish() is for the lane's own thread;
// the metrics can be read from any.
class FabricMetrics {
 public:
  // Since the lane's start.
  struct Totals {
    uint64_t quarantined = 0;
    uint64_t unrouted = 0;  // replies
    const fabric::LinkCounters& links;
    fabric::LocalCounters local = {};
  };

  FabricMetrics(metrics::Registry& registry, uint32_t lane);

  // Adds what came since the last call.
  void publish(const Totals& totals);

 private:
  struct Followed {
    metrics::Counter* counter = nullptr;
    uint64_t seen = 0;
    void follow(uint64_t total);
  };

  void publish(const fabric::LocalCounters& local);

  Followed x_quarantined;
  Followed x_local_hellos;
  Followed x_local_notes;
  Followed x_local_memory;
  Followed x_local_indices;
  Followed x_local_records;
  Followed x_local_shown;
  Followed x_local_bounced;
  Followed x_unrouted;
  Followed x_unknown;
  Followed x_late;
  Followed x_repeated;
  Followed x_foreign;
  std::array<Followed, wire::kRefusalCount> x_malformed;  // by Refusal; none has no counter
};

}  // namespace tarn::lane
