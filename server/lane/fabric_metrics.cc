#include "server/lane/fabric_metrics.h"

#include <string>

#include "common/base/check.h"

namespace tarn::lane {

FabricMetrics::FabricMetrics(metrics::Registry& registry, uint32_t lane) {
  const std::string number = std::to_string(lane);
  const auto dropped = [&](const std::string& cause) {
    return &registry.counter("tarn_fabric_dropped_replies_total",
                             "Answers of backups that came to nothing.",
                             {{"cause", cause}, {"lane", number}});
  };
  x_quarantined.counter = &registry.counter(
      "tarn_fabric_quarantined_total", "Operations that UCX had not ended a second after a close.",
      {{"lane", number}});
  x_unrouted.counter = dropped("unrouted");
  x_unknown.counter = dropped("unknown");
  x_late.counter = dropped("late");
  x_repeated.counter = dropped("repeated");
  x_foreign.counter = dropped("foreign");
  for (size_t i = 1; i < x_malformed.size(); ++i) {
    const auto refusal = static_cast<wire::Refusal>(i);
    x_malformed[i].counter = dropped("malformed_" + std::string(wire::refusal_name(refusal)));
  }
}

void FabricMetrics::publish(const Totals& totals) {
  x_quarantined.follow(totals.quarantined);
  x_unrouted.follow(totals.unrouted);
  x_unknown.follow(totals.links.unknown_replies);
  x_late.follow(totals.links.late_replies);
  x_repeated.follow(totals.links.repeated_replies);
  x_foreign.follow(totals.links.foreign_replies);
  for (size_t i = 1; i < x_malformed.size(); ++i)
    x_malformed[i].follow(totals.links.refused.of(static_cast<wire::Refusal>(i)));
}

void FabricMetrics::Followed::follow(uint64_t total) {
  TARN_DCHECK(counter != nullptr);
  // In its last turn a lane has no ports any more, and they took what they had counted along.
  if (total <= seen) return;
  counter->add(total - seen);
  seen = total;
}

}  // namespace tarn::lane
