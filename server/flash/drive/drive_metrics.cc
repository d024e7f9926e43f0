#include "server/flash/drive/drive_metrics.h"

#include "server/flash/drive/flash_drive.h"

namespace tarn::flash {
namespace {

metrics::Labels of_drive(uint32_t drive) {
  return {{"drive", std::to_string(drive)}};
}

}  // namespace

DriveMetrics::DriveMetrics(metrics::Registry& r, uint32_t drive)
    : x_capacity(r.gauge("tarn_flash_capacity_bytes", "Size of the drive.", of_drive(drive))),
      x_free(r.gauge("tarn_flash_free_bytes", "Bytes of regions that are free.", of_drive(drive))),
      x_writable(r.gauge("tarn_flash_writable", "1: the drive takes writes; 0: a flush has failed.",
                         of_drive(drive))),
      x_late(r.gauge("tarn_flash_late_operations",
                     "Operations that the drive has not ended by their deadline.",
                     of_drive(drive))),
      x_payload{r.counter("tarn_flash_payload_bytes_total", "Payload bytes of blocks put there.",
                          of_drive(drive))},
      x_written{r.counter("tarn_flash_written_bytes_total",
                          "Bytes that were given to the drive to write, whatever for.",
                          of_drive(drive))},
      x_moved{r.counter("tarn_flash_moved_blocks_total",
                        "Blocks written again as their region was reclaimed.", of_drive(drive))},
      x_dropped{r.counter("tarn_flash_evicted_blocks_total", "Blocks that went with their region.",
                          of_drive(drive))},
      x_corrupt{r.counter("tarn_flash_corrupt_blocks_total",
                          "Blocks that the drive did not give back as they were.",
                          of_drive(drive))},
      x_errors{r.counter("tarn_flash_errors_total", "Operations that the drive has failed.",
                         of_drive(drive))} {}

void DriveMetrics::Followed::follow(uint64_t total) {
  counter.add(total - seen);
  seen = total;
}

void DriveMetrics::publish(const DriveStats& stats) {
  x_capacity.set(static_cast<double>(stats.capacity_bytes));
  x_free.set(static_cast<double>(stats.regions_free * kRegionBytes));
  x_writable.set(stats.is_writable ? 1 : 0);
  x_late.set(static_cast<double>(stats.late));
  x_payload.follow(stats.payload_bytes_written);
  x_written.follow(stats.bytes_written);
  x_moved.follow(stats.blocks_moved);
  x_dropped.follow(stats.blocks_dropped);
  x_corrupt.follow(stats.corrupt_blocks);
  x_errors.follow(stats.errors);
}

}  // namespace tarn::flash
