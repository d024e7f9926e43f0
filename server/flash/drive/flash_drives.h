#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "server/flash/admission/admission.h"
#include "server/flash/drive/flash_drive.h"
#include "server/flash/index/flash_index.h"

namespace tarn::flash {

struct FlashDrivesOptions {
  std::vector<std::string> paths;  // files that are made, or raw drives
  uint64_t bytes = 0;              // of each; 0: all of a raw drive
  io::IoEngine engine = io::IoEngine::automatic;
  // The seam for devices of another kind. On each drive's thread, once.
  std::function<Result<io::OpenDevice>(const io::DeviceOptions&)> open_device = io::open_device;
  AdmissionMode admission = AdmissionMode::shadow;
  double writes_per_day = 1;  // of its capacity, that a drive is rated for
  std::function<bool(const Entry&)> is_wanted = [](const Entry&) { return true; };
  std::function<void(std::vector<block::BlockHeader>)> on_dropped = [](auto) {};
  TierBelow below;                           // takes what the drives drop
  metrics::Registry* registry = nullptr;     // outlives the drives; null: no metrics
  Nanos deadline = std::chrono::seconds(5);  // of one operation of a drive
  const Clock* clock = &system_clock();
};

// All drives of a server under one index. Thread-safe. Life: open, use, close, destroy. A drive
// that cannot be read at the start, or fails later, is left out: the others go on.
class FlashDrives {
 public:
  // Blocks until what lies on the drives is known. Returns: the drives, or what is wrong with an
  // option: invalid_argument, conflict (a drive is in use), unsupported, overloaded (no space for
  // a file), corrupt.
  static Result<std::unique_ptr<FlashDrives>> open(const FlashDrivesOptions& options);

  FlashIndex& index() { return x_index; }
  const FlashIndex& index() const { return x_index; }
  // Who writes asks it first.
  Admission& admission() { return *x_admission; }

  // As FlashDrive; the drive that has most room of those that can be written and do not hang.
  // Unavailable where there is none.
  Status write(DriveWrite write);
  Status read(DriveRead read);
  Status remove(DriveRead removal);
  Status list(const std::function<bool(const block::BlockHeader&)>& visit);

  // One for each drive in use.
  std::vector<DriveStats> stats() const;
  uint64_t capacity_bytes() const;

  void close();

 private:
  FlashDrives() = default;
  FlashDrive* drive_of(const FlashPlace& place) const;

  FlashIndex x_index;
  std::unique_ptr<Admission> x_admission;
  std::vector<std::unique_ptr<FlashDrive>> x_drives;  // null: left out
  std::atomic<uint32_t> x_next{0};
};

}  // namespace tarn::flash
