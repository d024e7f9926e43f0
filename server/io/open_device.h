#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "common/base/result.h"
#include "server/io/block_device.h"
#include "server/io/drive_file.h"
#include "server/io/queued_device.h"

namespace tarn::io {

enum class IoEngine : uint8_t {
  automatic,  // io_uring, or threads where it is refused
  io_uring,
  threads,
};

std::string_view engine_name(IoEngine engine);

struct DeviceOptions {
  DriveOptions drive;
  IoEngine engine = IoEngine::automatic;
  DeviceLimits limits;
  uint32_t threads = 8;  // of the engine of that name
  const Clock* clock = &system_clock();
};

struct OpenDevice {
  std::unique_ptr<BlockDevice> device;
  DriveLabel label;
  bool is_new = false;  // formatted by this open: nothing lies on it
  IoEngine engine = IoEngine::io_uring;
};

// Opens the drive and chooses how to reach it; device->description() says what was chosen and why.
// Blocks on the drive. Returns: the device, or what DriveFile::open() says, or unsupported where
// io_uring is asked for by name and refused.
Result<OpenDevice> open_device(const DeviceOptions& options);

}  // namespace tarn::io
