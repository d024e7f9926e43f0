#include "benchmarks/load/interleave.h"

#include <algorithm>
#include <cmath>

namespace tarn::load {

Expected<std::vector<report::Slice>> interleave(const std::vector<Turn>& turns, const Plan& plan) {
  std::vector<report::Slice> done(turns.size());
  double shares = 0;
  for (const Turn& turn : turns) {
    shares += turn.share;
    const auto warm = turn.target->run(plan.warm_up_ms);
    if (!warm) return warm.error();
  }
  const auto round_ms = static_cast<int64_t>(shares * static_cast<double>(plan.slice_ms));
  const int64_t rounds = std::max<int64_t>(1, plan.total_ms / std::max<int64_t>(1, round_ms));
  for (int64_t round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < turns.size(); ++i) {
      const size_t at = round % 2 == 0 ? i : turns.size() - 1 - i;
      const double slice_ms = turns[at].share * static_cast<double>(plan.slice_ms);
      const auto slice = turns[at].target->run(std::max<int64_t>(1, std::llround(slice_ms)));
      if (!slice) return slice.error();
      done[at].merge(slice.value());
    }
  }
  return done;
}

}  // namespace tarn::load
