#include "server/lane/tier_metrics.h"

#include <string>

namespace tarn::lane {

TierMetrics::TierMetrics(metrics::Registry& registry, uint32_t lane)
    : x_hits(registry.counter("tarn_flash_get_blocks_total", "Blocks that came from flash.",
                              {{"lane", std::to_string(lane)}})),
      x_bytes(registry.counter("tarn_flash_get_bytes_total", "Payload bytes of them.",
                               {{"lane", std::to_string(lane)}})),
      x_misses(registry.counter("tarn_flash_get_failures_total",
                                "Blocks that should have come from flash and did not.",
                                {{"lane", std::to_string(lane)}})),
      x_destaged(registry.counter("tarn_flash_put_blocks_total", "Blocks that reached flash.",
                                  {{"lane", std::to_string(lane)}})),
      x_refused(registry.counter("tarn_flash_put_failures_total",
                                 "Blocks that left dram and did not reach flash.",
                                 {{"lane", std::to_string(lane)}})) {}

void TierMetrics::publish(const tiers::TieredCounters& totals) {
  x_hits.add(totals.flash_hits - x_seen.flash_hits);
  x_bytes.add(totals.flash_bytes - x_seen.flash_bytes);
  x_misses.add(totals.flash_misses - x_seen.flash_misses);
  x_destaged.add(totals.destaged - x_seen.destaged);
  x_refused.add(totals.destage_refused - x_seen.destage_refused);
  x_seen = totals;
}

}  // namespace tarn::lane
