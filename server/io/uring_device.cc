#include "server/io/uring_device.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <string_view>
#include <system_error>
#include <utility>

#include "common/base/check.h"
#include "common/base/fault_point.h"
#include "common/base/log.h"

namespace tarn::io {
namespace {

std::string text_of(int error) {
  return std::generic_category().message(error) + " (errno " + std::to_string(error) + ")";
}

// From the best to what every kernel with io_uring has.
struct Flavour {
  unsigned flags;
  std::string_view name;
};
constexpr std::array<Flavour, 3> kFlavours = {{
    {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_R_DISABLED,
     "one issuer, deferred work"},
    {IORING_SETUP_COOP_TASKRUN, "cooperative work"},
    {0, "plain"},
}};

Status refused(int error) {
  std::string text = "io_uring is refused: " + text_of(error);
  if (error == EPERM) text += "; seccomp or kernel.io_uring_disabled forbids it";
  if (error == ENOMEM) text += "; the limit of locked memory (ulimit -l) is too low";
  return unsupported(std::move(text));
}

}  // namespace

UringDevice::Ring::~Ring() {
  if (is_open) io_uring_queue_exit(&ring);
}

Result<std::unique_ptr<BlockDevice>> UringDevice::open(std::unique_ptr<DriveFile>& drive,
                                                       const Options& options) {
  TARN_RETURN_IF_ERROR(check_limits(options.limits));
  TARN_ASSIGN_OR_RETURN(fabric::Event event, fabric::Event::open());
  auto ring = std::make_unique<Ring>();
  TARN_RETURN_IF_ERROR(set_up(*ring, options.limits));
  TARN_RETURN_IF_ERROR(register_parts(*ring, *drive, event, options.registered_ranges_max));
  return std::unique_ptr<BlockDevice>(
      new UringDevice(std::move(drive), options, std::move(event), std::move(ring)));
}

// A ring that has one issuer begins disabled, so that this may be another thread than the one that
// will poll.
Status UringDevice::set_up(Ring& ring, const DeviceLimits& limits) {
  if (TARN_FAULT_POINT("io.uring_setup")) return refused(EPERM);
  const unsigned entries = std::bit_ceil(limits.depth + 1);
  int error = 0;
  for (const Flavour& flavour : kFlavours) {
    error = -io_uring_queue_init(entries, &ring.ring, flavour.flags);
    if (error == EINVAL) continue;
    if (error != 0) break;
    ring.is_open = true;
    ring.is_enabled = (flavour.flags & IORING_SETUP_R_DISABLED) == 0;
    ring.has_deferred_work = (flavour.flags & IORING_SETUP_DEFER_TASKRUN) != 0;
    ring.features = flavour.name;
    return Status::ok();
  }
  return refused(error);
}

Status UringDevice::register_parts(Ring& ring, const DriveFile& drive, const fabric::Event& event,
                                   uint32_t ranges) {
  if (const int error = -io_uring_register_eventfd(&ring.ring, event.fd()))
    return unsupported("io_uring takes no eventfd: " + text_of(error));
  const int fd = drive.fd();
  ring.has_fixed_file = io_uring_register_files(&ring.ring, &fd, 1) == 0;
  ring.has_fixed_memory = io_uring_register_buffers_sparse(&ring.ring, ranges) == 0;
  if (ring.has_fixed_file) ring.features += ", fixed file";
  ring.features += ring.has_fixed_memory ? ", registered memory" : ", no registered memory";
  return Status::ok();
}

UringDevice::UringDevice(std::unique_ptr<DriveFile> drive, const Options& options,
                         fabric::Event ready, std::unique_ptr<Ring> ring)
    : QueuedDevice({drive->path(), drive->capacity_bytes(), options.limits, options.clock},
                   std::move(ready)),
      x_drive(std::move(drive)),
      x_ring(std::move(ring)),
      x_memory(options.registered_ranges_max),
      x_trimmer(*x_drive, event(), 1) {}

// The kernel takes a ring apart some time after it was closed, and would hold the drive until then.
// Where the drive hangs, it does so, and the lock stays as long: writes may still come.
UringDevice::~UringDevice() {
  close();
  if (!is_idle()) return;
  if (x_ring->has_fixed_file) io_uring_unregister_files(&x_ring->ring);
  x_drive->unlock();
}

std::string UringDevice::description() const {
  return x_drive->path() + ": io_uring (" + x_ring->features + "), O_DIRECT";
}

Status UringDevice::register_memory(std::span<std::byte> memory) {
  TARN_ASSIGN_OR_RETURN(const uint32_t number, x_memory.add(memory));
  if (!x_ring->has_fixed_memory) return Status::ok();
  const iovec range = {memory.data(), memory.size()};
  const int done = io_uring_register_buffers_update_tag(&x_ring->ring, number, &range, nullptr, 1);
  if (done == 1) return Status::ok();
  x_memory.remove(memory);
  const std::string text = std::to_string(memory.size()) + " bytes are not registered: ";
  if (done == -ENOMEM)
    return overloaded(text + "the limit of locked memory (ulimit -l) is too low");
  return overloaded(text + text_of(-done));
}

void UringDevice::unregister_memory(std::span<std::byte> memory) {
  const uint32_t number = x_memory.remove(memory);
  if (!x_ring->has_fixed_memory) return;
  const iovec none = {nullptr, 0};
  io_uring_register_buffers_update_tag(&x_ring->ring, number, &none, nullptr, 1);
}

void UringDevice::start(const IoPiece& piece) {
  if (piece.kind == IoKind::discard) return x_trimmer.push(piece);
  io_uring_sqe* const entry = io_uring_get_sqe(&x_ring->ring);
  TARN_CHECK(entry != nullptr);
  prepare(entry, piece);
}

void UringDevice::prepare(io_uring_sqe* entry, const IoPiece& piece) const {
  const int fd = x_ring->has_fixed_file ? 0 : x_drive->fd();
  const auto bytes = static_cast<unsigned>(piece.bytes);
  const int range = x_ring->has_fixed_memory && piece.memory != nullptr
                        ? x_memory.find(piece.memory, piece.bytes)
                        : -1;
  if (piece.kind == IoKind::flush) {
    io_uring_prep_fsync(entry, fd, IORING_FSYNC_DATASYNC);
  } else if (piece.kind == IoKind::read) {
    if (range < 0)
      io_uring_prep_read(entry, fd, piece.memory, bytes, piece.offset);
    else
      io_uring_prep_read_fixed(entry, fd, piece.memory, bytes, piece.offset, range);
  } else {
    if (range < 0)
      io_uring_prep_write(entry, fd, piece.memory, bytes, piece.offset);
    else
      io_uring_prep_write_fixed(entry, fd, piece.memory, bytes, piece.offset, range);
  }
  if (x_ring->has_fixed_file) entry->flags |= IOSQE_FIXED_FILE;
  io_uring_sqe_set_data64(entry, piece.slot);
}

// By its number: liburing 2.3 declares io_uring_enable_rings() and does not export it.
void UringDevice::enable() {
  if (x_ring->is_enabled) return;
  TARN_CHECK(::syscall(__NR_io_uring_register, x_ring->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS,
                       nullptr, 0) == 0);
  x_ring->is_enabled = true;
}

// The kernel may be short of memory for a moment: the event brings us here again.
void UringDevice::submit() {
  if (io_uring_sq_ready(&x_ring->ring) == 0) return;
  enable();
  const int submitted = x_ring->has_deferred_work ? io_uring_submit_and_get_events(&x_ring->ring)
                                                  : io_uring_submit(&x_ring->ring);
  if (submitted < 0 || io_uring_sq_ready(&x_ring->ring) > 0) event().signal();
}

void UringDevice::collect() {
  event().clear();
  x_trimmer.take_ended(x_ended);
  for (const IoThreads::Ended& each : x_ended)
    ended(each.slot, each.result);
  if (!x_ring->is_enabled) return;
  if (x_ring->has_deferred_work && pieces_in_flight() > 0) io_uring_get_events(&x_ring->ring);
  io_uring_cqe* entry = nullptr;
  while (io_uring_peek_cqe(&x_ring->ring, &entry) == 0 && entry != nullptr) {
    const auto slot = static_cast<uint32_t>(entry->user_data);
    const int result = entry->res;
    io_uring_cqe_seen(&x_ring->ring, entry);
    ended(slot, result);
  }
}

}  // namespace tarn::io
