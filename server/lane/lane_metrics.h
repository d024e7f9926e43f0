#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "common/base/status.h"
#include "common/metrics/registry.h"
#include "common/metrics/stage_timer.h"
#include "common/wire/refusal.h"

namespace tarn::lane {

// The numbers of one lane, asked for once. Counting is thread-safe; refused() is for the lane's own
// thread.
class LaneMetrics {
 public:
  LaneMetrics(metrics::Registry& registry, uint32_t lane);

  // A request, or one block of it, that was not served, by cause.
  void refused(Code code) { x_refused[static_cast<size_t>(code)]->add(); }
  void refused(wire::Refusal refusal) { x_malformed[static_cast<size_t>(refusal)]->add(); }

  metrics::Counter& get_blocks;
  metrics::Counter& get_bytes;
  metrics::Counter& background_bytes;
  metrics::Counter& get_misses;
  metrics::Counter& put_blocks;
  metrics::Counter& put_bytes;
  metrics::Counter& put_exists;
  metrics::Counter& backup_blocks;
  metrics::Counter& backup_failures;
  metrics::Counter& corrupt_payloads;
  metrics::Counter& forced_closes;
  metrics::Counter& evicted_blocks;
  metrics::Histogram& get_turn;
  metrics::Histogram& get_send;
  metrics::Histogram& put_receive;
  metrics::Histogram& put_persist;
  metrics::Histogram& put_replicate;
  metrics::Gauge& memory_bytes;
  metrics::Gauge& payload_bytes;
  metrics::Gauge& blocks;
  metrics::Gauge& connections;

 private:
  metrics::Counter* x_refused[kCodeCount];
  metrics::Counter* x_malformed[wire::kRefusalCount];
};

}  // namespace tarn::lane
