#include "sdk/cpp/src/hedges.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "common/base/check.h"

namespace tarn::sdk {
namespace {

// Between two looks at the samples of a size.
constexpr size_t kLookEvery = 16;

}  // namespace

size_t Hedges::pace_of(Awaited awaited) {
  const auto size = static_cast<size_t>(std::bit_width(awaited.bytes));
  return std::min(size, kSizes - 1) + (awaited.is_first ? 0 : kSizes);
}

void Hedges::on_asked(size_t blocks) {
  x_saved = std::min(x_saved + x_fraction * static_cast<double>(blocks), kHedgesSaved);
}

void Hedges::on_answer(Awaited awaited, Nanos silence) {
  Pace& pace = x_paces[pace_of(awaited)];
  const auto us = std::chrono::duration_cast<Micros>(silence).count();
  const int64_t most = std::numeric_limits<uint32_t>::max();
  pace.silences_us[pace.count % kHedgeSamples] =
      static_cast<uint32_t>(std::clamp<int64_t>(us, 0, most));
  ++pace.count;
  if (pace.count < kHedgeSamplesLeast || pace.count % kLookEvery != 0) return;
  const size_t known = std::min(pace.count, kHedgeSamples);
  std::array<uint32_t, kHedgeSamples> sorted = pace.silences_us;
  const size_t place = known * 95 / 100;
  TARN_DCHECK(place < known);
  std::nth_element(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(place),
                   sorted.begin() + static_cast<std::ptrdiff_t>(known));
  pace.p95 = std::max<Nanos>(Micros(sorted[place]), kHedgeLeast);
}

Nanos Hedges::patience(Awaited awaited) const {
  if (!is_on()) return Nanos::max();
  const Nanos known = x_paces[pace_of(awaited)].p95;
  // Who has only asked for one block at a time knows nothing of those that follow another.
  return known == Nanos::max() ? x_paces[pace_of({awaited.bytes, true})].p95 : known;
}

bool Hedges::take() {
  if (x_saved < 1) return false;
  x_saved -= 1;
  x_counters.asked_twice.fetch_add(1, std::memory_order_relaxed);
  return true;
}

}  // namespace tarn::sdk
