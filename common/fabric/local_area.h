#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "common/base/result.h"
#include "common/fabric/fabric.h"

namespace tarn::fabric {

// What two processes share for one connection of the `local` fabric (docs/LOCAL.md): for each
// direction the words below, a ring of cells that carries records, and a bounce area for payloads
// that the other side cannot map. Each side keeps its own indices and takes what the other one
// writes for a claim, to be checked.

inline constexpr size_t kLocalCellBytes = 64;
inline constexpr uint64_t kLocalCells = 2048;  // 128 KiB
inline constexpr uint64_t kLocalBounceBytes = 1 << 20;
// Payloads that one side shows the other at a time.
inline constexpr size_t kLocalShownMax = 256;

struct LocalRecord {
  enum class Type : uint8_t {
    none = 0,
    message = 1,   // of the fabric; its header follows in further cells
    data = 2,      // the next `length` bytes of the bounce area belong to the newest message there
    release = 3,   // payload `id` is not read any more
    stop = 4,      // bounced message number `id` is not wanted
    forget = 5,    // memory `region` is gone: unmap it
    pinned = 6,    // payload `id` is viewed
    unmapped = 7,  // memory `region`, which the other side has passed, could not be mapped
  };
  // Where a message's payload comes from.
  enum class Source : uint8_t { none = 0, bounce = 1, region = 2 };

  Type type = Type::none;
  Source source = Source::none;
  uint16_t header_bytes = 0;
  uint32_t id = 0;
  uint64_t payload_bytes = 0;
  uint64_t region = 0;
  uint64_t offset = 0;
  uint64_t length = 0;
  std::array<uint64_t, 3> reserved{};
};
static_assert(sizeof(LocalRecord) == kLocalCellBytes);

// The words of one direction, each side's on lines of their own. Zero at the start. Who moves an
// index looks at the other side's wish for a bell then, and who wishes for one looks at the index:
// these four are sequentially consistent, so that one of the two sees the other.
struct LocalWords {
  alignas(64) std::atomic<uint64_t> tail;        // writer: cells written so far
  alignas(64) std::atomic<uint32_t> closed;      // writer: what it has shown may change now
  alignas(64) std::atomic<uint64_t> head;        // reader: cells taken so far
  std::atomic<uint64_t> bounce_head;             // reader: bytes of the bounce area taken so far
  alignas(64) std::atomic<uint32_t> asleep;      // reader: wants a bell when there is more
  alignas(64) std::atomic<uint32_t> wants_room;  // writer: wants a bell when there is room
  // Writer: what it shows, by slot; the reader turns it into a pin (kLocalPinned).
  alignas(64) std::array<std::atomic<uint32_t>, kLocalShownMax> shown;
};
static_assert(std::atomic<uint64_t>::is_always_lock_free);

inline constexpr uint32_t kLocalPinned = 1u << 31;

// The parts of one direction in this process. Value type; the area owns the memory.
struct LocalLane {
  LocalWords* words = nullptr;
  std::byte* cells = nullptr;
  std::byte* bounce = nullptr;
};

// The mapped memory of one connection. Made and sealed (shrink, grow, seal) by the server, so that
// nobody can take pages away under the other. Immutable after open but for its bytes.
class LocalArea {
 public:
  // Returns: the area, overloaded (no memory). `fd` is for passing on; the caller closes it.
  struct Made {
    std::shared_ptr<LocalArea> area;
    int fd = -1;
  };
  static Result<Made> make();
  // Maps the one that a server has passed. Closes `fd`. Returns: the area, invalid_argument (not
  // sealed, of another size), overloaded (no address space).
  static Result<std::shared_ptr<LocalArea>> map(int fd);

  explicit LocalArea(std::byte* base) : x_base(base) {}
  ~LocalArea();
  LocalArea(const LocalArea&) = delete;
  LocalArea& operator=(const LocalArea&) = delete;

  LocalLane to_server() const { return lane(0); }
  LocalLane to_client() const { return lane(1); }
  static size_t bytes();

 private:
  LocalLane lane(size_t index) const;
  std::byte* const x_base;
};

// Writes records to one direction. One-thread. Trusts nothing that it reads from the area.
class LocalWriter {
 public:
  explicit LocalWriter(LocalLane lane) : x_lane(lane) {}

  // True when a record with so long a header fits now.
  bool has_room(size_t header_bytes);
  // Precondition: has_room(header.size()). The reader may see it at once.
  void write(const LocalRecord& record, Bytes header);

  // The reader has taken all that was written.
  bool is_drained() const { return x_lane.words->head.load(std::memory_order_acquire) == x_tail; }

  // Bytes of the bounce area that are free, at most up to its end.
  size_t bounce_room();
  // Where the next `bounce_room()` bytes go, and that they are taken.
  std::byte* bounce_at() const { return x_lane.bounce + x_bounce_tail % kLocalBounceBytes; }
  void take_bounce(size_t bytes) { x_bounce_tail += bytes; }

  // The reader's words make no sense.
  bool is_broken() const { return x_broken; }
  LocalWords& words() const { return *x_lane.words; }

 private:
  LocalLane x_lane;
  uint64_t x_tail = 0;
  uint64_t x_head = 0;  // of the reader, as last seen
  uint64_t x_bounce_tail = 0;
  bool x_broken = false;
};

// Reads records of one direction, each copied before it is looked at. One-thread.
class LocalReader {
 public:
  explicit LocalReader(LocalLane lane) : x_lane(lane) {}

  enum class Take : uint8_t { nothing, record, broken };
  // The next record and its header, which go to memory of this process. `header` holds
  // kHeaderBytesMax. Broken: indices or lengths that cannot be.
  Take take(LocalRecord& record, std::byte* header);
  bool has_more() const { return x_lane.words->tail.load(std::memory_order_seq_cst) != x_head; }
  // Tells the writer what is free again.
  void publish();

  // The bytes of the bounce area next in turn, which end at its end.
  Bytes bounce(size_t bytes) const;
  void take_bounce(size_t bytes);

  LocalWords& words() const { return *x_lane.words; }

 private:
  LocalLane x_lane;
  uint64_t x_head = 0;
  uint64_t x_published = 0;
  uint64_t x_bounce_head = 0;
};

}  // namespace tarn::fabric
