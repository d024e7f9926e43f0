#include <string>
#include <thread>

#include "common/base/check.h"
#include "common/base/mutex.h"
#include "common/base/thread_name.h"
#include "common/base/units.h"
#include "common/rpc/convert.h"
#include "common/rpc/status.h"
#include "proto/tarn/v1/router.grpc.pb.h"
#include "router/rpc/beat_stream.h"
#include "router/rpc/services.h"
#include "router/rpc/stream_writer.h"
#include "router/rpc/worker_text.h"

namespace tarn::router {
namespace {

using auth::Role;

constexpr Millis kSweepInterval{50};

Result<pool::WorkerBeat> beat_from(const v1::WorkerBeat& from) {
  pool::WorkerBeat beat;
  beat.name = from.name();
  beat.endpoint = from.endpoint();
  TARN_ASSIGN_OR_RETURN(beat.space, rpc::space_id_from(from.space()));
  beat.capacity = from.capacity();
  beat.running = from.running();
  beat.queued = from.queued();
  beat.prefill_tokens_per_s = from.prefill_tokens_per_s();
  beat.draining = from.draining();
  beat.host = from.host();
  return beat;
}

// A worker beats under its own name; its tenant's credential may speak for any of the tenant's.
Status check_name(const auth::Identity& caller, const std::string& name) {
  if (caller.role == Role::tenant || caller.name == caller.tenant + "/" + name) return Status::ok();
  return permission_denied("name: " + name + " beats as " + caller.name);
}

// One worker's life.
class WorkerStream : public BeatStream<v1::WorkerBeat, v1::WorkerAck> {
 public:
  WorkerStream(StreamSeats::Seat seat, RouterContext& context, auth::Identity caller)
      : BeatStream(std::move(seat)),
        x_context(context),
        x_caller(std::move(caller)),
        x_number(context.workers.enter()) {}

 private:
  ~WorkerStream() override = default;

  Result<v1::WorkerAck> heard(const v1::WorkerBeat& request) override {
    TARN_RETURN_IF_ERROR(check_name(x_caller, request.name()));
    TARN_ASSIGN_OR_RETURN(const pool::WorkerBeat beat, beat_from(request));
    if (!x_name.empty() && x_name != beat.name) {
      return invalid_argument("name: a stream is for one worker");
    }
    x_name = beat.name;
    TARN_ASSIGN_OR_RETURN(const bool drain,
                          x_context.workers.beat(x_number, x_caller.tenant, beat));
    v1::WorkerAck ack;
    ack.set_interval_ms(static_cast<uint32_t>(x_context.timing.interval.count()));
    ack.set_dead_after_ms(static_cast<uint32_t>(x_context.timing.dead_after.count()));
    ack.set_drain(drain);
    return ack;
  }

  void ended() override { x_context.workers.leave(x_number); }

  RouterContext& x_context;
  const auth::Identity x_caller;
  const uint64_t x_number;
  std::string x_name;
};

v1::ClusterEvent::Kind kind_of(cluster::EventKind kind) {
  switch (kind) {
    case cluster::EventKind::worker_up:
      return v1::ClusterEvent::WORKER_UP;
    case cluster::EventKind::worker_lost:
      return v1::ClusterEvent::WORKER_LOST;
    case cluster::EventKind::server_up:
      return v1::ClusterEvent::SERVER_UP;
    case cluster::EventKind::server_lost:
      return v1::ClusterEvent::SERVER_LOST;
    case cluster::EventKind::epoch:
      return v1::ClusterEvent::EPOCH;
  }
  return v1::ClusterEvent::KIND_UNSPECIFIED;
}

// One listener to events; a tenant hears of its own workers only.
class EventStream : public StreamWriter<v1::ClusterEvent> {
 public:
  EventStream(StreamSeats::Seat seat, auth::Identity caller)
      : StreamWriter(std::move(seat), WhenFull::end), x_caller(std::move(caller)) {}

  void begin(cluster::Events& events) {
    x_subscription = events.subscribe([this](const cluster::Event& event) {
      const bool is_foreign =
          !x_caller.tenant.empty() && !event.tenant.empty() && event.tenant != x_caller.tenant;
      if (!is_foreign) push(message(event));
    });
  }

 private:
  ~EventStream() override = default;

  static v1::ClusterEvent message(const cluster::Event& event) {
    v1::ClusterEvent out;
    out.set_kind(kind_of(event.kind));
    out.set_name(event.name);
    out.set_epoch(event.epoch.value);
    out.set_unix_ms(event.unix_ms);
    return out;
  }

  const auth::Identity x_caller;
  cluster::Events::Subscription x_subscription;
};

using Beats = grpc::ServerBidiReactor<v1::WorkerBeat, v1::WorkerAck>;
using Listeners = grpc::ServerWriteReactor<v1::ClusterEvent>;
// Route may ask a storage server, so it and its neighbours are synchronous; streams are not.
using Base = v1::Workers::WithCallbackMethod_Register<
    v1::Workers::WithCallbackMethod_WatchEvents<v1::Workers::Service>>;

class WorkerService : public Base {
 public:
  explicit WorkerService(RouterContext& context)
      : x_context(context), x_sweeper([this] { sweep(); }) {}

  ~WorkerService() override {
    {
      MutexLock lock(x_mutex);
      x_is_closing = true;
      x_closing.notify_all();
    }
    x_sweeper.join();
  }

  Beats* Register(grpc::CallbackServerContext* call) override {
    auto caller = require(x_context, *call, {Role::tenant, Role::worker});
    if (!caller) return new RefusedStream<Beats>(caller.error());
    auto seat = x_context.streams.take();
    if (!seat) return new RefusedStream<Beats>(overloaded("too many streams"));
    auto* const stream = new WorkerStream(std::move(seat), x_context, std::move(caller).value());
    stream->begin();
    return stream;
  }

  Listeners* WatchEvents(grpc::CallbackServerContext* call,
                         const v1::WatchEventsRequest*) override {
    auto caller = x_context.authenticator.caller(*call);
    if (!caller) return new RefusedStream<Listeners>(caller.error());
    auto seat = x_context.streams.take();
    if (!seat) return new RefusedStream<Listeners>(overloaded("too many streams"));
    auto* const stream = new EventStream(std::move(seat), std::move(caller).value());
    stream->begin(x_context.events);
    // The reader learns at once that it listens: nothing that happens after is missed.
    stream->StartSendInitialMetadata();
    return stream;
  }

  grpc::Status DrainWorker(grpc::ServerContext* call, const v1::DrainWorkerRequest* request,
                           v1::DrainWorkerResponse*) override {
    const auto caller = require(x_context, *call, {Role::tenant, Role::worker, Role::admin});
    if (!caller) return rpc::to_grpc(caller.error());
    if (caller->role == Role::worker) {
      const Status own = check_name(caller.value(), request->name());
      if (!own.is_ok()) return rpc::to_grpc(own);
    }
    return rpc::to_grpc(x_context.workers.drain(caller->tenant, request->name()));
  }

  grpc::Status ListWorkers(grpc::ServerContext* call, const v1::ListWorkersRequest*,
                           v1::ListWorkersResponse* response) override {
    const auto caller = require(x_context, *call, {Role::tenant, Role::worker, Role::admin});
    if (!caller) return rpc::to_grpc(caller.error());
    for (const auto& worker : x_context.workers.list(caller->tenant))
      show_worker(worker, response->add_workers());
    return grpc::Status::OK;
  }

  grpc::Status Route(grpc::ServerContext* call, const v1::RouteRequest* request,
                     v1::RouteResponse* response) override {
    return rpc::to_grpc(route(*call, *request, response));
  }

 private:
  Status route(const grpc::ServerContext& call, const v1::RouteRequest& request,
               v1::RouteResponse* response) {
    TARN_ASSIGN_OR_RETURN(const auth::Identity caller,
                          require(x_context, call, {Role::tenant, Role::worker}));
    TARN_ASSIGN_OR_RETURN(const pool::FetchQuestion prefix, question(caller, request));
    pool::RouteQuestion ask;
    ask.tenant = caller.tenant;
    ask.space = prefix.space;
    ask.new_tokens = request.new_tokens();
    ask.exclude.assign(request.exclude().begin(), request.exclude().end());
    if (!prefix.session_id.empty() || !prefix.hashes.empty())
      ask.fetch = x_context.questions.fetch_cost(prefix);
    TARN_ASSIGN_OR_RETURN(const pool::RouteAnswer answer, x_context.workers.route(ask));
    response->set_worker(answer.worker);
    response->set_endpoint(answer.endpoint);
    response->set_estimated_fetch_us(answer.fetch_us);
    response->set_estimated_queue_us(answer.queue_us);
    response->set_cached_tokens(answer.cached_tokens);
    return Status::ok();
  }

  static Result<pool::FetchQuestion> question(const auth::Identity& caller,
                                              const v1::RouteRequest& request) {
    pool::FetchQuestion out;
    out.tenant = caller.tenant;
    TARN_ASSIGN_OR_RETURN(out.space, rpc::space_id_from(request.space()));
    if (request.session_id().size() > kNameBytesMax) {
      return invalid_argument("session_id: longer than 128 bytes");
    }
    out.session_id = request.session_id();
    if (static_cast<uint32_t>(request.hashes_size()) > kMatchHashesMax) {
      return invalid_argument("hashes: more than 8192");
    }
    for (const std::string& bytes : request.hashes()) {
      TARN_ASSIGN_OR_RETURN(const block::BlockHash hash, block::BlockHash::from(bytes));
      out.hashes.push_back(hash);
    }
    return out;
  }

  void sweep() {
    set_thread_name("worker sweep");
    MutexLock lock(x_mutex);
    while (!x_is_closing) {
      x_context.workers.sweep();
      x_closing.wait_for(x_mutex, kSweepInterval);
    }
  }

  RouterContext& x_context;
  Mutex x_mutex;
  CondVar x_closing;
  bool x_is_closing TARN_GUARDED_BY(x_mutex) = false;
  std::thread x_sweeper;
};

}  // namespace

std::shared_ptr<grpc::Service> make_worker_service(RouterContext& context) {
  return std::make_shared<WorkerService>(context);
}

}  // namespace tarn::router
