#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "server/io/drive_label.h"

namespace tarn::io {

struct DriveOptions {
  std::string path;
  // Of a file that is made, or of a raw drive the part that is used when it is formatted; 0 for all
  // of it. A drive that has a label keeps the capacity that stands there.
  uint64_t capacity_bytes = 0;
  uint64_t region_bytes = 0;
  uint32_t content_format = 1;
  const Clock* clock = &system_clock();
};

// A preallocated file or a raw block device, open past the system's cache, locked, and labelled as
// Tarn's. Immutable after open; fd() may be used from any thread. Life: open, destroy (unlocks).
class DriveFile {
 public:
  // Makes the file if there is none, reserves its space, and writes a label where nothing is yet;
  // what holds anything else is left as it is. Blocks on the drive.
  // Returns: the drive, invalid_argument (capacity, or it holds something that is not Tarn's),
  // conflict (another process has it, or it is mounted), overloaded (no space), unsupported (no
  // O_DIRECT, or another format), corrupt (no label that can be read, or it is smaller than its
  // label says), unavailable (the system's error is in the text).
  static Result<std::unique_ptr<DriveFile>> open(const DriveOptions& options);

  DriveFile(const DriveFile&) = delete;
  DriveFile& operator=(const DriveFile&) = delete;
  ~DriveFile();

  int fd() const { return x_fd; }
  const std::string& path() const { return x_path; }
  const DriveLabel& label() const { return x_label; }
  uint64_t capacity_bytes() const { return x_label.capacity_bytes; }
  bool is_raw() const { return x_is_raw; }
  // Formatted by this open.
  bool is_new() const { return x_is_new; }

  // Lets others have it before it is closed. Precondition: no operation is under way or follows.
  void unlock() const;

  // Trims the range of a raw drive; a file stays as it is. Blocks on the drive. Returns 0 or an
  // errno.
  int discard(uint64_t offset, uint64_t bytes) const;

 private:
  DriveFile(std::string path, int fd) : x_path(std::move(path)), x_fd(fd) {}

  Status lock() const;
  Status measure();
  Status read_label(const DriveOptions& options);
  Status check_label(const DriveOptions& options) const;
  Status format(const DriveOptions& options);
  Status write_label() const;
  Status reserve(uint64_t bytes) const;
  Status failed(const std::string& step, int error) const;

  std::string x_path;
  int x_fd;
  bool x_is_raw = false;
  bool x_is_new = false;
  bool x_is_ours = false;  // made by this open, so nothing in it can be lost
  uint64_t x_bytes = 0;    // there are
  DriveLabel x_label;
};

}  // namespace tarn::io
