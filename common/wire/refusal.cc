#include "common/wire/refusal.h"

namespace tarn::wire {
namespace {

constexpr std::array<std::string_view, kRefusalCount> kNames = {
    "none",  "too_short", "too_long", "magic",     "version",
    "type",  "direction", "flags",    "length",    "unknown_connection",
    "lane",  "mac",       "replay",   "truncated", "trailing_bytes",
    "field", "payload"};

}  // namespace

std::string_view refusal_name(Refusal refusal) {
  const auto index = static_cast<size_t>(refusal);
  return index < kNames.size() ? kNames[index] : "unknown";
}

uint64_t RefusalCounts::total() const {
  uint64_t sum = 0;
  for (size_t i = 1; i < x_counts.size(); ++i)
    sum += x_counts[i];
  return sum;
}

}  // namespace tarn::wire
