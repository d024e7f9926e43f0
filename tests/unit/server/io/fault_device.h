#pragma once

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "server/io/queued_device.h"

namespace tarn::io {

// What lies on a drive of the tests: it outlives devices, as a disk outlives processes. Writes are
// in its cache until a flush; a power cut keeps any of them, torn or whole.
class DiskImage {
 public:
  explicit DiskImage(uint64_t bytes) : x_seen(bytes), x_durable(bytes) {}

  std::vector<std::byte>& seen() { return x_seen; }
  uint64_t bytes() const { return x_seen.size(); }

  void write(uint64_t offset, std::span<const std::byte> from) {
    std::ranges::copy(from, x_seen.begin() + static_cast<ptrdiff_t>(offset));
    for (uint64_t at = 0; at < from.size(); at += kIoAlignBytes)
      x_unflushed.push_back({offset + at,
                             {from.begin() + static_cast<ptrdiff_t>(at),
                              from.begin() + static_cast<ptrdiff_t>(at + kIoAlignBytes)}});
  }
  void flush() {
    x_durable = x_seen;
    x_unflushed.clear();
  }
  // A random part of the pages since the last flush is there, in a random order.
  void cut_power(std::mt19937_64& random) {
    std::ranges::shuffle(x_unflushed, random);
    for (const Page& page : x_unflushed)
      if (random() % 2 == 0)
        std::ranges::copy(page.bytes, x_durable.begin() + static_cast<ptrdiff_t>(page.offset));
    x_seen = x_durable;
    x_unflushed.clear();
  }

 private:
  struct Page {
    uint64_t offset;
    std::vector<std::byte> bytes;
  };
  std::vector<std::byte> x_seen, x_durable;
  std::vector<Page> x_unflushed;
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
// call of a kind from now on; randomness is seeded. One-thread.
class FaultDevice final : public QueuedDevice {
 public:
  FaultDevice(std::shared_ptr<DiskImage> image, const Clock& clock, DeviceLimits limits = {},
              uint64_t seed = 1)
      : QueuedDevice({"fault disk", image->bytes(), limits, &clock}, fabric::Event::open().value()),
        x_image(std::move(image)),
        x_random(seed) {}
  ~FaultDevice() override {
    thaw();
    close();
  }

  void fail(IoKind kind, Fault fault, uint64_t skip = 0) {
    x_faults[kind][x_calls[kind] + skip] = fault;
  }
  // Nothing ends until thaw().
  void freeze() { x_is_frozen = true; }
  void thaw() {
    x_is_frozen = false;
    if (!x_started.empty()) event().signal();
  }
  // A slow drive: at most so many pieces end in a poll.
  void end_at_most(size_t pieces) { x_end_at_most = pieces; }
  // What the drive has been given, in order.
  const std::vector<IoPiece>& seen() const { return x_seen; }

  std::string description() const override { return "fault disk"; }
  Status register_memory(std::span<std::byte>) override { return Status::ok(); }
  void unregister_memory(std::span<std::byte>) override {}

 private:
  void start(const IoPiece& piece) override {
    x_started.push_back(piece);
    x_seen.push_back(piece);
    if (!x_is_frozen) event().signal();
  }
  void submit() override {}
  void collect() override {
    event().clear();
    size_t left = x_is_frozen ? 0 : std::min(x_end_at_most, x_started.size());
    for (; left > 0 && !x_is_frozen; --left) {
      const IoPiece piece = x_started.front();
      x_started.pop_front();
      ended(piece.slot, perform(piece));
    }
    if (!x_started.empty() && !x_is_frozen) event().signal();
  }

  std::optional<Fault> next_fault(IoKind kind) {
    auto& faults = x_faults[kind];
    const auto found = faults.find(x_calls[kind]++);
    if (found == faults.end()) return std::nullopt;
    return found->second;
  }

  int64_t perform(const IoPiece& piece) {
    const std::optional<Fault> fault = next_fault(piece.kind);
    if (fault == Fault::error) return -EIO;
    if (fault == Fault::no_space) return -ENOSPC;
    if (fault == Fault::again) return -EAGAIN;
    if (fault == Fault::ends) return 0;
    if (piece.kind == IoKind::flush && fault != Fault::lie) x_image->flush();
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
  std::map<IoKind, std::map<uint64_t, Fault>> x_faults;
  std::map<IoKind, uint64_t> x_calls;
  std::deque<IoPiece> x_started;
  std::vector<IoPiece> x_seen;
  size_t x_end_at_most = SIZE_MAX;
  bool x_is_frozen = false;
};

}  // namespace tarn::io
