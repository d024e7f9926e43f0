#include "server/rpc/cluster_link.h"

#include <grpcpp/client_context.h>

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/thread_name.h"
#include "common/rpc/convert.h"
#include "common/rpc/status.h"

namespace tarn::server {
namespace {

constexpr Millis kRetryAfter{100};
constexpr Millis kBeatDefault{100};
constexpr Millis kBeatMax{5000};
// A router that keeps to itself an epoch that another one has told is left for the next.
constexpr Nanos kBehindMax = std::chrono::milliseconds(500);

}  // namespace

Result<std::unique_ptr<ClusterLink>> ClusterLink::open(ClusterLinkOptions options) {
  auto link = std::unique_ptr<ClusterLink>(new ClusterLink(std::move(options)));
  for (const std::string& endpoint : link->x_options.routers) {
    TARN_ASSIGN_OR_RETURN(
        auto channel, rpc::open_channel(endpoint, auth::Role::router, link->x_options.material));
    auto router = std::make_unique<Router>();
    router->endpoint = endpoint;
    router->stub = v1::Cluster::NewStub(channel);
    link->x_routers.push_back(std::move(router));
  }
  for (auto& router : link->x_routers) {
    router->thread = std::thread([raw = link.get(), r = router.get()] { raw->beat_to(*r); });
  }
  if (!link->x_routers.empty()) {
    link->x_watcher = std::thread([raw = link.get()] { raw->watch(); });
  }
  return link;
}

void ClusterLink::close() {
  {
    const MutexLock lock(x_mutex);
    x_stopping = true;
    for (grpc::ClientContext* call : x_calls)
      call->TryCancel();
    x_wake.notify_all();
  }
  for (auto& router : x_routers) {
    if (router->thread.joinable()) router->thread.join();
  }
  if (x_watcher.joinable()) x_watcher.join();
}

void ClusterLink::beat_now() {
  const MutexLock lock(x_mutex);
  ++x_beat;
  x_wake.notify_all();
}

void ClusterLink::stop_beating() {
  x_is_silent.store(true);
  beat_now();
}

void ClusterLink::enter(grpc::ClientContext& context) {
  const MutexLock lock(x_mutex);
  x_calls.push_back(&context);
  if (x_stopping) context.TryCancel();
}

void ClusterLink::leave(grpc::ClientContext& context) {
  const MutexLock lock(x_mutex);
  x_calls.erase(std::find(x_calls.begin(), x_calls.end(), &context));
}

// Ends early when a beat is wanted.
bool ClusterLink::wait(Millis span) {
  const Instant end = system_clock().now() + span;
  const MutexLock lock(x_mutex);
  const uint64_t beat = x_beat;
  while (!x_stopping && x_beat == beat) {
    const Nanos left = end - system_clock().now();
    if (left.count() <= 0) break;
    x_wake.wait_for(x_mutex, left);
  }
  return !x_stopping;
}

void ClusterLink::set_alive(int by) {
  const int before = x_alive.fetch_add(by);
  if (before == 0 || before + by == 0) x_options.on_contact(before + by > 0);
}

void ClusterLink::beat_to(Router& router) {
  set_thread_name("tarn-beat");
  do {
    beat_until_lost(router);
  } while (wait(kRetryAfter) && !x_is_silent.load());
}

void ClusterLink::beat_until_lost(Router& router) {
  grpc::ClientContext context;
  enter(context);
  const auto stream = router.stub->Heartbeat(&context);
  bool is_alive = false;
  while (true) {
    v1::HeartbeatRequest beat;
    x_options.fill_beat(beat);
    v1::HeartbeatResponse answer;
    if (!stream->Write(beat) || !stream->Read(&answer)) break;
    if (!std::exchange(is_alive, true)) {
      log::info("router {} hears this server", router.endpoint);
      set_alive(1);
    }
    note_epoch(answer.epoch());
    const Millis interval{answer.interval_ms() == 0 ? kBeatDefault.count() : answer.interval_ms()};
    if (!wait(std::min(interval, kBeatMax)) || x_is_silent.load()) break;
  }
  context.TryCancel();
  const Status why = rpc::from_grpc(stream->Finish());
  leave(context);
  if (!is_alive) return;
  set_alive(-1);
  log::warn("router {} is lost: {}", router.endpoint, why.to_string());
}

// The watch that lies behind what heartbeats say is given up after a while.
void ClusterLink::note_epoch(uint64_t epoch) {
  const Instant now = system_clock().now();
  const MutexLock lock(x_mutex);
  if (epoch <= x_epoch) {
    x_behind_since = kNever;
  } else if (x_behind_since == kNever) {
    x_behind_since = now;
  } else if (now - x_behind_since > kBehindMax && x_watching != nullptr) {
    x_watching->TryCancel();
    x_behind_since = kNever;
  }
}

void ClusterLink::watch() {
  set_thread_name("tarn-config");
  for (size_t i = 0; wait(i == 0 ? Millis(0) : kRetryAfter); ++i)
    watch_one(*x_routers[i % x_routers.size()]);
}

void ClusterLink::watch_one(Router& router) {
  grpc::ClientContext context;
  enter(context);
  v1::GetConfigRequest request;
  {
    const MutexLock lock(x_mutex);
    request.set_known_epoch(x_epoch);
    x_watching = &context;
  }
  const auto stream = router.stub->WatchConfig(&context, request);
  v1::ClusterConfig config;
  while (stream->Read(&config))
    take(config);
  {
    const MutexLock lock(x_mutex);
    x_watching = nullptr;
  }
  context.TryCancel();
  (void)stream->Finish();
  leave(context);
}

void ClusterLink::take(const v1::ClusterConfig& message) {
  auto config = rpc::from_proto(message);
  if (!config) {
    log::error("a router sent a config that is not understood: {}", config.error().to_string());
    return;
  }
  {
    const MutexLock lock(x_mutex);
    if (config->epoch.value <= x_epoch) return;
    x_epoch = config->epoch.value;
    x_behind_since = kNever;
  }
  x_options.on_config(std::move(*config));
}

}  // namespace tarn::server
