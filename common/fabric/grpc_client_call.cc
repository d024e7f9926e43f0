#include "common/fabric/grpc_client_call.h"

#include <grpcpp/channel.h>
#include <grpcpp/generic/generic_stub.h>

#include <string>
#include <utility>

namespace tarn::fabric {
namespace {

constexpr char kMethod[] = "/tarn.v1.StorageBulk/Exchange";

// gRPC's thread class: reactions come from its threads. Life: until OnDone, which hands it to the
// port's thread to be freed there: its context holds the channel.
class ClientCall : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                   public GrpcCall {
 public:
  ClientCall(const std::shared_ptr<grpc::Channel>& channel, std::shared_ptr<GrpcStream> stream)
      : x_stub(channel), x_stream(std::move(stream)) {}

  void start() {
    x_context.AddMetadata(kGrpcTokenMetadata, x_stream->token());
    x_context.AddMetadata(kGrpcOrdinalMetadata, std::to_string(x_stream->ordinal()));
    x_stub.PrepareBidiStreamingCall(&x_context, kMethod, {}, this);
    // Reads and writes are started from outside of reactions until finish().
    AddHold();
    StartCall();
    x_stream->start(this);
  }

  void read(grpc::ByteBuffer* into) override { StartRead(into); }
  void write(const grpc::ByteBuffer* message) override { StartWrite(message); }
  void finish(const std::string&) override {
    x_context.TryCancel();
    RemoveHold();
  }

  void OnReadDone(bool ok) override { x_stream->on_read(ok); }
  void OnWriteDone(bool ok) override { x_stream->on_write(ok); }
  void OnDone(const grpc::Status& status) override {
    // Its own reference: the port's thread may free this object before on_done() has returned.
    const std::shared_ptr<GrpcStream> stream = x_stream;
    stream->on_done(status.error_message(), std::shared_ptr<ClientCall>(this));
  }

 private:
  grpc::ClientContext x_context;
  grpc::GenericStub x_stub;
  const std::shared_ptr<GrpcStream> x_stream;
};

}  // namespace

void start_client_call(const std::shared_ptr<grpc::Channel>& channel,
                       std::shared_ptr<GrpcStream> stream) {
  auto call = std::make_unique<ClientCall>(channel, std::move(stream));
  call.release()->start();
}

}  // namespace tarn::fabric
