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
// Which of the port's streams it is, in decimal: calls that begin one after the other may be taken
// up in any order.
inline constexpr char kGrpcOrdinalMetadata[] = "tarn-stream";

// Starts the call under a client's stream; the stream's `ended` event owns it at last.
void start_client_call(const std::shared_ptr<grpc::Channel>& channel,
                       std::shared_ptr<GrpcStream> stream);

}  // namespace tarn::fabric
