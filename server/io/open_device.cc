#include "server/io/open_device.h"

#include <array>
#include <string>
#include <utility>

#include "common/base/log.h"
#include "server/io/thread_device.h"
#include "server/io/uring_device.h"

namespace tarn::io {

std::string_view engine_name(IoEngine engine) {
  constexpr std::array<std::string_view, 3> kEngineNames = {"automatic", "io_uring", "threads"};
  return kEngineNames[static_cast<size_t>(engine)];
}

Result<OpenDevice> open_device(const DeviceOptions& options) {
  TARN_RETURN_IF_ERROR(check_limits(options.limits));
  TARN_ASSIGN_OR_RETURN(std::unique_ptr<DriveFile> drive, DriveFile::open(options.drive));
  OpenDevice opened;
  opened.label = drive->label();
  opened.is_new = drive->is_new();
  std::string reason = "as configured";
  if (options.engine != IoEngine::threads) {
    auto device = UringDevice::open(drive, {options.limits, options.clock});
    if (device) {
      opened.device = std::move(*device);
      return opened;
    }
    if (options.engine == IoEngine::io_uring) return device.error();
    reason = device.error().message();
    log::warn("{}: threads instead of io_uring: {}", drive->path(), reason);
  }
  TARN_ASSIGN_OR_RETURN(opened.device,
                        ThreadDevice::open(std::move(drive), {options.limits, options.clock,
                                                              options.threads, std::move(reason)}));
  opened.engine = IoEngine::threads;
  return opened;
}

}  // namespace tarn::io
