#pragma once

#include "benchmarks/load/cluster.h"
#include "benchmarks/report/slice.h"

namespace tarn::load {

struct FailoverOptions {
  uint32_t rounds = 50;
  uint64_t block_bytes = 256 << 10;
  uint32_t blocks = 8;  // of a session
  std::string program;  // tarn-bench, to be started again as a worker
};

// Kills with SIGKILL the server that has just sent the blocks of a chain of two copies, and takes
// the time to the first good get of them, by a client that did not know. Then starts the server
// again. Returns: a slice with one latency for each round; the first Error.
Expected<report::Slice> kill_servers(Cluster& cluster, const FailoverOptions& options);

// Kills with SIGKILL the worker that a session was routed to, and takes the time until the router
// routes the session to another worker and that one has its first block.
Expected<report::Slice> kill_workers(Stage& stage, Cluster& cluster,
                                     const FailoverOptions& options);

}  // namespace tarn::load
