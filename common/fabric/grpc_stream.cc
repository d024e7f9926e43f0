#include "common/fabric/grpc_stream.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/fabric/grpc_port.h"

namespace tarn::fabric {

void GrpcStream::start(GrpcCall* call) {
  const MutexLock lock(x_mutex);
  TARN_CHECK(x_call == nullptr);
  // Closed, or replaced by a newer stream of its client, before its call began.
  if (x_broken) return call->finish(x_why);
  x_call = call;
  x_call->read(&x_incoming);
  write_next_locked();
}

bool GrpcStream::has_room(uint64_t bytes) {
  const MutexLock lock(x_mutex);
  return x_outbox.empty() || x_outbox_bytes + bytes <= kGrpcOutboxBytesMax;
}

Status GrpcStream::send(GrpcOutgoing outgoing) {
  const MutexLock lock(x_mutex);
  if (x_broken) return unavailable("the stream is broken: " + x_why);
  x_outbox_bytes += outgoing.bytes;
  x_outbox.push_back(std::move(outgoing));
  write_next_locked();
  return Status::ok();
}

void GrpcStream::write_next_locked() {
  if (x_writing || x_outbox.empty() || x_call == nullptr) return;
  x_writing = true;
  x_call->write(&x_outbox.front().message);
}

void GrpcStream::drop(const GrpcInbox* owner, uint64_t connection_id) {
  const MutexLock lock(x_mutex);
  const auto first = x_outbox.begin() + (x_writing ? 1 : 0);
  uint64_t dropped_bytes = 0;
  const auto kept = std::remove_if(first, x_outbox.end(), [&](const GrpcOutgoing& each) {
    const bool mine = each.owner.get() == owner && each.connection_id == connection_id;
    if (mine) dropped_bytes += each.bytes;
    return mine;
  });
  x_outbox.erase(kept, x_outbox.end());
  x_outbox_bytes -= dropped_bytes;
}

bool GrpcStream::is_broken() {
  const MutexLock lock(x_mutex);
  return x_broken;
}

void GrpcStream::on_read(bool ok) {
  if (!ok) return break_off("the peer ended the stream");
  grpc::ByteBuffer message;
  {
    const MutexLock lock(x_mutex);
    message.Swap(&x_incoming);
  }
  auto frame = decode_frame(std::move(message));
  if (!frame) return break_off("the peer sent a malformed frame");
  deliver(std::move(*frame));
}

void GrpcStream::deliver(GrpcFrame frame) {
  const auto inbox = x_roles.inbox_of(frame.lane);
  if (inbox == nullptr) {
    return break_off("there is no lane " + std::to_string(frame.lane));
  }
  const MutexLock lock(x_mutex);
  if (x_broken) return;
  // Parked first: another thread may resume this stream as soon as the inbox has refused it.
  if (!inbox->offer(shared_from_this(), &frame)) {
    x_parked = std::move(frame);
    return;
  }
  if (x_call != nullptr) x_call->read(&x_incoming);
}

void GrpcStream::resume() {
  std::optional<GrpcFrame> parked;
  {
    const MutexLock lock(x_mutex);
    parked.swap(x_parked);
  }
  if (parked) deliver(std::move(*parked));
}

void GrpcStream::on_write(bool ok) {
  std::optional<GrpcOutgoing> written;
  {
    const MutexLock lock(x_mutex);
    TARN_CHECK(x_writing && !x_outbox.empty());
    x_writing = false;
    if (ok) {
      written = std::move(x_outbox.front());
      x_outbox_bytes -= written->bytes;
      x_outbox.pop_front();
      write_next_locked();
    } else {
      break_locked("writing failed");
    }
  }
  if (!written) return;
  GrpcEvent event{GrpcEvent::What::sent, nullptr};
  event.send_id = written->send_id;
  written->owner->post(std::move(event));
}

void GrpcStream::break_off(const std::string& why) {
  const MutexLock lock(x_mutex);
  break_locked(why);
}

void GrpcStream::break_locked(const std::string& why) {
  if (x_broken) return;
  x_broken = true;
  x_why = why;
  x_parked.reset();
  if (GrpcCall* const call = std::exchange(x_call, nullptr)) call->finish(why);
}

void GrpcStream::on_done(const std::string& why, std::shared_ptr<void> call) {
  std::deque<GrpcOutgoing> outbox;
  std::string reason;
  {
    const MutexLock lock(x_mutex);
    // Where nothing failed before, gRPC's own words are the reason.
    if (!x_broken) x_why = why;
    x_broken = true;
    x_call = nullptr;
    x_writing = false;
    x_outbox_bytes = 0;
    outbox.swap(x_outbox);
    reason = why.empty() ? x_why : x_why + " (" + why + ")";
  }
  end_outbox(std::move(outbox));
  GrpcEvent lost{GrpcEvent::What::lost, shared_from_this()};
  lost.why = std::move(reason);
  lost.call = std::move(call);
  x_roles.ended(std::move(lost));
}

void GrpcStream::end_outbox(std::deque<GrpcOutgoing> outbox) {
  for (GrpcOutgoing& each : outbox) {
    GrpcEvent event{GrpcEvent::What::sent, nullptr};
    event.send_id = each.send_id;
    event.code = Code::unavailable;
    each.owner->post(std::move(event));
  }
}

}  // namespace tarn::fabric
