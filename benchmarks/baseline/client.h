#pragma once

#include <sys/types.h>

#include <vector>

#include "benchmarks/baseline/node.h"
#include "benchmarks/report/run.h"
#include "benchmarks/report/slice.h"

namespace tarn::baseline {

using report::Run;

// The process that asks: keeps `inflight` requests under way, each with the next memory of a
// rotating set larger than any cache, and times each from the decision to ask to its verified end.
// One-thread.
class Client {
 public:
  // `server` is the other process, whose CPU time counts too.
  Client(Node& node, size_t pool_bytes, pid_t server);

  // Returns: ok, invalid_argument (block or inflight too large), unavailable (the server is gone).
  Result<report::Slice> run(const Run& run);

  // The memory that blocks go to and come from.
  const Arena& pool() const { return x_pool; }

 private:
  struct Request {
    int64_t started_ns = 0;
    std::byte* memory = nullptr;
    bool is_running = false;
  };

  Status check(const Run& run) const;
  Status prepare(const Run& run);
  void start(uint32_t id);
  void finish(const Message& answer, uint64_t payload_bytes);
  bool is_intact(const Message& answer, const std::byte* memory, uint64_t payload_bytes) const;
  std::byte* next_memory();
  int64_t cpu_ns() const;

  Node& x_node;
  Arena x_pool;
  const pid_t x_server;
  Run x_run;
  uint64_t x_prepared_bytes = 0;
  uint64_t x_next_block = 0;
  uint64_t x_next_memory = 0;
  std::vector<Request> x_requests;
  size_t x_running = 0;
  int64_t x_end_ns = 0;
  report::Slice x_slice;
  Status x_failure;
};

}  // namespace tarn::baseline
