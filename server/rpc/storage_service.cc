#include "server/rpc/storage_service.h"

#include <algorithm>
#include <utility>

#include "common/base/log.h"
#include "common/ring/position.h"
#include "common/rpc/convert.h"
#include "common/rpc/status.h"
#include "server/rpc/door.h"

namespace tarn::server {
namespace {

constexpr size_t kScanBlocks = 2048;
constexpr size_t kEventsPerMessage = 1024;
constexpr Nanos kEventWait = std::chrono::milliseconds(200);
// What happens this soon after a message goes together in the next: a message wakes two threads
// here and two of the router, which costs more than many a put.
constexpr Nanos kEventsGather = std::chrono::milliseconds(10);
constexpr Nanos kScanTimeout = std::chrono::seconds(5);
constexpr Nanos kObjectListTimeout = std::chrono::seconds(5);

fabric::Kind from_proto(v1::FabricKind kind) {
  switch (kind) {
    case v1::FABRIC_KIND_UCX:
      return fabric::Kind::ucx;
    case v1::FABRIC_KIND_UCX_SHM:
      return fabric::Kind::ucx_shm;
    case v1::FABRIC_KIND_LOCAL:
      return fabric::Kind::local;
    default:
      return fabric::Kind::grpc;
  }
}

v1::FabricKind to_proto(fabric::Kind kind) {
  switch (kind) {
    case fabric::Kind::ucx:
      return v1::FABRIC_KIND_UCX;
    case fabric::Kind::ucx_shm:
      return v1::FABRIC_KIND_UCX_SHM;
    case fabric::Kind::local:
      return v1::FABRIC_KIND_LOCAL;
    case fabric::Kind::grpc:
    case fabric::Kind::loop:
      return v1::FABRIC_KIND_GRPC;
  }
  return v1::FABRIC_KIND_UNSPECIFIED;
}

v1::Tier to_proto(store::Medium medium) {
  switch (medium) {
    case store::Medium::dram:
      return v1::TIER_DRAM;
    case store::Medium::flash:
      return v1::TIER_FLASH;
    case store::Medium::object:
      return v1::TIER_OBJECT;
  }
  return v1::TIER_UNSPECIFIED;
}

void fill(const block::BlockHeader& header, store::Medium medium, v1::StoredBlock* block) {
  block->set_tenant(rpc::to_bytes(header.key.tenant));
  block->set_space(rpc::to_bytes(header.key.space));
  block->set_shard(header.key.shard.value);
  block->set_hash(std::string(header.key.hash.view()));
  block->set_anchor(std::string(header.anchor.view()));
  block->set_index(header.index);
  block->set_bytes(header.payload_bytes);
  block->set_tier(to_proto(medium));
  block->set_generation(header.generation.value);
}

// Counts a stream for its own lifetime.
class StreamSeat {
 public:
  StreamSeat(std::atomic<int>& taken, int limit) : x_taken(taken), x_has(++taken <= limit) {}
  ~StreamSeat() { --x_taken; }
  StreamSeat(const StreamSeat&) = delete;
  StreamSeat& operator=(const StreamSeat&) = delete;
  bool is_free() const { return x_has; }

 private:
  std::atomic<int>& x_taken;
  bool x_has;
};

Status too_many_streams() {
  return overloaded("too many inventory and event streams");
}

}  // namespace

Status StorageService::require(const grpc::ServerContext& context,
                               std::initializer_list<auth::Role> roles) const {
  TARN_ASSIGN_OR_RETURN(const auto caller, x_options.authenticator->caller(context));
  if (std::find(roles.begin(), roles.end(), caller.role) != roles.end()) return Status::ok();
  return permission_denied("a " + std::string(auth::role_name(caller.role)) + " may not do this");
}

Result<Wired> StorageService::wire_up(const grpc::ServerContext& context,
                                      const v1::ConnectRequest& request) {
  TARN_ASSIGN_OR_RETURN(const auto caller, x_options.authenticator->caller(context));
  std::vector<fabric::Offer> offers;
  for (const auto& offer : request.offers()) {
    offers.push_back({from_proto(offer.kind()), offer.version(), offer.settings(), offer.address(),
                      offer.host()});
  }
  return x_options.connections->connect(caller, request.ticket(), offers);
}

grpc::Status StorageService::Connect(grpc::ServerContext* context,
                                     const v1::ConnectRequest* request,
                                     v1::ConnectResponse* response) {
  const auto wired = wire_up(*context, *request);
  if (!wired) return rpc::to_grpc(count_refused(*x_options.registry, "connect", wired.error()));
  response->set_connection_id(wired->connection_id);
  response->set_nonce(wired->nonce.data(), wired->nonce.size());
  response->set_incarnation(x_options.incarnation.value);
  response->set_epoch(wired->epoch.value);
  response->set_fabric(to_proto(wired->fabric));
  for (const std::string& address : wired->lane_addresses)
    response->add_lane_addresses(address);
  response->set_lanes(static_cast<uint32_t>(x_options.lanes.size()));
  response->set_credits(lane::kCreditsPromised);
  response->set_credit_bytes(lane::kCreditBytesPromised);
  response->set_refused_offers(wired->refused_offers);
  response->set_transport(wired->transport);
  response->set_pieces(true);
  response->set_sampled_puts(true);
  response->set_flash_puts(true);
  return grpc::Status::OK;
}

grpc::Status StorageService::Disconnect(grpc::ServerContext* context,
                                        const v1::DisconnectRequest* request,
                                        v1::DisconnectResponse*) {
  const auto caller = x_options.authenticator->caller(*context);
  if (!caller) return rpc::to_grpc(caller.error());
  return rpc::to_grpc(x_options.connections->disconnect(*caller, request->connection_id()));
}

grpc::Status StorageService::Inventory(grpc::ServerContext* context,
                                       const v1::InventoryRequest* request,
                                       grpc::ServerWriter<v1::InventoryChunk>* writer) {
  const Status may = require(*context, {auth::Role::router});
  if (!may.is_ok()) return rpc::to_grpc(may);
  const StreamSeat seat(x_streams, kStreamsMax);
  if (!seat.is_free()) return rpc::to_grpc(too_many_streams());
  v1::InventoryChunk stamp;
  stamp.set_incarnation(x_options.incarnation.value);
  stamp.set_sequence(x_options.events->last_sequence());
  const store::PositionRange range{{request->first_position()}, {request->last_position()}};
  for (lane::Lane* lane : x_options.lanes) {
    const Status scanned = scan_lane(*lane, range, stamp, writer);
    if (!scanned.is_ok()) return rpc::to_grpc(scanned);
  }
  if (const Status listed = list_below(range, stamp, writer); !listed.is_ok())
    return rpc::to_grpc(listed);
  stamp.set_done(true);
  writer->Write(stamp);
  return grpc::Status::OK;
}

Status StorageService::scan_lane(lane::Lane& lane, store::PositionRange range,
                                 v1::InventoryChunk stamp,
                                 grpc::ServerWriter<v1::InventoryChunk>* writer) {
  while (true) {
    TARN_ASSIGN_OR_RETURN(const auto found, lane.scan(range, kScanBlocks, kScanTimeout));
    v1::InventoryChunk chunk = stamp;
    for (const block::BlockHeader& header : found.blocks)
      fill(header, store::Medium::dram, chunk.add_blocks());
    if (!found.blocks.empty() && !writer->Write(chunk)) return cancelled("the caller has gone");
    if (!found.next || x_closing.load()) return Status::ok();
    range.first = *found.next;
  }
}

// What the object store does not list in time is found by who looks, not by who searches.
Status StorageService::list_below(store::PositionRange range, const v1::InventoryChunk& stamp,
                                  grpc::ServerWriter<v1::InventoryChunk>* writer) {
  v1::InventoryChunk chunk = stamp;
  bool is_heard = true;
  const auto send = [&] {
    is_heard = writer->Write(chunk);
    chunk = stamp;
  };
  const auto add = [&](const block::BlockHeader& header, store::Medium medium) {
    const Position position = ring::position_of(header.key.tenant, header.key.space, header.anchor);
    if (position < range.first || position > range.last) return true;
    fill(header, medium, chunk.add_blocks());
    if (static_cast<size_t>(chunk.blocks_size()) == kScanBlocks) send();
    return is_heard && !x_closing.load();
  };
  if (x_options.drives != nullptr)
    TARN_RETURN_IF_ERROR(x_options.drives->list(
        [&](const block::BlockHeader& header) { return add(header, store::Medium::flash); }));
  // Who asks for one position wants to know how things stand, not what lies there.
  if (x_options.object != nullptr && is_heard && range.first != range.last)
    (void)x_options.object->list(
        system_clock().now() + kObjectListTimeout,
        [&](const block::BlockHeader& header) { return add(header, store::Medium::object); });
  if (is_heard && chunk.blocks_size() > 0) send();
  return is_heard ? Status::ok() : cancelled("the caller has gone");
}

grpc::Status StorageService::WatchBlocks(grpc::ServerContext* context,
                                         const v1::WatchBlocksRequest* request,
                                         grpc::ServerWriter<v1::BlockEvents>* writer) {
  const Status may = require(*context, {auth::Role::router});
  if (!may.is_ok()) return rpc::to_grpc(may);
  const StreamSeat seat(x_streams, kStreamsMax);
  if (!seat.is_free()) return rpc::to_grpc(too_many_streams());
  const bool resumes = request->incarnation() == x_options.incarnation.value;
  uint64_t sequence = request->after_sequence();
  bool gap = !resumes;
  if (gap) sequence = x_options.events->last_sequence();
  while (!context->IsCancelled() && !x_closing.load()) {
    const auto batch =
        x_options.events->after(sequence, kEventsPerMessage, gap ? Nanos(0) : kEventWait);
    v1::BlockEvents message;
    message.set_incarnation(x_options.incarnation.value);
    message.set_first_sequence(batch.first_sequence);
    message.set_gap(gap || batch.gap);
    for (const store::BlockChange& change : batch.changes) {
      v1::BlockEvent* event = message.add_events();
      fill(change.header, change.medium, event->mutable_block());
      event->set_removed(change.removed);
    }
    if (batch.changes.empty() && !message.gap()) continue;
    if (!writer->Write(message)) break;
    gap = false;
    sequence = batch.first_sequence + batch.changes.size() - 1;
    x_options.events->gather(sequence, kEventsPerMessage, kEventsGather);
  }
  return grpc::Status::OK;
}

grpc::Status StorageService::GetStats(grpc::ServerContext* context, const v1::GetStatsRequest*,
                                      v1::GetStatsResponse* response) {
  const Status may = require(*context, {auth::Role::router, auth::Role::admin, auth::Role::server});
  if (!may.is_ok()) return rpc::to_grpc(may);
  response->set_name(x_options.name);
  response->set_incarnation(x_options.incarnation.value);
  response->set_epoch(x_options.epoch().value);
  lane::LaneStats sum;
  for (const lane::Lane* lane : x_options.lanes) {
    const lane::LaneStats stats = lane->stats();
    sum.dram.capacity_bytes += stats.dram.capacity_bytes;
    sum.dram.memory_bytes += stats.dram.memory_bytes;
    sum.dram.payload_bytes += stats.dram.payload_bytes;
    sum.dram.blocks += stats.dram.blocks;
    sum.put_bytes += stats.put_bytes;
    sum.get_bytes += stats.get_bytes;
    sum.connections = std::max(sum.connections, stats.connections);
  }
  response->set_dram_bytes(sum.dram.capacity_bytes);
  response->set_dram_used_bytes(sum.dram.memory_bytes);
  response->set_blocks(sum.dram.blocks);
  response->set_stored_payload_bytes(sum.dram.payload_bytes);
  response->set_put_bytes_total(sum.put_bytes);
  response->set_get_bytes_total(sum.get_bytes);
  response->set_connections(sum.connections);
  for (const auto& port : x_options.lanes.front()->ports())
    response->add_fabrics(std::string(fabric::kind_name(port.kind)) + ": " + port.transport);
  for (const metrics::Family& family : x_options.registry->collect()) {
    for (const metrics::Sample& sample : family.samples) {
      const auto* count = std::get_if<uint64_t>(&sample.value);
      if (count == nullptr || *count == 0) continue;
      const auto cause = sample.labels.find("cause");
      const std::string name =
          cause == sample.labels.end() ? family.name : family.name + ":" + cause->second;
      (*response->mutable_counters())[name] += *count;
    }
  }
  return grpc::Status::OK;
}

grpc::Status StorageService::Drain(grpc::ServerContext* context, const v1::DrainRequest*,
                                   v1::DrainResponse*) {
  const Status may = require(*context, {auth::Role::router, auth::Role::admin});
  if (!may.is_ok()) return rpc::to_grpc(may);
  x_options.drain();
  return grpc::Status::OK;
}

}  // namespace tarn::server
