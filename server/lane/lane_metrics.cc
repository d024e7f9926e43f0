#include "server/lane/lane_metrics.h"

namespace tarn::lane {
namespace {

metrics::Labels of_lane(uint32_t lane) {
  return {{"lane", std::to_string(lane)}};
}

metrics::Counter& refused_counter(metrics::Registry& registry, uint32_t lane, std::string cause) {
  return registry.counter("tarn_refused_total", "Requests and blocks that were not served.",
                          {{"cause", std::move(cause)}, {"lane", std::to_string(lane)}});
}

}  // namespace

LaneMetrics::LaneMetrics(metrics::Registry& r, uint32_t lane)
    : get_blocks(r.counter("tarn_get_blocks_total", "Blocks sent to getters.", of_lane(lane))),
      get_bytes(r.counter("tarn_get_bytes_total", "Payload bytes sent.", of_lane(lane))),
      background_bytes(r.counter("tarn_background_bytes_total",
                                 "Payload bytes sent to other servers.", of_lane(lane))),
      get_misses(r.counter("tarn_get_misses_total", "Blocks asked for and absent.", of_lane(lane))),
      put_blocks(r.counter("tarn_put_blocks_total", "Blocks kept.", of_lane(lane))),
      put_bytes(r.counter("tarn_put_bytes_total", "Payload bytes kept.", of_lane(lane))),
      put_exists(
          r.counter("tarn_put_exists_total", "Blocks put that were there already.", of_lane(lane))),
      backup_blocks(
          r.counter("tarn_backup_blocks_total", "Copies that backups took.", of_lane(lane))),
      backup_failures(r.counter("tarn_backup_failures_total", "Copies that backups did not take.",
                                of_lane(lane))),
      corrupt_payloads(r.counter("tarn_corrupt_payloads_total",
                                 "Payloads put whose checksum was wrong.", of_lane(lane))),
      forced_closes(r.counter("tarn_forced_closes_total",
                              "Connections closed to end an operation at its deadline.",
                              of_lane(lane))),
      evicted_blocks(
          r.counter("tarn_evicted_blocks_total", "Blocks removed from dram.", of_lane(lane))),
      get_turn(metrics::stage_histogram(r, "get", "turn")),
      get_send(metrics::stage_histogram(r, "get", "send")),
      put_receive(metrics::stage_histogram(r, "put", "receive")),
      put_persist(metrics::stage_histogram(r, "put", "persist")),
      put_replicate(metrics::stage_histogram(r, "put", "replicate")),
      memory_bytes(r.gauge("tarn_dram_memory_bytes", "Bytes of slabs in use.", of_lane(lane))),
      payload_bytes(r.gauge("tarn_dram_payload_bytes", "Bytes of blocks kept.", of_lane(lane))),
      blocks(r.gauge("tarn_dram_blocks", "Blocks kept.", of_lane(lane))),
      connections(r.gauge("tarn_connections", "Connections of requesters.", of_lane(lane))) {
  for (int code = 0; code < kCodeCount; ++code) {
    const auto name = std::string(code_name(static_cast<Code>(code)));
    x_refused[code] = &refused_counter(r, lane, name);
  }
  for (int refusal = 0; refusal < wire::kRefusalCount; ++refusal) {
    const auto name = std::string(wire::refusal_name(static_cast<wire::Refusal>(refusal)));
    x_malformed[refusal] = &refused_counter(r, lane, "malformed_" + name);
  }
}

}  // namespace tarn::lane
