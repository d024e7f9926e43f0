#pragma once

#include "benchmarks/report/slice.h"
#include "tarn/tarn.h"

namespace tarn::load {

struct LookupOptions {
  ClientOptions client;
  uint64_t indexed_blocks = 100'000;  // at least; whole chains
  uint32_t hashes = 8192;             // of one call, and of one chain
  uint32_t calls = 2000;
  bool is_exists = false;  // asks the owners, else a router's index
};

// Puts small blocks in chains, waits until the router knows them all, and times calls that ask for
// a whole chain, each present. Returns: a slice whose blocks are hashes; the first Error, also when
// an answer was not that all are there.
Expected<report::Slice> run_lookup(const LookupOptions& options);

}  // namespace tarn::load
