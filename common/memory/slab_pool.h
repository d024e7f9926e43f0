#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/memory/slab.h"

namespace tarn::memory {

// How many slabs of one size are kept ready, and how many more are made once, in the background,
// when the pool opens.
struct Shelf {
  uint64_t slab_bytes = 0;
  uint32_t ready = 0;
  uint32_t ahead = 0;
};

struct SlabPoolOptions {
  std::vector<Shelf> shelves = {};
  MemoryKind kind = MemoryKind::host;
  bool prefault = true;
};

// Makes slabs ahead of need on a thread of its own, and unmaps dropped ones there, so that the data
// path waits for neither. Sizes that have no shelf are made one at a time when first asked for.
// While slabs ahead are left, whatever is taken counts against them: what is taken and what lies
// ready together stay as much as they were.
// Thread-safe. Life: open (starts the thread), destroy (joins it; slabs taken outlive it). Limits:
// what lies ready is bounded by the shelves, kDroppedMax slabs wait to be unmapped; taken slabs are
// the taker's to bound.
class SlabPool {
 public:
  static constexpr size_t kDroppedMax = 64;

  // Returns: the pool, invalid_argument (a shelf's size), unsupported (kind).
  static Result<std::unique_ptr<SlabPool>> open(SlabPoolOptions options);

  SlabPool(const SlabPool&) = delete;
  SlabPool& operator=(const SlabPool&) = delete;
  ~SlabPool();

  // Never blocks on memory. Returns: the slab, overloaded (none is ready; one is being made).
  Result<std::unique_ptr<Slab>> take(uint64_t slab_bytes);

  // Unmaps the slab, soon; past kDroppedMax, at once.
  void drop(std::unique_ptr<Slab> slab);

  // Waits until all shelves are full. Returns: ok, deadline_exceeded, or why slabs cannot be made.
  Status wait_until_full(Nanos timeout);

  // Bytes of slabs that lie ready.
  uint64_t ready_bytes() const;

 private:
  struct Stock {
    uint32_t wanted = 0;  // to keep ready
    uint32_t ahead = 0;   // besides: to be made, or made and not taken
    uint32_t wished = 0;  // asked for in vain, 0 or 1
    std::vector<std::unique_ptr<Slab>> ready;
  };

  explicit SlabPool(SlabPoolOptions options);
  void run();
  // The size that is most in need, 0 when all are served.
  uint64_t next_size() const TARN_REQUIRES(x_mutex);
  // The size of which slabs are to be made ahead, 0 when all are made.
  uint64_t next_ahead() const TARN_REQUIRES(x_mutex);
  // Slabs ahead go for one of this size. False when there are none.
  bool make_way(uint64_t slab_bytes) TARN_REQUIRES(x_mutex);
  // Gives up the lock while the kernel works. False when it has no memory.
  bool make_one(uint64_t slab_bytes) TARN_REQUIRES(x_mutex);
  void unmap_dropped() TARN_REQUIRES(x_mutex);

  const SlabPoolOptions x_options;
  mutable Mutex x_mutex;
  CondVar x_work;
  CondVar x_made;
  std::map<uint64_t, Stock> x_stock TARN_GUARDED_BY(x_mutex);  // by slab bytes
  std::vector<std::unique_ptr<Slab>> x_dropped TARN_GUARDED_BY(x_mutex);
  Status x_last_error TARN_GUARDED_BY(x_mutex);
  bool x_stopping TARN_GUARDED_BY(x_mutex) = false;
  std::thread x_thread;
};

}  // namespace tarn::memory
