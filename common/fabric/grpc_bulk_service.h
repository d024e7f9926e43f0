#pragma once

#include <grpcpp/server_builder.h>
#include <grpcpp/support/channel_arguments.h>

#include <functional>
#include <memory>

#include "common/fabric/grpc_streams.h"
#include "proto/tarn/v1/storage.grpc.pb.h"

namespace tarn::fabric {

// Lets messages of a whole block through; gRPC's own limit is 4 MiB.
void set_bulk_limits(grpc::ServerBuilder& builder);
void set_bulk_limits(grpc::ChannelArguments& arguments);

// The server's side of bulk over gRPC: hands each stream's frames to the ports of the lanes that
// they name, and writes what the lanes send. Thread-safe, on gRPC's threads. Life: make, open the
// lanes' ports with streams(), register, serve; close_all() before the server's Shutdown(), which
// waits for the streams; destroy after the server.
class GrpcBulkService
    : public v1::StorageBulk::WithRawCallbackMethod_Exchange<v1::StorageBulk::Service> {
 public:
  // Judges the caller of a stream by its context before anything else; not OK refuses it. What the
  // caller may do with blocks is judged by each message, above.
  using Admit = std::function<grpc::Status(grpc::CallbackServerContext&)>;

  explicit GrpcBulkService(Admit admit = {});

  const std::shared_ptr<GrpcStreams>& streams() const { return x_streams; }
  void close_all() { x_streams->close_all(); }

 private:
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Exchange(
      grpc::CallbackServerContext* context) override;

  const Admit x_admit;
  const std::shared_ptr<GrpcStreams> x_streams = std::make_shared<GrpcStreams>();
};

}  // namespace tarn::fabric
