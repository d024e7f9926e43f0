#pragma once

#include <cstdint>

#include "router/index/stored_block.h"

namespace tarn::index {

// How long a reader waits for a run of a Match answer, by what its tier usually does. A constant
// model: it ranks tiers and sizes, it does not know the load.
uint64_t estimated_us(const MatchRun& run, uint32_t shards);

// The same for a whole answer: servers send at the same time, each its runs one after another.
uint64_t estimated_us(const MatchAnswer& answer, uint32_t shards);

}  // namespace tarn::index
