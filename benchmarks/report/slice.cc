#include "benchmarks/report/slice.h"

#include <sstream>

namespace tarn::report {
namespace {

double divide(double a, double b) {
  return b == 0 ? 0 : a / b;
}

}  // namespace

void Slice::merge(const Slice& other) {
  blocks += other.blocks;
  bytes += other.bytes;
  errors += other.errors;
  wall_ns += other.wall_ns;
  cpu_ns += other.cpu_ns;
  latency.merge(other.latency);
}

std::string Slice::to_line() const {
  std::ostringstream line;
  line << blocks << ' ' << bytes << ' ' << errors << ' ' << wall_ns << ' ' << cpu_ns << ' '
       << latency.to_text();
  return line.str();
}

std::optional<Slice> Slice::from_line(std::string_view line) {
  std::istringstream words{std::string(line)};
  Slice slice;
  std::string latency;
  std::string rest;
  words >> slice.blocks >> slice.bytes >> slice.errors >> slice.wall_ns >> slice.cpu_ns >> latency;
  if (!words || words >> rest) return std::nullopt;
  auto histogram = LatencyHistogram::from_text(latency);
  if (!histogram) return std::nullopt;
  slice.latency = *std::move(histogram);
  return slice;
}

Figures figures_of(const Slice& slice) {
  const double gb = static_cast<double>(slice.bytes) / 1e9;
  return {divide(gb, static_cast<double>(slice.wall_ns) / 1e9), slice.latency.quantile_us(0.5),
          slice.latency.quantile_us(0.99), divide(static_cast<double>(slice.cpu_ns) / 1e9, gb)};
}

Figures ratio_of(const Figures& ours, const Figures& theirs) {
  return {divide(ours.gb_per_s, theirs.gb_per_s), divide(ours.p50_us, theirs.p50_us),
          divide(ours.p99_us, theirs.p99_us), divide(ours.cpu_s_per_gb, theirs.cpu_s_per_gb)};
}

}  // namespace tarn::report
