#pragma once

#include <array>
#include <cstdint>

#include "server/io/block_device.h"

namespace tarn::io {

template <typename T>
using PerQueue = std::array<T, kIoQueueCount>;

// Whose turn it is: queues that wait get bytes in the ratio of their weights, and one that did not
// wait gains no claim by it. One-thread.
class IoShares {
 public:
  // Precondition: no weight is 0.
  explicit IoShares(const PerQueue<uint32_t>& weights);

  // The queue that is most behind of those that wait. Precondition: one waits at least. Asked again
  // before a charge it says the same.
  IoQueue next(const PerQueue<bool>& waiting);
  void charge(IoQueue queue, uint64_t bytes);

 private:
  PerQueue<uint32_t> x_weights;
  PerQueue<uint64_t> x_served{};  // bytes by weight
  PerQueue<bool> x_waited{};
  uint64_t x_level = 0;  // what the queue that was last charged had been served before
};

}  // namespace tarn::io
