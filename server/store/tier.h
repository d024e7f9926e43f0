#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/block/header.h"

namespace tarn::store {

class Tier;

// A block that is being read: its bytes stay where and what they are until the pin is gone, also
// when the block is removed meanwhile. Move-only; used on the tier's thread, and gone before the
// tier is.
class Pin {
 public:
  Pin() = default;
  Pin(Tier* tier, void* token, std::span<const std::byte> bytes)
      : x_tier(tier), x_token(token), x_bytes(bytes) {}
  Pin(Pin&& other) noexcept { *this = std::move(other); }
  Pin& operator=(Pin&& other) noexcept;
  ~Pin() { release(); }

  void release();
  explicit operator bool() const { return x_tier != nullptr; }
  // Precondition for both: holds a block.
  const block::BlockHeader& header() const;
  std::span<const std::byte> bytes() const { return x_bytes; }

 private:
  Tier* x_tier = nullptr;
  void* x_token = nullptr;
  std::span<const std::byte> x_bytes;
};

// A place for a block that is on its way. Abandoned when destroyed before Tier::publish. Move-only;
// used on the tier's thread. Its memory must outlive the operation that writes to it, so it is
// destroyed only after that operation's callback.
class Slot {
 public:
  Slot() = default;
  Slot(Tier* tier, void* token, std::span<std::byte> bytes)
      : x_tier(tier), x_token(token), x_bytes(bytes) {}
  Slot(Slot&& other) noexcept { *this = std::move(other); }
  Slot& operator=(Slot&& other) noexcept;
  ~Slot() { abandon(); }

  void abandon();
  explicit operator bool() const { return x_tier != nullptr; }
  // As many as the block's payload has.
  std::span<std::byte> bytes() const { return x_bytes; }
  // For the tier that made it; the first gives up the place without abandoning it.
  void* take_token();
  void* token() const { return x_token; }
  // The payload's CRC, where the put did not bring it. Precondition: not published.
  void set_payload_crc(uint32_t crc32c);

 private:
  Tier* x_tier = nullptr;
  void* x_token = nullptr;
  std::span<std::byte> x_bytes;
};

// A block that is to be kept. The header's generation is the tier's to set.
struct BlockPut {
  block::BlockHeader header;
  block::BlockHash parent;  // the block before it in its chain; empty for none or unknown
  uint32_t extent_blocks = kExtentBlocksDefault;  // G of the space
};

// Where a copy of a block lies.
enum class Medium : uint8_t { dram, flash, object };

struct TierUsage {
  uint64_t capacity_bytes = 0;
  uint64_t memory_bytes = 0;   // taken from the machine
  uint64_t payload_bytes = 0;  // of visible blocks
  uint64_t blocks = 0;
  uint64_t evicted_blocks = 0;
};

// What happened to a block. Sent on the tier's thread.
struct BlockChange {
  block::BlockHeader header;
  bool removed = false;
  Medium medium = Medium::dram;
};
using ChangeSink = std::function<void(const BlockChange&)>;

using ReadDone = std::function<void(Result<Pin>)>;
using PersistDone = std::function<void(Status)>;

// A place that blocks live in: dram, and below it flash and object. One-thread (its lane's).
// Invariants: a block is found only while all of its bytes are there; of the blocks of a chain that
// the tier chooses to evict none goes before its child on the same server.
class Tier {
 public:
  virtual ~Tier() = default;

  // The header of a visible block, until the tier is next changed; null for none. No bytes move.
  virtual const block::BlockHeader* find(const block::BlockKey& key) const = 0;

  // The same for many, quicker where that can be: found[i] is that of keys[i]. Precondition: as
  // many of the one as of the other.
  virtual void find_all(std::span<const block::BlockKey> keys,
                        std::span<const block::BlockHeader*> found) const;

  // Calls `done`, at once or later, with the block pinned: ok, not_found, corrupt, overloaded,
  // unavailable (the drive), deadline_exceeded.
  virtual void read(const block::BlockKey& key, Instant deadline, ReadDone done) = 0;
  void read(const block::BlockKey& key, ReadDone done) { read(key, kNever, std::move(done)); }

  // The block will be read soon: where that takes time it begins now.
  virtual void read_ahead(const block::BlockKey& key);

  // Takes a place for a block that is not there. Makes room by eviction.
  // Returns: the slot; exists (visible here: first copy wins), conflict (another put of it is under
  // way), extent_full, overloaded (no room now), invalid_argument.
  virtual Result<Slot> reserve(const BlockPut& put) = 0;

  // The slot's bytes are whole and passed their checksum: the block can be found from now on.
  virtual void publish(Slot slot) = 0;

  // Calls `done`, at once or later, when the visible block is also kept where it survives the end
  // of the process and of the machine: ok, not_found, unsupported (nothing below keeps blocks),
  // overloaded, unavailable (the drive), deadline_exceeded.
  virtual void persist(const block::BlockKey& key, Instant deadline, PersistDone done);

  // Returns: ok, not_found, conflict (a put of it is under way).
  virtual Status remove(const block::BlockKey& key) = 0;

  virtual TierUsage usage() const = 0;

 private:
  friend class Pin;
  friend class Slot;
  virtual const block::BlockHeader& header_of(const void* token) const = 0;
  virtual void unpin(void* token) = 0;
  virtual void abandon(void* token) = 0;
  virtual void set_payload_crc(void* token, uint32_t crc32c) = 0;
};

}  // namespace tarn::store
