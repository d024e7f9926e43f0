#include "sdk/cpp/src/rpc_channels.h"

#include "common/base/check.h"
#include "common/base/thread_name.h"

namespace tarn::sdk {
namespace {

constexpr Millis kPauseFirst{5};
constexpr Millis kPauseMost{100};
// How long the connector waits at one channel before it looks at the next.
constexpr Millis kConnectorTurn{100};

bool is_worth_another(Code code) {
  return code == Code::unavailable || code == Code::overloaded || code == Code::deadline_exceeded ||
         code == Code::stale_epoch;
}

}  // namespace

rpc::TlsMaterial tls_material(const Credentials& credentials) {
  rpc::TlsMaterial material;
  material.ca_pem = credentials.ca_pem;
  material.certificate_pem = credentials.certificate_pem;
  material.key_pem = credentials.key_pem;
  material.token = credentials.token;
  material.insecure_loopback = credentials.is_plain;
  return material;
}

Result<std::unique_ptr<RouterChannels>> RouterChannels::open(const Credentials& credentials) {
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (const std::string& endpoint : credentials.endpoints) {
    TARN_ASSIGN_OR_RETURN(
        auto channel, rpc::open_channel(endpoint, auth::Role::router, tls_material(credentials)));
    channels.push_back(std::move(channel));
  }
  if (channels.empty()) return invalid_argument("endpoint: no router is named");
  return std::unique_ptr<RouterChannels>(new RouterChannels(std::move(channels)));
}

RouterChannels::RouterChannels(std::vector<std::shared_ptr<grpc::Channel>> channels)
    : x_channels(std::move(channels)), x_connector([this] { keep_connecting(); }) {}

RouterChannels::~RouterChannels() {
  stop();
  x_connector.join();
}

bool RouterChannels::is_stopped() {
  const MutexLock lock(x_mutex);
  return x_stopped;
}

void RouterChannels::keep_connecting() {
  set_thread_name("tarn-channels");
  for (size_t turn = 0; !is_stopped(); ++turn) {
    grpc::Channel& channel = *x_channels[turn % x_channels.size()];
    const auto until = std::chrono::system_clock::now() + kConnectorTurn;
    (void)channel.WaitForStateChange(channel.GetState(true), until);
  }
}

void RouterChannels::avoid(size_t router) {
  TARN_DCHECK(router < x_channels.size());
  // Only the first of several callers that saw it fail moves on.
  x_current.compare_exchange_strong(router, (router + 1) % x_channels.size());
}

Status RouterChannels::try_routers(const Attempt& attempt, Instant deadline) {
  Status last = deadline_exceeded("no router was asked before the deadline");
  Nanos rest = kPauseFirst;
  for (size_t tries = 1;; ++tries) {
    const Instant now = system_clock().now();
    if (now >= deadline) break;
    const size_t router = current();
    const bool is_alone = x_channels.size() == 1;
    const Instant until = is_alone ? deadline : std::min(deadline, now + kRouterAttempt);
    Status status = TARN_FAULT_POINT("sdk.router_call") ? unavailable("the router is unreachable")
                                                        : attempt(router, until);
    if (!is_worth_another(status.code())) return status;
    avoid(router);
    last = std::move(status);
    if (tries % x_channels.size() != 0) continue;
    if (!pause(std::min(rest, deadline - system_clock().now()))) break;
    rest = std::min<Nanos>(rest * 2, kPauseMost);
  }
  return last;
}

bool RouterChannels::pause(Nanos time) {
  const Instant until = system_clock().now() + time;
  const MutexLock lock(x_mutex);
  while (!x_stopped) {
    const Nanos left = until - system_clock().now();
    if (left <= Nanos(0)) return true;
    x_stop_changed.wait_for(x_mutex, left);
  }
  return false;
}

void RouterChannels::stop() {
  const MutexLock lock(x_mutex);
  x_stopped = true;
  x_stop_changed.notify_all();
}

}  // namespace tarn::sdk
