#include "router/index/cost.h"

#include <algorithm>
#include <map>

namespace tarn::index {
namespace {

struct TierCost {
  uint64_t latency_us;
  uint64_t bytes_per_us;  // 1,000 is a gigabyte per second
};

TierCost cost_of(Tier tier) {
  switch (tier) {
    case Tier::dram:
      return {200, 2'000};
    case Tier::flash:
      return {400, 1'000};
    case Tier::object:
      return {30'000, 200};
  }
  return {30'000, 200};
}

uint64_t transfer_us(const MatchRun& run, uint32_t shards) {
  const uint64_t bytes = uint64_t{run.block_bytes} * run.count * shards;
  return bytes / cost_of(run.tier).bytes_per_us;
}

}  // namespace

uint64_t estimated_us(const MatchRun& run, uint32_t shards) {
  return cost_of(run.tier).latency_us + transfer_us(run, shards);
}

uint64_t estimated_us(const MatchAnswer& answer, uint32_t shards) {
  std::map<ServerId, uint64_t> sending;
  uint64_t latency = 0;
  uint64_t longest = 0;
  for (const MatchRun& run : answer.runs) {
    latency = std::max(latency, cost_of(run.tier).latency_us);
    if (run.holders.count == 0) continue;
    uint64_t& server = sending[run.holders.ids[0]];
    server += transfer_us(run, shards);
    longest = std::max(longest, server);
  }
  return latency + longest;
}

}  // namespace tarn::index
