#pragma once

#include <string>

#include "common/base/status.h"
#include "common/fabric/grpc_bulk_service.h"
#include "common/metrics/registry.h"
#include "common/rpc/credentials.h"

namespace tarn::server {

// Counts who was turned away before a lane knew of him, and returns why. Thread-safe.
const Status& count_refused(metrics::Registry& registry, const std::string& door,
                            const Status& why);

// Lets streams of bulk in whose caller shows a certificate or a token: nobody else gets memory for
// frames. Both outlive what it returns. Thread-safe.
fabric::GrpcBulkService::Admit bulk_door(const rpc::Authenticator& authenticator,
                                         metrics::Registry& registry);

}  // namespace tarn::server
