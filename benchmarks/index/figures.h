#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "benchmarks/index/chains.h"
#include "common/base/result.h"
#include "router/index/index.h"

namespace tarn::index_bench {

struct Options {
  uint32_t blocks = 10'000'000;  // of the largest index
  uint32_t extent_blocks = 32;
  uint32_t hashes = 8192;  // of one Match
  uint32_t rounds = 2000;  // of each kind
  std::string json;
};

// What one size of index costs.
struct Figures {
  uint64_t blocks = 0;
  double bytes_per_block = 0;
  double load_per_s = 0;    // events from the bytes of a message into the index, as it fills
  double update_per_s = 0;  // the same, of random blocks that go and come, at this size
  double lookup_ns = 0;     // of one random hash
  double match_ns = 0;      // of one hash of a chain that is there
  double match_p50_us = 0;  // of a call of so many hashes, inside the router
  double call_p50_us = 0;   // at a client, over gRPC and TLS
  double call_p99_us = 0;
};

// Puts all blocks into the index, tells how far it is on stderr. Events a second.
double fill(index::Index& index, const Chains& chains);

// Fills in all but the load. Needs a folder of its own for certificates. Returns: the figures, or
// why a call failed.
Result<Figures> measure(index::Index& index, const Chains& chains, const Options& options,
                        const std::string& folder);

// A snapshot of the index, and a start from it.
struct Restart {
  double write_s = 0;
  double restore_s = 0;
  uint64_t snapshot_bytes = 0;
};
// Takes the index away in between. Returns: the seconds, or what failed.
Result<Restart> restart(std::unique_ptr<index::Index> index, const std::string& folder);

}  // namespace tarn::index_bench
