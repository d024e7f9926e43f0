#pragma once

#include <memory>
#include <string>

#include "common/fabric/grpc_stream.h"

namespace grpc {
class Channel;
}

namespace tarn::fabric {

// The metadata in which a client's stream shows the address of its port.
inline constexpr char kGrpcTokenMetadata[] = "tarn-port";

// Starts the call under a client's stream; the stream's `ended` event owns it at last.
void start_client_call(const std::shared_ptr<grpc::Channel>& channel,
                       std::shared_ptr<GrpcStream> stream);

}  // namespace tarn::fabric
