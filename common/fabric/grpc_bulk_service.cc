#include "common/fabric/grpc_bulk_service.h"

#include <atomic>
#include <charconv>
#include <map>
#include <string>
#include <utility>

#include "common/base/units.h"
#include "common/fabric/grpc_client_call.h"

namespace tarn::fabric {
namespace {

using Reactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

// A block with its header and the framing around both.
constexpr int kMessageBytesMax = static_cast<int>(kBlockBytesMax + 64 * kKiB);

// Longer than any port's address.
constexpr size_t kTokenBytesMax = 64;

// gRPC's thread class: reactions come from its threads. Life: until OnDone, which frees it.
class ServerCall : public Reactor, public GrpcCall {
 public:
  explicit ServerCall(std::shared_ptr<GrpcStream> stream) : x_owned(std::move(stream)) {
    x_stream.store(x_owned.get(), std::memory_order_release);
  }

  void start() { stream().start(this); }

  void read(grpc::ByteBuffer* into) override { StartRead(into); }
  void write(const grpc::ByteBuffer* message) override { StartWrite(message); }
  void finish(const std::string& why) override {
    Finish(grpc::Status(grpc::StatusCode::ABORTED, why));
  }

  void OnReadDone(bool ok) override { stream().on_read(ok); }
  void OnWriteDone(bool ok) override { stream().on_write(ok); }
  void OnCancel() override { stream().break_off("the client is gone"); }
  void OnDone() override {
    stream().on_done({}, nullptr);
    delete this;
  }

 private:
  GrpcStream& stream() { return *x_stream.load(std::memory_order_acquire); }

  const std::shared_ptr<GrpcStream> x_owned;
  // gRPC hands this object from thread to thread in ways that ThreadSanitizer cannot see; it can
  // see this.
  std::atomic<GrpcStream*> x_stream{nullptr};
};

// A stream that is refused before it begins.
class RefusedCall : public Reactor {
 public:
  explicit RefusedCall(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

// 0 of a client that sends none.
uint64_t ordinal_of(const std::multimap<grpc::string_ref, grpc::string_ref>& metadata) {
  uint64_t ordinal = 0;
  const auto found = metadata.find(kGrpcOrdinalMetadata);
  if (found == metadata.end()) return 0;
  const grpc::string_ref text = found->second;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), ordinal);
  return read.ec == std::errc() ? ordinal : 0;
}

Reactor* refuse(grpc::StatusCode code, const std::string& why) {
  return std::make_unique<RefusedCall>(grpc::Status(code, why)).release();
}

}  // namespace

void set_bulk_limits(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(kMessageBytesMax);
  builder.SetMaxSendMessageSize(kMessageBytesMax);
}

void set_bulk_limits(grpc::ChannelArguments& arguments) {
  arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
  arguments.SetMaxSendMessageSize(kMessageBytesMax);
}

GrpcBulkService::GrpcBulkService(Admit admit) : x_admit(std::move(admit)) {}

Reactor* GrpcBulkService::Exchange(grpc::CallbackServerContext* context) {
  if (x_admit) {
    const grpc::Status admitted = x_admit(*context);
    if (!admitted.ok()) return std::make_unique<RefusedCall>(admitted).release();
  }
  const auto& metadata = context->client_metadata();
  const auto found = metadata.find(kGrpcTokenMetadata);
  if (found == metadata.end() || found->second.empty() || found->second.size() > kTokenBytesMax) {
    return refuse(grpc::StatusCode::INVALID_ARGUMENT, "the metadata tarn-port is missing");
  }
  auto stream =
      x_streams->add_stream({found->second.data(), found->second.size()}, ordinal_of(metadata));
  if (!stream) return refuse(grpc::StatusCode::RESOURCE_EXHAUSTED, stream.error().message());
  ServerCall* const call = std::make_unique<ServerCall>(*std::move(stream)).release();
  call->start();
  return call;
}

}  // namespace tarn::fabric
