#pragma once

#include <liburing.h>

#include <memory>
#include <string>
#include <vector>

#include "server/io/drive_file.h"
#include "server/io/io_threads.h"
#include "server/io/queued_device.h"
#include "server/io/registered_memory.h"

namespace tarn::io {

// A drive by io_uring, with what this kernel has of it; one thread beside it trims. One-thread:
// whichever polls first. Destroying it waits for a trim that hangs, not for reads and writes.
class UringDevice final : public QueuedDevice {
 public:
  struct Options {
    DeviceLimits limits;
    const Clock* clock = &system_clock();
    uint32_t registered_ranges_max = 4096;
  };

  // The drive is taken only when the device opens. Returns: the device, unsupported (io_uring is
  // refused here, or its memory cannot be had: the text says which), unavailable (no eventfd),
  // invalid_argument (limits).
  static Result<std::unique_ptr<BlockDevice>> open(std::unique_ptr<DriveFile>& drive,
                                                   const Options& options);
  ~UringDevice() override;

  std::string description() const override;
  Status register_memory(std::span<std::byte> memory) override;
  void unregister_memory(std::span<std::byte> memory) override;

 private:
  // A ring that is closed with its owner. Never moved: the kernel's side points into it.
  struct Ring {
    ~Ring();
    io_uring ring = {};
    bool is_open = false;
    bool is_enabled = false;
    bool has_deferred_work = false;  // completions are made when we ask for them
    bool has_fixed_file = false;
    bool has_fixed_memory = false;
    std::string features;
  };

  UringDevice(std::unique_ptr<DriveFile> drive, const Options& options, fabric::Event event,
              std::unique_ptr<Ring> ring);

  static Status set_up(Ring& ring, const DeviceLimits& limits);
  static Status register_parts(Ring& ring, const DriveFile& drive, const fabric::Event& event,
                               uint32_t ranges);
  void start(const IoPiece& piece) override;
  void submit() override;
  void collect() override;
  void enable();
  void prepare(io_uring_sqe* entry, const IoPiece& piece) const;

  const std::unique_ptr<DriveFile> x_drive;
  const std::unique_ptr<Ring> x_ring;
  RegisteredMemory x_memory;
  std::vector<IoThreads::Ended> x_ended;
  IoThreads x_trimmer;
};

}  // namespace tarn::io
