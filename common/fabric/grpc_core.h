#pragma once

#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/fabric/ended.h"
#include "common/fabric/grpc_streams.h"

namespace grpc {
class Channel;
}

namespace tarn::fabric {

// The state of a gRPC port, which its connections share. One-thread (the port's); the inbox is what
// gRPC's threads see of it.
class GrpcCore {
 public:
  // Who the port is: a client has a secret and maybe a channel, a lane has streams and a number.
  struct Identity {
    std::string address;
    std::shared_ptr<grpc::Channel> channel;
    std::shared_ptr<GrpcStreams> streams;
    uint32_t lane = 0;
  };

  GrpcCore(Identity identity, std::shared_ptr<GrpcInbox> inbox)
      : x_identity(std::move(identity)), x_inbox(std::move(inbox)) {}

  const Identity& identity() const { return x_identity; }
  int event_fd() const { return x_inbox->event_fd(); }
  void set_handler(Handler handler) { x_handler = std::move(handler); }

  Result<uint64_t> connect_to_lane(const std::shared_ptr<grpc::Channel>& channel,
                                   ConnectOptions options);
  Result<uint64_t> connect_to_client(ConnectOptions options);
  Status send(uint64_t connection_id, Bytes header, std::span<const Bytes> payload, SendDone done);
  void close(uint64_t connection_id);
  size_t progress();
  bool arm() { return x_ended.empty() && x_inbox->arm(); }
  bool idle() const { return x_sends.empty() && x_ended.empty(); }
  // Of a client: waits until gRPC has let go of its streams, which a cancel makes happen at once.
  void shut_down();

 private:
  friend class GrpcPayload;
  struct Peer {
    std::shared_ptr<GrpcStream> stream;  // null on a lane until the client's stream has come
    std::string token;                   // of the client, on a lane
    uint32_t lane = 0;
    uint64_t link = 0;
    LostHandler on_lost;
    bool lost = false;
    std::string why_lost;
  };
  struct Send {
    uint64_t connection_id;
    SendDone done;
  };

  bool is_client() const { return x_identity.streams == nullptr; }
  std::shared_ptr<GrpcStream> stream_over(const std::shared_ptr<grpc::Channel>& channel);
  uint64_t add_peer(Peer peer);
  void handle(GrpcEvent& event);
  void on_opened(const std::shared_ptr<GrpcStream>& stream);
  void on_arrived(const GrpcEvent& event);
  void on_sent(uint64_t send_id, Code code);
  void on_lost(const GrpcEvent& event);
  void tell_lost(uint64_t connection_id);
  void end_sends(uint64_t connection_id, Code code);
  uint64_t link_of(const GrpcEvent& event) const;
  void wait_for_calls();
  void close_unused(const std::shared_ptr<GrpcStream>& stream);

  const Identity x_identity;
  const std::shared_ptr<GrpcInbox> x_inbox;
  bool x_shut_down = false;
  Handler x_handler;
  std::map<uint64_t, Peer> x_peers;  // by connection id
  std::unordered_map<uint64_t, Send> x_sends;
  std::map<const grpc::Channel*, std::shared_ptr<GrpcStream>> x_client_streams;
  size_t x_open_calls = 0;  // of a client's streams, until their lost event
  uint64_t x_last_connection_id = 0;
  uint64_t x_last_send_id = 0;
  uint64_t x_last_stream = 0;
  EndedCallbacks x_ended;
  std::vector<GrpcEvent> x_taken;
};

}  // namespace tarn::fabric
