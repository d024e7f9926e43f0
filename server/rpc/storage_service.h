#pragma once

#include <atomic>
#include <functional>
#include <vector>

#include "common/rpc/credentials.h"
#include "proto/tarn/v1/storage.grpc.pb.h"
#include "server/rpc/connections.h"
#include "server/store/event_log.h"

namespace tarn::server {

struct StorageServiceOptions {
  std::string name;
  Incarnation incarnation;
  std::vector<lane::Lane*> lanes;
  Connections* connections = nullptr;
  flash::FlashDrives* drives = nullptr;   // null: no flash tier
  object::ObjectStore* object = nullptr;  // null: no object tier
  const store::EventLog* events = nullptr;
  metrics::Registry* registry = nullptr;
  const rpc::Authenticator* authenticator = nullptr;
  std::function<Epoch()> epoch;
  std::function<void()> drain;
};

// StorageControl over gRPC: wire-up for whoever has a ticket, inventory, events and stats for
// routers, drain for operators. Thread-safe; streams hold a thread each, kStreamsMax at most.
class StorageService final : public v1::StorageControl::Service {
 public:
  static constexpr int kStreamsMax = 64;

  explicit StorageService(StorageServiceOptions options) : x_options(std::move(options)) {}

  grpc::Status Connect(grpc::ServerContext* context, const v1::ConnectRequest* request,
                       v1::ConnectResponse* response) override;
  grpc::Status Disconnect(grpc::ServerContext* context, const v1::DisconnectRequest* request,
                          v1::DisconnectResponse* response) override;
  grpc::Status Inventory(grpc::ServerContext* context, const v1::InventoryRequest* request,
                         grpc::ServerWriter<v1::InventoryChunk>* writer) override;
  grpc::Status WatchBlocks(grpc::ServerContext* context, const v1::WatchBlocksRequest* request,
                           grpc::ServerWriter<v1::BlockEvents>* writer) override;
  grpc::Status GetStats(grpc::ServerContext* context, const v1::GetStatsRequest* request,
                        v1::GetStatsResponse* response) override;
  grpc::Status Drain(grpc::ServerContext* context, const v1::DrainRequest* request,
                     v1::DrainResponse* response) override;

  // Ends the streams, now and in future.
  void close() { x_closing.store(true); }

 private:
  Status require(const grpc::ServerContext& context, std::initializer_list<auth::Role> roles) const;
  Result<Wired> wire_up(const grpc::ServerContext& context, const v1::ConnectRequest& request);
  Status scan_lane(lane::Lane& lane, store::PositionRange range, v1::InventoryChunk stamp,
                   grpc::ServerWriter<v1::InventoryChunk>* writer);
  Status list_below(store::PositionRange range, const v1::InventoryChunk& stamp,
                    grpc::ServerWriter<v1::InventoryChunk>* writer);

  const StorageServiceOptions x_options;
  std::atomic<int> x_streams{0};
  std::atomic<bool> x_closing{false};
};

}  // namespace tarn::server
