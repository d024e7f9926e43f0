#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "benchmarks/copy/pool.h"
#include "benchmarks/report/run.h"
#include "benchmarks/report/slice.h"

namespace tarn::copying {

inline constexpr uint32_t kInflightMax = 256;

using report::Run;

// What is left of a get when nothing of Tarn stands in between: one thread that copies blocks out
// of a memfd of another process, mapped for reading only, into memory of its own, and verifies
// their CRC32C in the same pass; a put is the same the other way. Both sides rotate through memory
// larger than any cache. With `inflight` blocks asked for, each waits for those before it.
// One-thread.
class Copier {
 public:
  // `memfd` has so many bytes, and stays open. Returns: ok, overloaded.
  static Result<std::unique_ptr<Copier>> open(int memfd, size_t pool_bytes);

  // Returns: ok, invalid_argument (block or inflight too large).
  Result<report::Slice> run(const Run& run);

 private:
  Copier(int memfd, Mapping own) : x_memfd(memfd), x_own(std::move(own)) {}

  Status check(const Run& run) const;
  Status prepare(const Run& run);
  // True when the bytes have the checksum that they should have.
  bool move_next(const Run& run);

  const int x_memfd;
  Mapping x_own;
  std::optional<Mapping> x_pool;
  Run x_prepared;
  std::vector<uint32_t> x_checksums;  // of the source's blocks
  uint64_t x_next_block = 0;
};

}  // namespace tarn::copying
