#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "common/base/status.h"

namespace tarn::io {

// The end of one operation, called once from poll(). The memory is the device's until then.
using IoDone = std::function<void(Status)>;

// A disk as the flash tier sees it: whole aligned pieces, asynchronous, nothing cached. The seam
// under which tests put a disk that fails, lies or loses what was not synced. One-thread (its
// lane's). Life: open (by its kind), submit and poll..., destroy when idle() says so.
class BlockDevice {
 public:
  virtual ~BlockDevice() = default;

  virtual uint64_t bytes() const = 0;

  // Offsets, sizes and memory addresses are multiples of this.
  virtual uint32_t align_bytes() const = 0;

  // Each begins an operation that lies within the device. Completions come in any order.
  // Returns: ok, invalid_argument (not aligned, outside), overloaded (the queue is full: `done` is
  // not called).
  virtual Status read(uint64_t offset, std::span<std::byte> into, IoDone done) = 0;
  virtual Status write(uint64_t offset, std::span<const std::byte> from, IoDone done) = 0;
  // What was written before is durable when `done` says ok; after an error nothing written since
  // the last success may be trusted.
  virtual Status sync(IoDone done) = 0;
  // The range's bytes are no longer needed.
  virtual Status discard(uint64_t offset, uint64_t bytes, IoDone done) = 0;

  // Calls `done` of what has ended; returns how many. Never blocks.
  virtual size_t poll() = 0;

  // Readable when poll() has something to do.
  virtual int event_fd() const = 0;

  virtual bool idle() const = 0;
};

}  // namespace tarn::io
