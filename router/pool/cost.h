#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "common/base/ids.h"
#include "common/block/key.h"

namespace tarn::pool {

// A request as far as its prefix is concerned: a session, or hashes, or neither.
struct FetchQuestion {
  std::string tenant;
  SpaceId space;
  std::string session_id;
  std::vector<block::BlockHash> hashes;
};

// What Tarn holds of a request's prefix, and how long a worker would take to fetch it.
struct FetchCost {
  uint32_t cached_tokens = 0;
  uint64_t fetch_us = 0;
};

// Answers from index and sessions; never fails, at worst nothing is cached. Thread-safe. May ask a
// storage server, so it may block for as long as such a call does.
using CostSource = std::function<FetchCost(const FetchQuestion&)>;

}  // namespace tarn::pool
