#include "sdk/cpp/src/rpc_worker.h"

#include <unistd.h>

#include <algorithm>
#include <array>

#include "common/base/check.h"
#include "common/rpc/convert.h"
#include "proto/tarn/v1/router.grpc.pb.h"
#include "sdk/cpp/src/rpc_channels.h"

namespace tarn::sdk {
namespace {

// What a router may ask for.
constexpr uint32_t kIntervalLeastMs = 10;
constexpr uint32_t kIntervalMostMs = 60'000;

std::string host_name() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

v1::WorkerBeat message_of(const Beat& beat) {
  v1::WorkerBeat out;
  out.set_name(beat.spec.name);
  out.set_endpoint(beat.spec.endpoint);
  out.set_space(rpc::to_bytes(beat.space));
  out.set_capacity(beat.spec.capacity);
  out.set_running(beat.running);
  out.set_queued(beat.queued);
  out.set_prefill_tokens_per_s(beat.spec.prefill_tokens_per_s);
  out.set_draining(beat.draining);
  out.set_host(host_name());
  return out;
}

}  // namespace

struct BeatStream::Stream {
  grpc::ClientContext context;
  std::unique_ptr<v1::Workers::Stub> stub;
  std::unique_ptr<grpc::ClientReaderWriter<v1::WorkerBeat, v1::WorkerAck>> call;
  bool is_finished = false;
};

BeatStream::BeatStream(std::unique_ptr<Stream> stream, size_t router)
    : x_stream(std::move(stream)), x_router(router) {}

BeatStream::~BeatStream() {
  cancel();
  finish();
}

std::unique_ptr<BeatStream> BeatStream::open(RouterChannels& channels) {
  const size_t router = channels.current();
  auto stream = std::make_unique<Stream>();
  stream->stub = v1::Workers::NewStub(channels.channel(router));
  stream->call = stream->stub->Register(&stream->context);
  return std::unique_ptr<BeatStream>(new BeatStream(std::move(stream), router));
}

Result<BeatAnswer> BeatStream::send(const Beat& beat) {
  TARN_CHECK(!x_stream->is_finished);
  v1::WorkerAck ack;
  const bool is_answered = x_stream->call->Write(message_of(beat)) && x_stream->call->Read(&ack);
  if (!is_answered) {
    x_stream->is_finished = true;
    const Status status = rpc::from_grpc(x_stream->call->Finish());
    return status.is_ok() ? unavailable("the router ended the registration") : status;
  }
  const uint32_t interval_ms = std::clamp(ack.interval_ms(), kIntervalLeastMs, kIntervalMostMs);
  return BeatAnswer{Millis(interval_ms), ack.drain()};
}

void BeatStream::cancel() {
  x_stream->context.TryCancel();
}

void BeatStream::finish() {
  if (x_stream->is_finished) return;
  x_stream->is_finished = true;
  x_stream->call->WritesDone();
  (void)x_stream->call->Finish();
}

}  // namespace tarn::sdk
