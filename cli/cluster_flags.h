#pragma once

#include <cstdint>
#include <string>

namespace tarn::cli {

// Where a command finds its cluster. Empty: as the SDK does.
struct ClusterFlags {
  std::string endpoint;
  std::string credentials;
  uint32_t timeout_ms = 10'000;
};

}  // namespace tarn::cli
