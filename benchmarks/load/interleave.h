#pragma once

#include <functional>
#include <vector>

#include "benchmarks/load/target.h"

namespace tarn::load {

struct Turn {
  Target* target = nullptr;
  double share = 1;  // of the time, compared with the others
};

struct Plan {
  int64_t total_ms = 10'000;  // of all targets together, without the warm-up
  int64_t slice_ms = 500;     // of a share of 1
  int64_t warm_up_ms = 500;   // of each target, not counted
};

// Runs the targets in slices, each in turn, so that a bad moment of the machine hits all alike.
// Every other round goes backwards, so that none is always the one after another. Returns: what
// each did; the first Error.
Expected<std::vector<report::Slice>> interleave(const std::vector<Turn>& turns, const Plan& plan);

}  // namespace tarn::load
