#include "common/fabric/grpc_inbox.h"

#include "common/base/check.h"
#include "common/fabric/grpc_port.h"
#include "common/fabric/grpc_stream.h"

namespace tarn::fabric {

bool GrpcInbox::offer(const std::shared_ptr<GrpcStream>& stream, GrpcFrame* frame) {
  const MutexLock lock(x_mutex);
  if (x_closed) return false;
  const bool full =
      x_frame_count == kGrpcInboxFramesMax || x_frame_bytes + frame->bytes() > kGrpcInboxBytesMax;
  if (full && x_frame_count > 0) {
    x_waiting.push_back(stream);
    return false;
  }
  ++x_frame_count;
  x_frame_bytes += frame->bytes();
  x_events.push_back({GrpcEvent::What::arrived, stream, std::move(*frame)});
  x_event.signal();
  return true;
}

void GrpcInbox::post(GrpcEvent event) {
  const MutexLock lock(x_mutex);
  if (x_closed) return;
  x_events.push_back(std::move(event));
  x_event.signal();
}

void GrpcInbox::take_all(std::vector<GrpcEvent>* into) {
  TARN_CHECK(into->empty());
  const MutexLock lock(x_mutex);
  into->swap(x_events);
}

void GrpcInbox::make_room(size_t frames, uint64_t bytes) {
  std::vector<std::shared_ptr<GrpcStream>> resumed;
  {
    const MutexLock lock(x_mutex);
    TARN_CHECK(x_frame_count >= frames && x_frame_bytes >= bytes);
    x_frame_count -= frames;
    x_frame_bytes -= bytes;
    resumed.swap(x_waiting);
  }
  for (const auto& stream : resumed)
    stream->resume();
}

bool GrpcInbox::arm() {
  const MutexLock lock(x_mutex);
  if (!x_events.empty()) return false;
  x_event.clear();
  return true;
}

void GrpcInbox::close() {
  std::vector<GrpcEvent> dropped;
  std::vector<std::shared_ptr<GrpcStream>> waiting;
  const MutexLock lock(x_mutex);
  x_closed = true;
  dropped.swap(x_events);
  waiting.swap(x_waiting);
}

}  // namespace tarn::fabric
