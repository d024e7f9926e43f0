#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "benchmarks/report/latency_histogram.h"

namespace tarn::report {

// What a stretch of a benchmark did. CPU time is that of all processes which took part.
struct Slice {
  uint64_t blocks = 0;
  uint64_t bytes = 0;
  uint64_t errors = 0;
  int64_t wall_ns = 0;
  int64_t cpu_ns = 0;
  LatencyHistogram latency;

  void merge(const Slice& other);

  // One line without its end, and back; nullopt for any other text.
  std::string to_line() const;
  static std::optional<Slice> from_line(std::string_view line);
};

// The four numbers of a row. GB are 1e9 bytes.
struct Figures {
  double gb_per_s = 0;
  double p50_us = 0;
  double p99_us = 0;
  double cpu_s_per_gb = 0;
};

// All 0 for a slice in which nothing was done.
Figures figures_of(const Slice& slice);

// Ours divided by theirs, number by number; 0 where theirs is 0.
Figures ratio_of(const Figures& ours, const Figures& theirs);

}  // namespace tarn::report
