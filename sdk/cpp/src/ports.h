#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/fabric/fabric.h"
#include "common/fabric/local_memory.h"
#include "common/fabric/ucx_context.h"
#include "sdk/cpp/src/rpc_storage.h"
#include "tarn/tarn.h"

namespace tarn::sdk {

// Names the network interface or RDMA port that UCX binds to; without it, the interface on the way
// to the first router.
inline constexpr const char* kFabricDeviceVariable = "TARN_FABRIC_DEVICE";

// The ports of one client, best first, and what it offers with each.
struct Ports {
  std::vector<std::unique_ptr<fabric::Port>> ports;
  std::vector<fabric::Offer> offers;
  // Behind the ports of UCX: what memory is registered with.
  std::vector<std::shared_ptr<fabric::UcxContext>> contexts;
  // Of the port of the local fabric: buffers that servers read where they lie. Null without one.
  std::shared_ptr<fabric::LocalMemory> shown;
  std::string note;  // why a port that was wanted is not there
};

// Opens what `transport` allows; grpc is always the last. A port that cannot be had is left out.
// Returns: ok, unavailable (not even grpc).
Result<Ports> open_ports(Transport transport, const std::string& router_endpoint);

// The interface that leads to HOST:PORT; "lo" when that cannot be told.
std::string device_towards(const std::string& endpoint);

}  // namespace tarn::sdk
