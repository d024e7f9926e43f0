#pragma once

#include <cstdint>
#include <string>

#include <sys/types.h>

#include "common/base/status.h"

namespace tarn::cli {

// What the child of `tarn dev` runs.
struct DevChildOptions {
  std::string folder;
  std::string listen;       // HOST:PORT of the router
  uint64_t dram_bytes = 0;  // of all servers together
  uint32_t servers = 1;
  pid_t parent = 0;  // the supervisor: its end is the child's
};

// A router and storage servers within this process, until SIGTERM or SIGINT. Says on descriptor
// kReadyFd that it is ready, or why it cannot be. Blocks. Returns: ok; what failed.
Status run_dev_child(const DevChildOptions& options);

}  // namespace tarn::cli
