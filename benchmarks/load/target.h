#pragma once

#include <string>

#include "benchmarks/report/slice.h"
#include "tarn/tarn.h"

namespace tarn::load {

// `views` looks at no byte, `verified_views` at all of them.
enum class Op : uint8_t { put, get, views, verified_views };

struct Workload {
  Op op = Op::get;
  uint64_t block_bytes = 2 << 20;
  uint32_t inflight = 8;
};

// What the same work is asked of: Tarn, or raw UCX. One-thread.
class Target {
 public:
  virtual ~Target() = default;

  virtual std::string name() const = 0;

  // Keeps the workload going for so long, then lets what is in flight end. Returns: what was done;
  // an Error when going on makes no sense.
  virtual Expected<report::Slice> run(int64_t millis) = 0;
};

}  // namespace tarn::load
