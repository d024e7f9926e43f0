#pragma once

#include <string>
#include <vector>

#include "cli/cluster_flags.h"
#include "cli/cluster_report.h"
#include "common/base/result.h"
#include "tarn/tarn.h"

namespace tarn::cli {

// The SDK's words for ours: a miss is not_found.
Status status_of(Outcome outcome, std::string message);
inline Status status_of(const Error& error) {
  return status_of(error.outcome, error.message);
}

Result<Client> connect_client(const ClusterFlags& flags);

// Has a client talk to every storage server and tells how it reached them. Blocks.
// Returns: the connections; what connect_client() and open_space() return.
Result<std::vector<ConnectionReport>> find_connections(const ClusterFlags& flags);

}  // namespace tarn::cli
