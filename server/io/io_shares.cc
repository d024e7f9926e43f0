#include "server/io/io_shares.h"

#include <algorithm>

#include "common/base/check.h"

namespace tarn::io {
namespace {

// Keeps small operations apart after the division by a weight.
constexpr uint64_t kScale = 64;

}  // namespace

IoShares::IoShares(const PerQueue<uint32_t>& weights) : x_weights(weights) {
  for (const uint32_t weight : weights)
    TARN_CHECK(weight > 0);
}

IoQueue IoShares::next(const PerQueue<bool>& waiting) {
  size_t best = kIoQueueCount;
  for (size_t i = 0; i < kIoQueueCount; ++i) {
    if (waiting[i] && !x_waited[i]) x_served[i] = std::max(x_served[i], x_level);
    x_waited[i] = waiting[i];
    if (waiting[i] && (best == kIoQueueCount || x_served[i] < x_served[best])) best = i;
  }
  TARN_CHECK(best < kIoQueueCount);
  return static_cast<IoQueue>(best);
}

void IoShares::charge(IoQueue queue, uint64_t bytes) {
  const auto i = static_cast<size_t>(queue);
  x_level = std::max(x_level, x_served[i]);
  x_served[i] += bytes * kScale / x_weights[i];
}

}  // namespace tarn::io
