#pragma once

#include <string>
#include <vector>

#include "cli/json.h"
#include "cli/rpc/admin_client.h"

namespace tarn::cli {

// How this client reached one storage server.
struct ConnectionReport {
  std::string server;
  std::string endpoint;
  std::string transport;
  std::string note;
};

// Whom nobody answers for, and why.
struct SilentRouter {
  std::string endpoint;
  Status why;
};

// What `tarn status` tells. A plain value.
struct ClusterReport {
  std::vector<RouterReport> routers;  // those that answered
  std::vector<SilentRouter> silent;
  std::vector<ConnectionReport> connections;
  std::string connections_note;  // why there are none

  // The router that knows most: the highest epoch, then the controller; null when none answered.
  const RouterReport* best() const;
};

Json to_json(const ClusterReport& report);
std::string to_text(const ClusterReport& report);

}  // namespace tarn::cli
