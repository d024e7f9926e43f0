#include "common/memory/slab_pool.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/thread_name.h"
#include "common/base/units.h"
#include "common/memory/size_class.h"

namespace tarn::memory {
namespace {

// After the system had no memory, the next try waits this long.
constexpr Millis kRetryAfter{100};

}  // namespace

Result<std::unique_ptr<SlabPool>> SlabPool::open(SlabPoolOptions options) {
  TARN_RETURN_IF_ERROR(check_memory_kind(options.kind));
  for (const Shelf& shelf : options.shelves)
    TARN_RETURN_IF_ERROR(check_slab_bytes(shelf.slab_bytes));
  auto pool = std::unique_ptr<SlabPool>(new SlabPool(std::move(options)));
  pool->x_thread = std::thread([raw = pool.get()] { raw->run(); });
  return pool;
}

SlabPool::SlabPool(SlabPoolOptions options) : x_options(std::move(options)) {
  for (const Shelf& shelf : x_options.shelves) {
    x_stock[shelf.slab_bytes].wanted = shelf.ready;
    x_stock[shelf.slab_bytes].ahead = shelf.ahead;
  }
}

SlabPool::~SlabPool() {
  {
    const MutexLock lock(x_mutex);
    x_stopping = true;
  }
  x_work.notify_all();
  x_thread.join();
}

Result<std::unique_ptr<Slab>> SlabPool::take(uint64_t slab_bytes) {
  TARN_CHECK(check_slab_bytes(slab_bytes).is_ok());
  const MutexLock lock(x_mutex);
  Stock& stock = x_stock[slab_bytes];
  x_work.notify_one();
  if (stock.ready.empty()) {
    stock.wished = 1;
    return overloaded("no slab of " + std::to_string(slab_bytes / kMiB) +
                      " MiB is ready; one is being prepared");
  }
  auto slab = std::move(stock.ready.back());
  stock.ready.pop_back();
  if (stock.ahead > 0) {
    --stock.ahead;
  } else {
    (void)make_way(slab_bytes);
  }
  return slab;
}

void SlabPool::drop(std::unique_ptr<Slab> slab) {
  const MutexLock lock(x_mutex);
  if (x_dropped.size() >= kDroppedMax) return;
  x_dropped.push_back(std::move(slab));
  x_work.notify_one();
}

Status SlabPool::wait_until_full(Nanos timeout) {
  const Instant end = system_clock().now() + timeout;
  const MutexLock lock(x_mutex);
  while (next_size() != 0) {
    const Nanos left = end - system_clock().now();
    if (left.count() <= 0) {
      if (!x_last_error.is_ok()) return x_last_error;
      return deadline_exceeded("slabs are not ready yet");
    }
    x_made.wait_for(x_mutex, left);
  }
  return Status::ok();
}

uint64_t SlabPool::ready_bytes() const {
  const MutexLock lock(x_mutex);
  uint64_t sum = 0;
  for (const auto& [slab_bytes, stock] : x_stock)
    sum += slab_bytes * stock.ready.size();
  return sum;
}

uint64_t SlabPool::next_size() const {
  for (const auto& [slab_bytes, stock] : x_stock) {
    if (stock.ready.size() < std::max(stock.wanted, stock.wished)) return slab_bytes;
  }
  return 0;
}

uint64_t SlabPool::next_ahead() const {
  for (const auto& [slab_bytes, stock] : x_stock) {
    if (stock.ready.size() < stock.wanted + stock.ahead) return slab_bytes;
  }
  return 0;
}

bool SlabPool::make_way(uint64_t slab_bytes) {
  uint64_t given_up = 0;
  for (auto& [other_bytes, stock] : x_stock) {
    for (; given_up < slab_bytes && stock.ahead > 0; --stock.ahead) {
      given_up += other_bytes;
      if (stock.ready.size() < stock.wanted + stock.ahead) continue;
      x_dropped.push_back(std::move(stock.ready.back()));
      stock.ready.pop_back();
    }
  }
  return given_up > 0;
}

void SlabPool::run() {
  set_thread_name("tarn-slabs");
  const MutexLock lock(x_mutex);
  while (!x_stopping) {
    if (!x_dropped.empty()) {
      unmap_dropped();
    } else if (const uint64_t slab_bytes = next_size(); slab_bytes != 0) {
      if (!make_one(slab_bytes) && !make_way(slab_bytes) && !x_stopping)
        x_work.wait_for(x_mutex, kRetryAfter);
    } else if (const uint64_t ahead_bytes = next_ahead(); ahead_bytes != 0) {
      // What the system has no memory for now, it is asked for again when there is need.
      Stock& stock = x_stock[ahead_bytes];
      if (!make_one(ahead_bytes))
        stock.ahead = static_cast<uint32_t>(std::max<size_t>(stock.ready.size(), stock.wanted)) -
                      stock.wanted;
    } else {
      x_work.wait(x_mutex);
    }
  }
}

void SlabPool::unmap_dropped() {
  auto dropped = std::exchange(x_dropped, {});
  x_mutex.unlock();
  dropped.clear();
  x_mutex.lock();
}

bool SlabPool::make_one(uint64_t slab_bytes) {
  x_mutex.unlock();
  auto slab = Slab::open({slab_bytes, x_options.kind, x_options.prefault});
  x_mutex.lock();
  x_last_error = slab.status();
  if (!slab) {
    log::warn("{}", slab.error().to_string());
    return false;
  }
  // A size without a shelf stays ready until it is taken: whoever wished for it comes back.
  Stock& stock = x_stock[slab_bytes];
  if (stock.ready.size() >= std::max(stock.wanted + stock.ahead, stock.wished)) {
    // Its place was given up meanwhile.
    x_dropped.push_back(std::move(*slab));
    return true;
  }
  stock.wished = 0;
  stock.ready.push_back(std::move(*slab));
  x_made.notify_all();
  return true;
}

}  // namespace tarn::memory
