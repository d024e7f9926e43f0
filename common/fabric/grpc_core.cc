#include "common/fabric/grpc_core.h"

#include <poll.h>

#include <charconv>

#include "common/base/check.h"
#include "common/base/fault_point.h"
#include "common/base/log.h"
#include "common/fabric/grpc_client_call.h"
#include "common/fabric/scatter.h"

namespace tarn::fabric {

namespace {

// How long a client's port waits for gRPC when it goes: 5 seconds in all.
constexpr int kCallWaitMs = 100;
constexpr int kCallWaitRoundsMax = 50;

}  // namespace

// The payload of the frame that is being handled.
class GrpcPayload : public Payload {
 public:
  GrpcPayload(GrpcCore& core, const GrpcFrame& frame) : x_core(core), x_frame(frame) {}

  uint64_t size() const override { return x_frame.payload_bytes; }

  void receive(std::span<const MutableBytes> into, ReceiveDone done) override {
    TARN_CHECK(!x_received);
    TARN_CHECK(total_bytes(into) == x_frame.payload_bytes);
    x_received = true;
    x_core.x_ended.add(std::move(done), Code::ok, read_payload(x_frame, into));
  }

 private:
  GrpcCore& x_core;
  const GrpcFrame& x_frame;
  bool x_received = false;
};

Result<uint64_t> GrpcCore::connect_to_lane(const std::shared_ptr<grpc::Channel>& channel,
                                           ConnectOptions options) {
  TARN_CHECK(is_client() && !x_shut_down);
  if (channel == nullptr) return unavailable("this gRPC port has no channel: use connect_over()");
  uint32_t lane = 0;
  const std::string& text = options.peer_address;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), lane);
  if (error != std::errc() || end != text.data() + text.size()) {
    return invalid_argument("the address of a gRPC lane is its number");
  }
  Peer peer;
  peer.stream = stream_over(channel);
  peer.lane = lane;
  peer.link = options.link;
  peer.on_lost = std::move(options.on_lost);
  return add_peer(std::move(peer));
}

Result<uint64_t> GrpcCore::connect_to_client(ConnectOptions options) {
  TARN_CHECK(!is_client() && !x_shut_down);
  // As open_client() makes them: a wrong one would wait for its stream for ever.
  const bool well_formed =
      options.peer_address.size() == 32 &&
      options.peer_address.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (!well_formed) return invalid_argument("this is not the address of a client's gRPC port");
  Peer peer;
  peer.stream = x_identity.streams->find(options.peer_address);
  // Of an earlier connection of the client's: the new one is about to bring its own.
  if (peer.stream != nullptr && peer.stream->is_broken()) peer.stream = nullptr;
  peer.token = std::move(options.peer_address);
  peer.lane = x_identity.lane;
  peer.link = options.link;
  peer.on_lost = std::move(options.on_lost);
  return add_peer(std::move(peer));
}

uint64_t GrpcCore::add_peer(Peer peer) {
  x_peers.emplace(++x_last_connection_id, std::move(peer));
  return x_last_connection_id;
}

std::shared_ptr<GrpcStream> GrpcCore::stream_over(const std::shared_ptr<grpc::Channel>& channel) {
  std::shared_ptr<GrpcStream>& stream = x_client_streams[channel.get()];
  if (stream != nullptr && !stream->is_broken()) return stream;
  GrpcStream::Roles roles;
  roles.inbox_of = [inbox = x_inbox](uint32_t) { return inbox; };
  roles.ended = [inbox = x_inbox](GrpcEvent lost) { inbox->post(std::move(lost)); };
  stream = std::make_shared<GrpcStream>(x_identity.address, std::move(roles), ++x_last_stream);
  ++x_open_calls;
  start_client_call(channel, stream);
  return stream;
}

Status GrpcCore::send(uint64_t connection_id, Bytes header, std::span<const Bytes> payload,
                      SendDone done) {
  if (header.size() > kHeaderBytesMax) return invalid_argument("the header is too long");
  const auto found = x_peers.find(connection_id);
  if (x_shut_down || found == x_peers.end()) return unavailable("the connection is closed");
  const Peer& peer = found->second;
  if (peer.lost) return unavailable("the peer is gone");
  if (TARN_FAULT_POINT("fabric.grpc_send")) return unavailable("fault point fabric.grpc_send");
  if (peer.stream == nullptr) return overloaded("the client's stream has not come yet");
  const uint64_t bytes = header.size() + total_bytes(payload);
  if (!peer.stream->has_room(bytes)) return overloaded("the stream has too much to write");
  const uint64_t id = ++x_last_send_id;
  TARN_RETURN_IF_ERROR(peer.stream->send(
      {x_inbox, connection_id, id, bytes, encode_frame(peer.lane, header, payload)}));
  x_sends.emplace(id, Send{connection_id, std::move(done)});
  return Status::ok();
}

void GrpcCore::close(uint64_t connection_id) {
  const auto found = x_peers.find(connection_id);
  if (found == x_peers.end()) return;
  const auto stream = std::move(found->second.stream);
  x_peers.erase(found);
  end_sends(connection_id, Code::cancelled);
  if (stream == nullptr) return;
  stream->drop(x_inbox.get(), connection_id);
  if (is_client()) close_unused(stream);
}

void GrpcCore::close_unused(const std::shared_ptr<GrpcStream>& stream) {
  for (const auto& [id, peer] : x_peers) {
    if (peer.stream == stream) return;
  }
  std::erase_if(x_client_streams, [&](const auto& each) { return each.second == stream; });
  stream->close();
}

// The payload was copied into the frame, so its memory is free whatever becomes of that.
void GrpcCore::end_sends(uint64_t connection_id, Code code) {
  std::erase_if(x_sends, [&](auto& each) {
    if (each.second.connection_id != connection_id) return false;
    x_ended.add(std::move(each.second.done), code);
    return true;
  });
}

size_t GrpcCore::progress() {
  x_inbox->take_all(&x_taken);
  size_t count = x_taken.size();
  size_t frames = 0;
  uint64_t bytes = 0;
  for (GrpcEvent& event : x_taken) {
    if (event.what == GrpcEvent::What::arrived) {
      ++frames;
      bytes += event.frame.bytes();
    }
    handle(event);
  }
  x_taken.clear();
  if (frames > 0) x_inbox->make_room(frames, bytes);
  count += x_ended.call_all();
  return count;
}

void GrpcCore::handle(GrpcEvent& event) {
  switch (event.what) {
    case GrpcEvent::What::opened:
      return on_opened(event.stream);
    case GrpcEvent::What::arrived:
      return on_arrived(event);
    case GrpcEvent::What::sent:
      return on_sent(event.send_id, event.code);
    case GrpcEvent::What::lost:
      return on_lost(event);
  }
}

void GrpcCore::on_opened(const std::shared_ptr<GrpcStream>& stream) {
  for (auto& [id, peer] : x_peers) {
    if (peer.lost || peer.token != stream->token()) continue;
    if (peer.stream == nullptr) peer.stream = stream;
  }
}

void GrpcCore::on_arrived(const GrpcEvent& event) {
  if (!x_handler) return;
  GrpcPayload payload(*this, event.frame);
  x_handler(link_of(event), std::as_bytes(std::span(event.frame.header)), payload);
}

uint64_t GrpcCore::link_of(const GrpcEvent& event) const {
  for (const auto& [id, peer] : x_peers) {
    if (peer.stream == event.stream && peer.lane == event.frame.lane) return peer.link;
  }
  return 0;
}

void GrpcCore::on_sent(uint64_t send_id, Code code) {
  const auto found = x_sends.find(send_id);
  if (found == x_sends.end()) return;
  x_ended.add(std::move(found->second.done), code);
  x_sends.erase(found);
}

void GrpcCore::on_lost(const GrpcEvent& event) {
  std::erase_if(x_client_streams, [&](const auto& each) { return each.second == event.stream; });
  if (event.call != nullptr) --x_open_calls;
  for (auto& [id, peer] : x_peers) {
    if (peer.stream != event.stream || peer.lost) continue;
    peer.lost = true;
    peer.why_lost = event.why;
    end_sends(id, Code::unavailable);
    x_ended.add([this, id = id](Status) { tell_lost(id); }, Status::ok());
  }
}

void GrpcCore::tell_lost(uint64_t connection_id) {
  const auto found = x_peers.find(connection_id);
  if (found == x_peers.end() || !found->second.on_lost) return;
  // Moved out first: the handler may close the connection, and with it its own storage.
  const LostHandler handler = std::move(found->second.on_lost);
  handler(unavailable("the gRPC stream ended: " + found->second.why_lost));
}

void GrpcCore::shut_down() {
  TARN_CHECK(!x_shut_down);
  x_shut_down = true;
  x_handler = nullptr;
  for (const auto& [channel, stream] : x_client_streams)
    stream->close();
  wait_for_calls();
  x_inbox->close();
  if (!is_client()) x_identity.streams->remove_lane(x_identity.lane);
}

void GrpcCore::wait_for_calls() {
  for (int round = 0; x_open_calls > 0 && round < kCallWaitRoundsMax; ++round) {
    pollfd entry{x_inbox->event_fd(), POLLIN, 0};
    if (x_inbox->arm()) poll(&entry, 1, kCallWaitMs);
    x_inbox->take_all(&x_taken);
    for (const GrpcEvent& event : x_taken) {
      if (event.what == GrpcEvent::What::lost) on_lost(event);
    }
    x_taken.clear();
  }
  if (x_open_calls > 0) log::warn("gRPC does not let go of {} calls", x_open_calls);
}

}  // namespace tarn::fabric
