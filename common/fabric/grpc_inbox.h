#pragma once

#include <memory>
#include <vector>

#include "common/base/mutex.h"
#include "common/fabric/event.h"
#include "common/fabric/grpc_frame.h"

namespace tarn::fabric {

class GrpcStream;

// What gRPC's threads tell a port.
struct GrpcEvent {
  enum class What : uint8_t { opened, arrived, sent, lost };
  What what;
  std::shared_ptr<GrpcStream> stream;
  GrpcFrame frame{};     // arrived
  uint64_t send_id = 0;  // sent
  Code code = Code::ok;  // sent
  std::string why{};     // lost
  // lost: what holds the client's channel. gRPC 1.51 must not see the last of its channels go on a
  // thread of its own (it would join that thread), so it goes on the port's.
  std::shared_ptr<void> call{};
};

// The queue from gRPC's threads to a port's thread. Thread-safe. Frames are bounded by
// kGrpcInboxFramesMax and kGrpcInboxBytesMax, counted until the port has handled them: a stream
// whose frame finds no room keeps it, reads no further, and is resumed. Other events are bounded by
// the streams and by what is in flight.
class GrpcInbox {
 public:
  explicit GrpcInbox(Event event) : x_event(std::move(event)) {}

  int event_fd() const { return x_event.fd(); }
  // False when there is no room, or the port is gone: the stream waits to be resumed.
  bool offer(const std::shared_ptr<GrpcStream>& stream, GrpcFrame* frame);
  void post(GrpcEvent event);

  // For the port's thread.
  void take_all(std::vector<GrpcEvent>* into);
  // Makes room for `frames` frames of `bytes` bytes and resumes the streams that wait.
  void make_room(size_t frames, uint64_t bytes);
  bool arm();
  void close();

 private:
  const Event x_event;
  Mutex x_mutex;
  std::vector<GrpcEvent> x_events TARN_GUARDED_BY(x_mutex);
  std::vector<std::shared_ptr<GrpcStream>> x_waiting TARN_GUARDED_BY(x_mutex);
  size_t x_frame_count TARN_GUARDED_BY(x_mutex) = 0;
  uint64_t x_frame_bytes TARN_GUARDED_BY(x_mutex) = 0;
  bool x_closed TARN_GUARDED_BY(x_mutex) = false;
};

}  // namespace tarn::fabric
