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

struct Lookups {
  uint64_t indexed_blocks = 0;  // put, all known before the first call
  report::Slice calls;          // its blocks are hashes
};

// Puts small blocks in chains, waits until the router knows them all, and times calls that ask for
// a whole chain, each present. Returns: what was put and timed; the first Error, also when an
// answer was not that all are there.
Expected<Lookups> run_lookup(const LookupOptions& options);

}  // namespace tarn::load
