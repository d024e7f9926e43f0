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
  const auto broken = [&](const std::string& cause) {
    return &registry.counter("tarn_local_broken_rules_total",
                             "Local connections that were ended for what the client did.",
                             {{"cause", cause}, {"lane", number}});
  };
  const auto moved = [&](const std::string& way) {
    return &registry.counter("tarn_local_bytes_total",
                             "Payload bytes sent to clients of this host, by their way.",
                             {{"lane", number}, {"way", way}});
  };
  x_local_hellos.counter = broken("hello");
  x_local_notes.counter = broken("note");
  x_local_memory.counter = broken("memory");
  x_local_indices.counter = broken("index");
  x_local_records.counter = broken("record");
  x_local_shown.counter = moved("shown");
  x_local_bounced.counter = moved("bounced");
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
  publish(totals.local);
  x_unrouted.follow(totals.unrouted);
  x_unknown.follow(totals.links.unknown_replies);
  x_late.follow(totals.links.late_replies);
  x_repeated.follow(totals.links.repeated_replies);
  x_foreign.follow(totals.links.foreign_replies);
  for (size_t i = 1; i < x_malformed.size(); ++i)
    x_malformed[i].follow(totals.links.refused.of(static_cast<wire::Refusal>(i)));
}

void FabricMetrics::publish(const fabric::LocalCounters& local) {
  x_local_hellos.follow(local.refused_hellos);
  x_local_notes.follow(local.bad_notes);
  x_local_memory.follow(local.bad_memory);
  x_local_indices.follow(local.bad_indices);
  x_local_records.follow(local.bad_records);
  x_local_shown.follow(local.shown_bytes);
  x_local_bounced.follow(local.bounced_bytes);
}

void FabricMetrics::Followed::follow(uint64_t total) {
  TARN_DCHECK(counter != nullptr);
  // In its last turn a lane has no ports any more, and they took what they had counted along.
  if (total <= seen) return;
  counter->add(total - seen);
  seen = total;
}

}  // namespace tarn::lane
