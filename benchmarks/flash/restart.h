#pragma once

#include <cstdint>
#include <string>

#include "benchmarks/report/json.h"
#include "common/base/result.h"

namespace tarn::flash_bench {

struct RestartOptions {
  std::string path;  // a file that is made, and removed
  uint64_t blocks = 1'000'000;
  uint64_t block_bytes = 4096;
  uint32_t rounds = 3;  // of restarts
};

// Fills a drive, opens it again and again, and asks for some of its blocks. Returns: the figures,
// or what the drive says.
Result<report::JsonObject> run_restart(const RestartOptions& options);

}  // namespace tarn::flash_bench
