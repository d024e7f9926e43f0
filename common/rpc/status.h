#pragma once

#include <grpcpp/support/status.h>

#include "common/base/status.h"

namespace tarn::rpc {

// Our status as gRPC's and back. Our code travels whole, in the binary details; a status that
// another program made is mapped by gRPC's own code.
grpc::Status to_grpc(const Status& status);
Status from_grpc(const grpc::Status& status);

}  // namespace tarn::rpc
