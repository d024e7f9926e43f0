#pragma once

#include <string>
#include <string_view>

#include "common/base/result.h"

namespace tarn::fabric {

// What two UCX ports must agree on before one may read the other's address: UCX answers a mismatch
// with a hang or an abort.
struct UcxIdentity {
  std::string kind;      // kind_name()
  std::string version;   // ucx_version()
  std::string settings;  // settings_fingerprint()

  friend bool operator==(const UcxIdentity&, const UcxIdentity&) = default;
};

// No worker address of UCX comes near it; more is refused.
inline constexpr size_t kUcxAddressBytesMax = 16 * 1024;
inline constexpr size_t kUcxWorkerAddressBytesMax = 4 * 1024;

// Wraps a worker address for the way through StorageControl.Connect: magic, CRC32C, the identity,
// the address. It guards against mistakes, not against an attacker, who could make a valid one.
std::string wrap_ucx_address(const UcxIdentity& identity, std::string_view worker_address);

// The worker address in `wrapped`. Returns: ok, invalid_argument (malformed), unsupported (made by
// another version or with other settings; says which).
Result<std::string> unwrap_ucx_address(const UcxIdentity& ours, std::string_view wrapped);

}  // namespace tarn::fabric
