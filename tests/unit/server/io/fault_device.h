#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <vector>

#include "common/base/mutex.h"
#include "server/io/queued_device.h"

namespace tarn::io {

// What lies on a drive of the tests: it outlives devices, as a disk outlives processes. Writes are
// in its cache until a flush; a power cut keeps any of them, torn or whole. Takes memory for what
// was written only. One-thread, but for snapshots.
class DiskImage {
 public:
  explicit DiskImage(uint64_t bytes)
      : x_bytes(bytes), x_written(bytes / kIoAlignBytes), x_memory(map(bytes)) {}
  DiskImage(const DiskImage& other)
      : x_bytes(other.x_bytes),
        x_written(other.x_written),
        x_memory(map(other.x_bytes)),
        x_durable(other.x_durable),
        x_unflushed(other.x_unflushed) {
    for (uint64_t page = 0; page < x_written.size(); ++page)
      if (x_written[page])
        std::memcpy(x_memory + page * kIoAlignBytes, other.x_memory + page * kIoAlignBytes,
                    kIoAlignBytes);
  }
  DiskImage& operator=(const DiskImage&) = delete;
  ~DiskImage() { ::munmap(x_memory, x_bytes); }

  // Changes by hand are copied where something was written.
  std::span<std::byte> seen() { return {x_memory, x_bytes}; }
  uint64_t bytes() const { return x_bytes; }

  void write(uint64_t offset, std::span<const std::byte> from) {
    count();
    for (uint64_t at = 0; at < from.size(); at += kIoAlignBytes) {
      const auto page = from.subspan(at, kIoAlignBytes);
      x_durable.try_emplace(offset + at, copy_of({x_memory + offset + at, kIoAlignBytes}));
      x_unflushed.push_back({offset + at, copy_of(page)});
      x_written[(offset + at) / kIoAlignBytes] = true;
      std::ranges::copy(page, x_memory + offset + at);
    }
  }
  void flush() {
    count();
    x_durable.clear();
    x_unflushed.clear();
  }
  // At once, and for good: what a trimmed range reads as is undefined.
  void discard(uint64_t offset, uint64_t bytes) {
    ::madvise(x_memory + offset, bytes, MADV_DONTNEED);
    std::fill_n(x_written.begin() + static_cast<ptrdiff_t>(offset / kIoAlignBytes),
                bytes / kIoAlignBytes, false);
    x_durable.erase(x_durable.lower_bound(offset), x_durable.lower_bound(offset + bytes));
    std::erase_if(x_unflushed, [&](const Page& page) {
      return page.offset >= offset && page.offset < offset + bytes;
    });
  }
  // A random part of the pages since the last flush is there, in a random order.
  void cut_power(std::mt19937_64& random) {
    for (const auto& [offset, bytes] : x_durable)
      std::ranges::copy(bytes, x_memory + offset);
    std::ranges::shuffle(x_unflushed, random);
    for (const Page& page : x_unflushed)
      if (random() % 2 == 0) std::ranges::copy(page.bytes, x_memory + page.offset);
    flush();
  }

  // Keeps what lies there just before the nth write or flush from now on; counts from 1.
  // Thread-safe.
  void take_snapshot_before(uint64_t nth) { x_snapshot_at = x_count + nth; }
  // Null until then. Thread-safe.
  std::shared_ptr<DiskImage> snapshot() const {
    return x_has_snapshot.load(std::memory_order_acquire) ? x_snapshot : nullptr;
  }

 private:
  using Bytes = std::vector<std::byte>;
  struct Page {
    uint64_t offset;
    Bytes bytes;
  };

  static std::byte* map(uint64_t bytes) {
    void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? nullptr : static_cast<std::byte*>(memory);
  }
  static Bytes copy_of(std::span<const std::byte> bytes) { return {bytes.begin(), bytes.end()}; }
  void count() {
    if (++x_count < x_snapshot_at || x_snapshot != nullptr) return;
    x_snapshot = std::make_shared<DiskImage>(*this);
    x_has_snapshot.store(true, std::memory_order_release);
  }

  const uint64_t x_bytes;
  std::vector<bool> x_written;  // by page
  std::byte* const x_memory;
  std::map<uint64_t, Bytes> x_durable;  // of pages that were written since the last flush
  std::vector<Page> x_unflushed;
  std::atomic<uint64_t> x_count{0};
  std::atomic<uint64_t> x_snapshot_at{UINT64_MAX};
  std::shared_ptr<DiskImage> x_snapshot;
  std::atomic<bool> x_has_snapshot{false};
};

// What goes wrong with one call of the drive.
enum class Fault : uint8_t {
  error,        // EIO, nothing happens
  no_space,     // ENOSPC
  ends,         // 0 bytes: the drive is shorter than it said
  part,         // a part is done and said so
  torn,         // half of the pages are written, and all is said to be well
  lie,          // said to be done, nothing is written
  misdirected,  // written, or read, one page further on
  bit_flip,     // one bit is another one
  again,        // EAGAIN
};

// A drive in memory that does wrong what it is told to, by the real queues. Faults are for the nth
// call of a kind from now on; randomness is seeded. One-thread, but for the faults.
class FaultDevice final : public QueuedDevice {
 public:
  FaultDevice(std::shared_ptr<DiskImage> image, const Clock& clock, DeviceLimits limits = {},
              uint64_t seed = 1)
      : QueuedDevice({"fault disk", image->bytes(), limits, &clock}, fabric::Event::open().value()),
        x_image(std::move(image)),
        x_random(seed) {}
  ~FaultDevice() override {
    if (!x_stays_frozen) thaw();
    close();
  }

  void fail(IoKind kind, Fault fault, uint64_t skip = 0) {
    const MutexLock lock(x_mutex);
    x_faults[kind][x_calls[kind] + skip] = fault;
  }
  // A bad sector: no read of it ever succeeds.
  void fail_reads_of(uint64_t offset) { x_bad_offset = offset; }
  // Nothing ends until thaw().
  void freeze() { x_is_frozen = true; }
  // No write ends until thaw().
  void freeze_writes() { x_writes_are_frozen = true; }
  // Not even when it is closed.
  void freeze_for_ever() { x_is_frozen = x_stays_frozen = true; }
  void thaw() {
    x_is_frozen = x_writes_are_frozen = false;
    event().signal();
  }
  // Trimmed ranges read as zero; else as before.
  void trim_really() { x_trims = true; }
  // A slow drive: at most so many pieces end in a poll.
  void end_at_most(size_t pieces) { x_end_at_most = pieces; }
  // Pieces that the drive has been given; thread-safe.
  uint64_t started(IoKind kind) {
    const MutexLock lock(x_mutex);
    return x_count[kind];
  }
  // What the drive has been given, in order.
  const std::vector<IoPiece>& seen() const { return x_seen; }

  std::string description() const override { return "fault disk"; }
  Status register_memory(std::span<std::byte>) override { return Status::ok(); }
  void unregister_memory(std::span<std::byte>) override {}

 private:
  void start(const IoPiece& piece) override {
    x_started.push_back(piece);
    x_seen.push_back(piece);
    const MutexLock lock(x_mutex);
    ++x_count[piece.kind];
    if (!x_is_frozen) event().signal();
  }
  void submit() override {}
  void collect() override {
    event().clear();
    size_t left = x_is_frozen ? 0 : std::min(x_end_at_most.load(), x_started.size());
    for (; left > 0 && !x_is_frozen; --left) {
      const auto next = std::ranges::find_if(x_started, [this](const IoPiece& each) {
        return each.kind != IoKind::write || !x_writes_are_frozen;
      });
      if (next == x_started.end()) return;
      const IoPiece piece = *next;
      x_started.erase(next);
      ended(piece.slot, perform(piece));
    }
    if (!x_started.empty() && !x_is_frozen) event().signal();
  }

  std::optional<Fault> next_fault(IoKind kind) {
    const MutexLock lock(x_mutex);
    auto& faults = x_faults[kind];
    const auto found = faults.find(x_calls[kind]++);
    if (found == faults.end()) return std::nullopt;
    return found->second;
  }

  int64_t perform(const IoPiece& piece) {
    const std::optional<Fault> fault = next_fault(piece.kind);
    const bool is_bad = piece.kind == IoKind::read && piece.offset <= x_bad_offset &&
                        x_bad_offset - piece.offset < piece.bytes;
    if (fault == Fault::error || is_bad) return -EIO;
    if (fault == Fault::no_space) return -ENOSPC;
    if (fault == Fault::again) return -EAGAIN;
    if (fault == Fault::ends) return 0;
    if (piece.kind == IoKind::flush && fault != Fault::lie) x_image->flush();
    if (piece.kind == IoKind::discard && x_trims) x_image->discard(piece.offset, piece.bytes);
    if (piece.memory == nullptr) return 0;
    uint64_t bytes = piece.bytes;
    if (fault == Fault::part || fault == Fault::torn)
      bytes = std::max(kIoAlignBytes, bytes / 2 / kIoAlignBytes * kIoAlignBytes);
    uint64_t offset = piece.offset;
    if (fault == Fault::misdirected) offset = (offset + kIoAlignBytes) % (x_image->bytes() - bytes);
    if (fault != Fault::lie) move_bytes(piece, offset, bytes, fault);
    return static_cast<int64_t>(fault == Fault::part ? bytes : piece.bytes);
  }

  void move_bytes(const IoPiece& piece, uint64_t offset, uint64_t bytes,
                  std::optional<Fault> fault) {
    std::vector<std::byte> copy(piece.memory, piece.memory + bytes);
    if (piece.kind == IoKind::read)
      std::copy_n(x_image->seen().begin() + static_cast<ptrdiff_t>(offset), bytes, copy.begin());
    if (fault == Fault::bit_flip)
      copy[x_random() % bytes] ^= static_cast<std::byte>(1u << (x_random() % 8));
    if (piece.kind == IoKind::read)
      std::ranges::copy(copy, piece.memory);
    else
      x_image->write(offset, copy);
  }

  const std::shared_ptr<DiskImage> x_image;
  std::mt19937_64 x_random;
  Mutex x_mutex;
  std::map<IoKind, std::map<uint64_t, Fault>> x_faults TARN_GUARDED_BY(x_mutex);
  std::map<IoKind, uint64_t> x_calls TARN_GUARDED_BY(x_mutex);  // that were performed
  std::map<IoKind, uint64_t> x_count TARN_GUARDED_BY(x_mutex);
  std::deque<IoPiece> x_started;
  std::vector<IoPiece> x_seen;
  std::atomic<uint64_t> x_bad_offset = UINT64_MAX;
  std::atomic<size_t> x_end_at_most = SIZE_MAX;
  std::atomic<bool> x_is_frozen = false;
  std::atomic<bool> x_writes_are_frozen = false;
  std::atomic<bool> x_stays_frozen = false;
  std::atomic<bool> x_trims = false;
};

}  // namespace tarn::io
