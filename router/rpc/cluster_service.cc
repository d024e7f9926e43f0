#include <optional>
#include <string>

#include "common/base/check.h"
#include "common/block/key.h"
#include "common/rpc/convert.h"
#include "common/rpc/status.h"
#include "proto/tarn/v1/cluster.grpc.pb.h"
#include "router/rpc/beat_stream.h"
#include "router/rpc/services.h"
#include "router/rpc/stream_writer.h"

namespace tarn::router {
namespace {

using auth::Role;

constexpr Roles kEveryone = {Role::tenant, Role::worker, Role::server, Role::router, Role::admin};

// The config as this caller may see it: keys only for who checks tickets, and of other tenants
// nothing.
v1::ClusterConfig shown_to(const auth::Identity& caller, ring::ClusterConfig config) {
  const bool is_own = caller.role == Role::server || caller.role == Role::router;
  if (!is_own) config.ticket_keys.clear();
  if (!caller.tenant.empty()) {
    const TenantId tenant = block::tenant_id(caller.tenant);
    std::erase_if(config.revocations,
                  [&](const auto& entry) { return entry.first != caller.tenant; });
    std::erase_if(config.floors, [&](const ring::Floor& floor) { return floor.tenant != tenant; });
  }
  return rpc::to_proto(config);
}

// One watcher of the config.
class ConfigStream : public StreamWriter<v1::ClusterConfig> {
 public:
  ConfigStream(StreamSeats::Seat seat, auth::Identity caller, uint64_t known_epoch)
      : StreamWriter(std::move(seat), WhenFull::keep_latest),
        x_caller(std::move(caller)),
        x_known_epoch(known_epoch) {}

  void begin(cluster::ConfigView& view) {
    x_subscription = view.subscribe([this](const cluster::ConfigSnapshot& config) {
      TARN_DCHECK(config != nullptr);
      if (config->epoch.value > x_known_epoch) push(shown_to(x_caller, *config));
    });
  }

 private:
  ~ConfigStream() override = default;

  const auth::Identity x_caller;
  const uint64_t x_known_epoch;
  cluster::ConfigView::Subscription x_subscription;
};

cluster::ServerBeat beat_from(const v1::HeartbeatRequest& from) {
  cluster::ServerBeat beat;
  beat.name = from.name();
  beat.control_endpoint = from.control_endpoint();
  beat.incarnation = {from.incarnation()};
  beat.weight = from.weight();
  beat.domain = from.domain();
  beat.lanes = from.lanes();
  beat.epoch = {from.epoch()};
  beat.draining = from.draining();
  beat.load.dram_bytes = from.load().dram_bytes();
  beat.load.dram_used_bytes = from.load().dram_used_bytes();
  beat.load.stored_payload_bytes = from.load().stored_payload_bytes();
  beat.load.blocks = from.load().blocks();
  for (const uint32_t slot : from.caught_up_slots())
    beat.caught_up_slots.push_back({slot});
  return beat;
}

// One storage server's life.
class ServerStream : public BeatStream<v1::HeartbeatRequest, v1::HeartbeatResponse> {
 public:
  ServerStream(StreamSeats::Seat seat, RouterContext& context, std::string name)
      : BeatStream(std::move(seat)), x_context(context), x_name(std::move(name)) {}

 private:
  ~ServerStream() override = default;

  Result<v1::HeartbeatResponse> heard(const v1::HeartbeatRequest& request) override {
    if (request.name() != x_name) {
      return permission_denied("name: " + request.name() + " beats as " + x_name);
    }
    TARN_RETURN_IF_ERROR(x_context.servers.beat(beat_from(request)));
    // News for the controller; a beat that only says "alive" need not wake it.
    if (x_incarnation != Incarnation{request.incarnation()}) x_context.controller.wake();
    x_incarnation = {request.incarnation()};
    return answer();
  }

  void ended() override { x_context.servers.part(x_name, x_incarnation); }

  v1::HeartbeatResponse answer() const {
    v1::HeartbeatResponse response;
    response.set_interval_ms(static_cast<uint32_t>(x_context.timing.interval.count()));
    response.set_dead_after_ms(static_cast<uint32_t>(x_context.timing.dead_after.count()));
    const auto config = x_context.config.current();
    if (config == nullptr) return response;
    response.set_epoch(config->epoch.value);
    for (const ring::Member& member : config->members) {
      if (member.name == x_name && member.incarnation == x_incarnation)
        response.set_server_id(member.id.value);
    }
    return response;
  }

  RouterContext& x_context;
  const std::string x_name;
  Incarnation x_incarnation;
};

using Heartbeats = grpc::ServerBidiReactor<v1::HeartbeatRequest, v1::HeartbeatResponse>;

class ClusterService : public v1::Cluster::CallbackService {
 public:
  explicit ClusterService(RouterContext& context) : x_context(context) {}

  grpc::ServerUnaryReactor* GetConfig(grpc::CallbackServerContext* call,
                                      const v1::GetConfigRequest*,
                                      v1::ClusterConfig* response) override {
    auto* const reactor = call->DefaultReactor();
    reactor->Finish(rpc::to_grpc(get_config(*call, response)));
    return reactor;
  }

  grpc::ServerWriteReactor<v1::ClusterConfig>* WatchConfig(
      grpc::CallbackServerContext* call, const v1::GetConfigRequest* request) override {
    using Refused = RefusedStream<grpc::ServerWriteReactor<v1::ClusterConfig>>;
    auto caller = require(x_context, *call, kEveryone);
    if (!caller) return new Refused(caller.error());
    auto seat = x_context.streams.take();
    if (!seat) return new Refused(overloaded("too many streams"));
    auto* const stream =
        new ConfigStream(std::move(seat), std::move(caller).value(), request->known_epoch());
    stream->begin(x_context.config);
    return stream;
  }

  Heartbeats* Heartbeat(grpc::CallbackServerContext* call) override {
    auto caller = require(x_context, *call, {Role::server});
    if (!caller) return new RefusedStream<Heartbeats>(caller.error());
    auto seat = x_context.streams.take();
    if (!seat) return new RefusedStream<Heartbeats>(overloaded("too many streams"));
    auto* const stream = new ServerStream(std::move(seat), x_context, caller->name);
    stream->begin();
    return stream;
  }

 private:
  Status get_config(const grpc::CallbackServerContext& call, v1::ClusterConfig* response) {
    TARN_ASSIGN_OR_RETURN(const auth::Identity caller, require(x_context, call, kEveryone));
    const auto config = x_context.config.current();
    if (config == nullptr) return unavailable("the cluster has no config yet");
    *response = shown_to(caller, *config);
    return Status::ok();
  }

  RouterContext& x_context;
};

}  // namespace

std::shared_ptr<grpc::Service> make_cluster_service(RouterContext& context) {
  return std::make_shared<ClusterService>(context);
}

}  // namespace tarn::router
