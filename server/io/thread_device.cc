#include "server/io/thread_device.h"

#include <algorithm>
#include <utility>

namespace tarn::io {

Result<std::unique_ptr<BlockDevice>> ThreadDevice::open(std::unique_ptr<DriveFile> drive,
                                                        Options options) {
  TARN_RETURN_IF_ERROR(check_limits(options.limits));
  TARN_ASSIGN_OR_RETURN(fabric::Event event, fabric::Event::open());
  options.threads = std::clamp(options.threads, 1u, options.limits.depth);
  return std::unique_ptr<BlockDevice>(
      new ThreadDevice(std::move(drive), std::move(options), std::move(event)));
}

ThreadDevice::ThreadDevice(std::unique_ptr<DriveFile> drive, Options options, fabric::Event ready)
    : QueuedDevice({drive->path(), drive->capacity_bytes(), options.limits, options.clock},
                   std::move(ready)),
      x_drive(std::move(drive)),
      x_reason(std::move(options.reason)),
      x_count(options.threads),
      x_threads(*x_drive, event(), x_count) {}

ThreadDevice::~ThreadDevice() {
  close();
}

std::string ThreadDevice::description() const {
  std::string text = x_drive->path() + ": " + std::to_string(x_count) + " threads, O_DIRECT";
  return x_reason.empty() ? text : text + "; " + x_reason;
}

void ThreadDevice::collect() {
  event().clear();
  x_threads.take_ended(x_ended);
  for (const IoThreads::Ended& each : x_ended)
    ended(each.slot, each.result);
}

}  // namespace tarn::io
