#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "common/base/clock.h"
#include "common/base/status.h"

namespace tarn::io {

// Offsets, lengths and memory of a drive's operations are multiples of this.
inline constexpr uint64_t kIoAlignBytes = 4096;

// Whom an operation is for; the device shares itself out between these by weight.
enum class IoQueue : uint8_t {
  read,     // somebody waits for a block
  destage,  // blocks that come from dram
  reclaim,  // regions that are emptied: what is read and written again, what is trimmed
};
inline constexpr size_t kIoQueueCount = 3;

// The outcome of one operation, told once, from poll(). One of: ok, unavailable (the drive failed
// it; the text has errno and offset), overloaded (no space is left under a file), corrupt (the
// drive ends before the range does), deadline_exceeded, cancelled (the device is being destroyed).
using IoDone = std::function<void(Status)>;

struct IoOptions {
  IoQueue queue = IoQueue::read;
  // When the caller is told at the latest that the drive has not answered. The memory stays the
  // drive's until `freed`.
  Instant deadline = kNever;
  // Called once, after `done`: the drive will not touch the memory any more. With `done` where no
  // deadline has passed; never while the drive hangs.
  std::function<void()> freed = {};
};

struct DeviceHealth {
  // ok, or why no write is taken any more: a flush has failed, and what was written since the one
  // before it may or may not be there.
  Status writable;
  uint64_t errors = 0;      // operations that the drive has failed
  uint64_t late = 0;        // operations past their deadline that have not ended: memory is pinned
  uint64_t late_bytes = 0;  // of them
  uint64_t waiting = 0;     // operations that the drive has not seen yet
  uint64_t in_flight = 0;   // pieces of operations that the drive is working on
};

// A drive as the flash tier sees it: whole aligned pieces, asynchronous, no cache of the system.
// The seam under which tests put a drive that fails, lies or loses what was not flushed.
// One-thread (its lane's, from the first poll() on). Life: open_device(), operations and poll(),
// destroy, which ends what waits as cancelled and waits a second for what the drive works on, then
// leaves it and its callbacks behind for ever.
// Operations begin in the next poll(): call it after the last of a batch, when event_fd() is
// readable and when next_deadline() has come. Callbacks come from poll() and the destructor only
// and may begin operations, but not call poll().
class BlockDevice {
 public:
  virtual ~BlockDevice() = default;

  virtual uint64_t capacity_bytes() const = 0;

  // For people: the drive, how it is reached and why so.
  virtual std::string description() const = 0;

  // Each begins an operation that lies within the device; they end in any order. The memory is the
  // device's until `freed`. Returns: ok, invalid_argument (alignment, range), overloaded (its queue
  // is full), for writes and flushes what health().writable says; `done` follows only on ok.
  virtual Status read(uint64_t offset, std::span<std::byte> into, IoOptions options,
                      IoDone done) = 0;
  virtual Status write(uint64_t offset, std::span<const std::byte> from, IoOptions options,
                       IoDone done) = 0;
  // Waits for all writes that were taken before it; ok says that those of them which ended ok are
  // durable. Flushes that wait together share one.
  virtual Status flush(IoOptions options, IoDone done) = 0;
  // The range's bytes are no longer needed; what it reads as from then on is undefined. A file
  // keeps its space.
  virtual Status discard(uint64_t offset, uint64_t bytes, IoOptions options, IoDone done) = 0;

  // Prepares memory that operations will use again and again; others work too, more slowly.
  // Returns: ok, invalid_argument (known already, overlaps), overloaded (too much of it, or the
  // system allows no more locked memory: the text says which).
  virtual Status register_memory(std::span<std::byte> memory) = 0;
  // Precondition: registered, with exactly this range. Operations under way may go on.
  virtual void unregister_memory(std::span<std::byte> memory) = 0;

  // Tells what has ended and begins what waits; returns how many outcomes were told. Never blocks.
  virtual size_t poll() = 0;

  // Readable when poll() has something to do.
  virtual int event_fd() const = 0;

  // When poll() must be called at the latest; kNever for no need.
  virtual Instant next_deadline() const = 0;

  virtual DeviceHealth health() const = 0;

  // True when nothing waits and nothing is in flight.
  virtual bool is_idle() const = 0;
};

}  // namespace tarn::io
