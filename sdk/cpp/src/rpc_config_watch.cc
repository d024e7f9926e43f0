#include "sdk/cpp/src/rpc_config_watch.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/thread_name.h"
#include "common/rpc/convert.h"
#include "proto/tarn/v1/cluster.grpc.pb.h"
#include "sdk/cpp/src/rpc_channels.h"

namespace tarn::sdk {
namespace {

using std::chrono::milliseconds;

constexpr Nanos kWatchPauseFirst = milliseconds(20);
constexpr Nanos kWatchPauseMost = milliseconds(2000);
// A stream that lasted this long was a good one: the next pause is short again.
constexpr Nanos kGoodStream = milliseconds(1000);

}  // namespace

struct ConfigWatch::Stream {
  grpc::ClientContext context;
};

ConfigWatch::ConfigWatch(Options options)
    : x_options(std::move(options)), x_random(std::random_device{}()) {
  TARN_CHECK(x_options.channels != nullptr && x_options.on_config != nullptr);
  TARN_CHECK(x_options.known_epoch != nullptr);
}

ConfigWatch::~ConfigWatch() {
  stop();
}

void ConfigWatch::start() {
  TARN_CHECK(!x_thread.joinable());
  x_thread = std::thread([this] { run(); });
}

void ConfigWatch::stop() {
  {
    const MutexLock lock(x_mutex);
    x_stopped = true;
    if (x_stream != nullptr) x_stream->context.TryCancel();
    x_changed.notify_all();
  }
  if (x_thread.joinable()) x_thread.join();
}

// Clients that lost the same router do not come to the next one all at once.
Nanos ConfigWatch::about(Nanos time) {
  return time * std::uniform_int_distribution<int>(75, 125)(x_random) / 100;
}

void ConfigWatch::run() {
  set_thread_name("tarn-config");
  Nanos rest = kWatchPauseFirst;
  while (true) {
    const Instant begun = system_clock().now();
    const size_t router = x_options.channels->current();
    const bool is_aged = follow(router);
    if (system_clock().now() - begun >= kGoodStream) rest = kWatchPauseFirst;
    if (!is_aged) x_options.channels->avoid(router);
    if (!pause(about(is_aged ? kWatchPauseFirst : rest))) return;
    if (!is_aged) rest = std::min(rest * 2, kWatchPauseMost);
  }
}

bool ConfigWatch::begin(Stream& stream) {
  const MutexLock lock(x_mutex);
  if (x_stopped) return false;
  x_stream = &stream;
  return true;
}

void ConfigWatch::end() {
  const MutexLock lock(x_mutex);
  x_stream = nullptr;
}

bool ConfigWatch::follow(size_t router) {
  Stream stream;
  if (!begin(stream)) return true;
  if (TARN_FAULT_POINT("sdk.watch_config")) {
    end();
    return false;
  }
  const auto most = std::chrono::ceil<Millis>(about(x_options.stream_most));
  rpc::set_timeout(stream.context, most);
  v1::GetConfigRequest request;
  request.set_known_epoch(x_options.known_epoch().value);
  const auto stub = v1::Cluster::NewStub(x_options.channels->channel(router));
  const auto reader = stub->WatchConfig(&stream.context, request);
  v1::ClusterConfig message;
  while (reader->Read(&message)) {
    auto config = rpc::from_proto(message);
    if (config) {
      x_options.on_config(*std::move(config));
    } else {
      log::warn("a router sent a config that is not understood: {}", config.error().to_string());
    }
  }
  end();
  const Status why = rpc::from_grpc(reader->Finish());
  log::debug("the watch of the config ended: {}", why.to_string());
  return why.code() == Code::deadline_exceeded;
}

bool ConfigWatch::pause(Nanos time) {
  const Instant until = system_clock().now() + time;
  const MutexLock lock(x_mutex);
  while (!x_stopped) {
    const Nanos left = until - system_clock().now();
    if (left <= Nanos(0)) return true;
    x_changed.wait_for(x_mutex, left);
  }
  return false;
}

}  // namespace tarn::sdk
