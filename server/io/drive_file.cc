#include "server/io/drive_file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "common/base/log.h"
#include "server/io/page_buffer.h"

namespace tarn::io {
namespace {

constexpr std::array<uint64_t, 2> kLabelOffsets = {0, kLabelCopyOffset};

bool is_block_device(const std::string& path) {
  struct stat info = {};
  return ::stat(path.c_str(), &info) == 0 && S_ISBLK(info.st_mode);
}

// How much a new file could have at `path`.
uint64_t free_bytes_at(int fd) {
  struct statvfs info = {};
  if (::fstatvfs(fd, &info) != 0) return 0;
  return uint64_t{info.f_bavail} * info.f_frsize;
}

// Transfers all of it, or says why not; 0 for ok.
template <typename Call, typename Byte>
int transfer(const Call& call, int fd, std::span<Byte> bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t done = call(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return errno;
    if (done == 0) return EIO;
    bytes = bytes.subspan(static_cast<size_t>(done));
    offset += static_cast<uint64_t>(done);
  }
  return 0;
}

}  // namespace

Status DriveFile::failed(const std::string& step, int error) const {
  std::string text = x_path + ": " + step + ": " + std::generic_category().message(error) +
                     " (errno " + std::to_string(error) + ")";
  if (error == EBUSY || error == EWOULDBLOCK) return conflict(std::move(text));
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) return overloaded(std::move(text));
  if (error == EINVAL || error == EOPNOTSUPP) return unsupported(std::move(text));
  return unavailable(std::move(text));
}

Result<std::unique_ptr<DriveFile>> DriveFile::open(const DriveOptions& options) {
  const int base = O_RDWR | O_DIRECT | O_CLOEXEC;
  // O_EXCL on a block device that is mounted, or in use by another that asks so, is EBUSY.
  const bool is_raw = is_block_device(options.path);
  int fd = ::open(options.path.c_str(), is_raw ? base | O_EXCL : base);
  const bool is_missing = fd < 0 && errno == ENOENT && options.capacity_bytes > 0;
  if (is_missing) fd = ::open(options.path.c_str(), base | O_CREAT | O_EXCL, 0600);
  const int error = errno;
  auto drive = std::unique_ptr<DriveFile>(new DriveFile(options.path, fd));
  if (fd < 0) return drive->failed("open, past the cache (O_DIRECT)", error);
  drive->x_is_raw = is_raw;
  drive->x_is_ours = is_missing;
  Status opened = drive->lock();
  if (opened.is_ok()) opened = drive->measure();
  if (opened.is_ok()) opened = drive->read_label(options);
  if (opened.code() == Code::not_found) opened = drive->format(options);
  if (opened.is_ok()) return drive;
  if (is_missing) ::unlink(options.path.c_str());
  return opened;
}

DriveFile::~DriveFile() {
  if (x_fd >= 0) ::close(x_fd);
}

Status DriveFile::lock() const {
  if (::flock(x_fd, LOCK_EX | LOCK_NB) == 0) return Status::ok();
  return failed("lock: another process uses this drive", errno);
}

void DriveFile::unlock() const {
  if (::flock(x_fd, LOCK_UN) != 0) log::warn("{}: cannot be unlocked", x_path);
}

Status DriveFile::measure() {
  struct stat info = {};
  if (::fstat(x_fd, &info) != 0) return failed("stat", errno);
  if (!x_is_raw && !S_ISREG(info.st_mode))
    return invalid_argument(x_path + ": a drive is a file or a block device");
  x_bytes = static_cast<uint64_t>(info.st_size);
  if (!x_is_raw) return Status::ok();
  int sector_bytes = 0;
  if (::ioctl(x_fd, BLKGETSIZE64, &x_bytes) != 0) return failed("size", errno);
  if (::ioctl(x_fd, BLKSSZGET, &sector_bytes) != 0) return failed("sector size", errno);
  if (sector_bytes <= 0 || kIoAlignBytes % static_cast<uint64_t>(sector_bytes) != 0)
    return unsupported(x_path + ": sectors of " + std::to_string(sector_bytes) + " bytes");
  return Status::ok();
}

// Either copy will do; one that is damaged is written again.
Status DriveFile::read_label(const DriveOptions& options) {
  if (x_bytes == 0) return not_found("a new file");
  PageBuffer area(kLabelAreaBytes);
  const std::span<std::byte> bytes =
      area.bytes().first(std::min(kLabelAreaBytes, x_bytes / kIoAlignBytes * kIoAlignBytes));
  if (bytes.empty()) return invalid_argument(x_path + ": too small for a drive, and not empty");
  if (const int error = transfer(::pread, x_fd, bytes, 0)) return failed("read the label", error);
  Status problem;
  bool is_damaged = false;
  for (const uint64_t offset : kLabelOffsets) {
    const auto label = offset < bytes.size() ? decode_label(bytes.subspan(offset))
                                             : Result<DriveLabel>(corrupt("cut short"));
    if (label && x_label.capacity_bytes == 0) x_label = *label;
    if (!label && problem.is_ok()) problem = label.error();
    is_damaged = is_damaged || !label;
  }
  if (x_label.capacity_bytes > 0) {
    TARN_RETURN_IF_ERROR(check_label(options));
    return is_damaged ? write_label() : Status::ok();
  }
  const bool is_blank = std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
  if (is_blank) return not_found("an empty drive");
  if (problem.code() == Code::unsupported) return unsupported(x_path + ": " + problem.message());
  return invalid_argument(x_path + ": holds something that is not a drive of Tarn's (" +
                          problem.message() + "); if it may be lost, zero its first MiB");
}

Status DriveFile::check_label(const DriveOptions& options) const {
  if (x_label.content_format != options.content_format)
    return unsupported(x_path + ": its contents have format " +
                       std::to_string(x_label.content_format) + ", this program knows " +
                       std::to_string(options.content_format));
  if (x_label.region_bytes != options.region_bytes)
    return unsupported(x_path + ": its regions have " + std::to_string(x_label.region_bytes) +
                       " bytes, not " + std::to_string(options.region_bytes));
  if (x_label.capacity_bytes <= x_bytes) return Status::ok();
  const std::string sizes =
      std::to_string(x_bytes) + " of " + std::to_string(x_label.capacity_bytes) + " bytes";
  if (x_is_raw) return corrupt(x_path + ": the device has only " + sizes);
  log::warn("{}: the file was cut to {}; what lay behind is lost", x_path, sizes);
  return reserve(x_label.capacity_bytes);
}

Status DriveFile::format(const DriveOptions& options) {
  uint64_t capacity = options.capacity_bytes > 0 ? options.capacity_bytes : x_bytes;
  capacity = capacity / kIoAlignBytes * kIoAlignBytes;
  if (capacity < kLabelAreaBytes + std::max(options.region_bytes, kIoAlignBytes))
    return invalid_argument(x_path + ": " + std::to_string(capacity) +
                            " bytes have no room for a region");
  if (x_is_raw && capacity > x_bytes)
    return invalid_argument(x_path + ": the device has " + std::to_string(x_bytes) +
                            " bytes, not " + std::to_string(capacity));
  if (!x_is_raw) TARN_RETURN_IF_ERROR(reserve(capacity));
  x_label.content_format = options.content_format;
  x_label.capacity_bytes = capacity;
  x_label.region_bytes = options.region_bytes;
  x_label.formatted_unix_ms = options.clock->unix_ms();
  if (::getrandom(x_label.id.data(), x_label.id.size(), 0) !=
      static_cast<ssize_t>(x_label.id.size()))
    return failed("random bytes for its id", errno);
  x_is_new = true;
  return write_label();
}

Status DriveFile::write_label() const {
  PageBuffer page(kLabelBytes);
  const EncodedLabel encoded = encode(x_label);
  std::ranges::copy(encoded, page.bytes().begin());
  const std::span<const std::byte> bytes = std::as_const(page).bytes();
  for (const uint64_t offset : kLabelOffsets)
    if (const int error = transfer(::pwrite, x_fd, bytes, offset))
      return failed("write the label", error);
  if (::fsync(x_fd) != 0) return failed("flush the label", errno);
  return Status::ok();
}

Status DriveFile::reserve(uint64_t bytes) const {
  if (::fallocate(x_fd, 0, 0, static_cast<off_t>(bytes)) == 0) return Status::ok();
  const int error = errno;
  const std::string free = std::to_string(free_bytes_at(x_fd));
  // What has been reserved of it is given back.
  if (x_is_ours && ::ftruncate(x_fd, 0) != 0) log::warn("{}: cannot be cut again", x_path);
  return failed("reserve " + std::to_string(bytes) + " bytes (" + free + " are free)", error);
}

// A file is written over in place: blocks that are given back to the file system and reserved anew
// cost a commit of its journal with each flush, until they have been written again.
int DriveFile::discard(uint64_t offset, uint64_t bytes) const {
  if (!x_is_raw) return 0;
  std::array<uint64_t, 2> range = {offset, bytes};
  return ::ioctl(x_fd, BLKDISCARD, range.data()) == 0 ? 0 : errno;
}

}  // namespace tarn::io
