#pragma once

#include <memory>
#include <string>
#include <vector>

#include "server/io/drive_file.h"
#include "server/io/io_threads.h"
#include "server/io/queued_device.h"

namespace tarn::io {

// A drive by blocking calls on a few threads, where io_uring cannot be had. One-thread. Destroying
// it waits for a drive that hangs.
class ThreadDevice final : public QueuedDevice {
 public:
  struct Options {
    DeviceLimits limits;
    const Clock* clock = &system_clock();
    uint32_t threads = 8;
    std::string reason;  // why it is used, for description()
  };

  // Returns: the device, unavailable (no eventfd), invalid_argument (limits).
  static Result<std::unique_ptr<BlockDevice>> open(std::unique_ptr<DriveFile> drive,
                                                   Options options);
  ~ThreadDevice() override;

  std::string description() const override;
  // Nothing is gained by it here.
  Status register_memory(std::span<std::byte>) override { return Status::ok(); }
  void unregister_memory(std::span<std::byte>) override {}

 private:
  ThreadDevice(std::unique_ptr<DriveFile> drive, Options options, fabric::Event event);

  void start(const IoPiece& piece) override { x_threads.push(piece); }
  void submit() override {}
  void collect() override;

  const std::unique_ptr<DriveFile> x_drive;
  const std::string x_reason;
  const uint32_t x_count;
  std::vector<IoThreads::Ended> x_ended;
  IoThreads x_threads;
};

}  // namespace tarn::io
