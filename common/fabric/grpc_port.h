#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "common/fabric/fabric.h"

namespace grpc {
class Channel;
}

namespace tarn::fabric {

class GrpcCore;
class GrpcStreams;

// Frames that wait at one port for its thread; more stay with gRPC, which holds the sender back.
inline constexpr size_t kGrpcInboxFramesMax = 1024;
inline constexpr uint64_t kGrpcInboxBytesMax = 256ULL * 1024 * 1024;
// Bytes that wait in one stream to be written; one more frame is refused with overloaded.
inline constexpr uint64_t kGrpcOutboxBytesMax = 128ULL * 1024 * 1024;

// Bulk over the gRPC service tarn.v1.StorageBulk: for peers that UCX cannot reach, and for tenants
// who want their bytes encrypted. One-thread (the port's); gRPC's own threads fill its inbox. The
// payload of a message arrives whether it is wanted or not; a send ends when gRPC has taken it.
// Life: open, set_handler, connect..., progress..., destroy when idle() says so.
//
// A client's port has one stream to each channel, and connects to a lane by its number. A lane's
// port connects to a client by the address of the client's port, a secret that came over the
// authenticated StorageControl.Connect and that the client's stream shows again.
class GrpcPort : public Port {
 public:
  // A client's port; connect() goes over `channel`, which may be null where connect_over() is used.
  // Give the channel the limits of set_bulk_limits() in grpc_bulk_service.h.
  // Returns: ok, unavailable (no eventfd, no random numbers).
  static Result<std::unique_ptr<GrpcPort>> open_client(std::shared_ptr<grpc::Channel> channel);

  // The port of a server's lane; `streams` is that of its GrpcBulkService.
  // Returns: ok, invalid_argument (the lane has a port already), unavailable.
  static Result<std::unique_ptr<GrpcPort>> open_lane(std::shared_ptr<GrpcStreams> streams,
                                                     uint32_t lane);
  ~GrpcPort() override;

  // As connect(), over another channel than the port's own; clients only.
  Result<std::unique_ptr<Connection>> connect_over(const std::shared_ptr<grpc::Channel>& channel,
                                                   ConnectOptions options);

  Kind kind() const override { return Kind::grpc; }
  // Of a client: its secret. Of a lane: its number in decimal.
  std::string address() const override;
  std::string transport() const override { return "gRPC"; }
  void set_handler(Handler handler) override;
  // Returns: ok, invalid_argument (malformed address), unavailable (no channel).
  Result<std::unique_ptr<Connection>> connect(ConnectOptions options) override;
  size_t progress() override;
  bool arm() override;
  int event_fd() const override;
  bool idle() const override;

 private:
  explicit GrpcPort(std::shared_ptr<GrpcCore> core) : x_core(std::move(core)) {}
  // Shared with the connections, which may outlive the port.
  std::shared_ptr<GrpcCore> x_core;
};

}  // namespace tarn::fabric
