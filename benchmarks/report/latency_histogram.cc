#include "benchmarks/report/latency_histogram.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>

#include "common/base/check.h"

namespace tarn::report {
namespace {

constexpr int kSplitBits = 7;
constexpr uint64_t kSplit = uint64_t{1} << kSplitBits;
constexpr int kPowerMax = 40;
constexpr size_t kBuckets = (kPowerMax - kSplitBits + 1) * kSplit + 1;

// Below 2 * kSplit a bucket is one nanosecond; above, each power of two has kSplit buckets.
size_t bucket_of(uint64_t ns) {
  const uint64_t bounded = std::min(ns, uint64_t{1} << kPowerMax);
  if (bounded < 2 * kSplit) return bounded;
  const auto shift = static_cast<int>(std::bit_width(bounded)) - 1 - kSplitBits;
  return static_cast<size_t>(shift) * kSplit + (bounded >> shift);
}

double middle_ns(size_t bucket) {
  if (bucket < 2 * kSplit) return static_cast<double>(bucket);
  const int shift = static_cast<int>(bucket / kSplit) - 1;
  const uint64_t first = (kSplit + bucket % kSplit) << shift;
  return static_cast<double>(first) + static_cast<double>(uint64_t{1} << shift) / 2;
}

bool take_number(std::string_view* text, char end, uint64_t* number) {
  const auto [stop, error] = std::from_chars(text->data(), text->data() + text->size(), *number);
  if (error != std::errc() || stop == text->data()) return false;
  text->remove_prefix(static_cast<size_t>(stop - text->data()));
  if (text->empty()) return end == ',';
  if (text->front() != end) return false;
  text->remove_prefix(1);
  return end != ',' || !text->empty();
}

}  // namespace

LatencyHistogram::LatencyHistogram() : x_buckets(kBuckets) {}

void LatencyHistogram::add(uint64_t latency_ns) {
  ++x_buckets[bucket_of(latency_ns)];
  ++x_count;
}

void LatencyHistogram::merge(const LatencyHistogram& other) {
  for (size_t i = 0; i < kBuckets; ++i)
    x_buckets[i] += other.x_buckets[i];
  x_count += other.x_count;
}

double LatencyHistogram::quantile_us(double quantile) const {
  TARN_CHECK(quantile >= 0 && quantile <= 1);
  if (x_count == 0) return 0;
  const auto rank = static_cast<uint64_t>(std::ceil(quantile * static_cast<double>(x_count)));
  uint64_t seen = 0;
  for (size_t i = 0; i < kBuckets; ++i) {
    seen += x_buckets[i];
    if (seen > 0 && seen >= rank) return middle_ns(i) / 1e3;
  }
  TARN_CHECK(false);
}

std::string LatencyHistogram::to_text() const {
  std::string text;
  for (size_t i = 0; i < kBuckets; ++i) {
    if (x_buckets[i] == 0) continue;
    if (!text.empty()) text += ',';
    text += std::to_string(i) + ':' + std::to_string(x_buckets[i]);
  }
  return text.empty() ? "-" : text;
}

std::optional<LatencyHistogram> LatencyHistogram::from_text(std::string_view text) {
  LatencyHistogram histogram;
  if (text == "-") return histogram;
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    uint64_t bucket = 0;
    uint64_t count = 0;
    if (!take_number(&text, ':', &bucket) || !take_number(&text, ',', &count)) return std::nullopt;
    if (bucket >= kBuckets) return std::nullopt;
    histogram.x_buckets[bucket] += count;
    histogram.x_count += count;
  }
  return histogram;
}

}  // namespace tarn::report
