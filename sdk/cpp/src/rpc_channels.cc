#include "sdk/cpp/src/rpc_channels.h"

#include "common/base/check.h"
#include "common/base/thread_name.h"

namespace tarn::sdk {
namespace {

constexpr Millis kRetryPauseFirst{5};
constexpr Millis kRetryPauseMost{100};
// How long the connector waits at one channel before it looks at the next; and how long it rests
// when all are connected.
constexpr Millis kConnectorTurn{20};
constexpr Millis kConnectorRest{100};

bool is_worth_another(Code code) {
  return code == Code::unavailable || code == Code::overloaded || code == Code::deadline_exceeded ||
         code == Code::stale_epoch;
}

}  // namespace

Status router_nonsense(const char* what) {
  return internal_error(std::string("a router answered nonsense: ") + what);
}

rpc::TlsMaterial tls_material(const Credentials& credentials) {
  rpc::TlsMaterial material;
  material.ca_pem = credentials.ca_pem;
  material.certificate_pem = credentials.certificate_pem;
  material.key_pem = credentials.key_pem;
  material.token = credentials.token;
  material.insecure_loopback = credentials.is_plain;
  return material;
}

Result<RouterChannels::Channels> RouterChannels::open_channels(const Credentials& credentials) {
  Channels channels;
  for (const std::string& endpoint : credentials.endpoints) {
    TARN_ASSIGN_OR_RETURN(
        auto channel, rpc::open_channel(endpoint, auth::Role::router, tls_material(credentials)));
    channels.push_back(std::move(channel));
  }
  return channels;
}

Result<std::unique_ptr<RouterChannels>> RouterChannels::open(
    std::shared_ptr<CredentialSource> source) {
  TARN_ASSIGN_OR_RETURN(Channels channels, open_channels(*source->current()));
  if (channels.empty()) return invalid_argument("endpoint: no router is named");
  return std::unique_ptr<RouterChannels>(
      new RouterChannels(std::move(source), std::move(channels)));
}

RouterChannels::RouterChannels(std::shared_ptr<CredentialSource> source, Channels channels)
    : x_source(std::move(source)),
      x_count(channels.size()),
      x_channels(std::move(channels)),
      x_connector([this] { keep_connecting(); }) {}

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
  for (size_t turn = 0, connected = 0; !is_stopped(); ++turn) {
    const auto one = channel(turn % x_count);
    const grpc_connectivity_state state = one->GetState(true);
    connected = state == GRPC_CHANNEL_READY ? connected + 1 : 0;
    if (connected == 0) {
      const auto until = std::chrono::system_clock::now() + kConnectorTurn;
      (void)one->WaitForStateChange(state, until);
    } else if (connected % x_count == 0) {
      // A stop ends this wait at once, and none of gRPC's.
      (void)pause(kConnectorRest);
    }
  }
}

std::shared_ptr<grpc::Channel> RouterChannels::channel(size_t router) const {
  const MutexLock lock(x_mutex);
  TARN_CHECK(router < x_channels.size());
  return x_channels[router];
}

// Nobody waits for a router that is gone while another is there.
size_t RouterChannels::current() {
  const size_t first = x_current.load(std::memory_order_relaxed);
  for (size_t i = 0; i < x_count; ++i) {
    const size_t router = (first + i) % x_count;
    if (channel(router)->GetState(false) == GRPC_CHANNEL_READY) return router;
  }
  return first;
}

void RouterChannels::avoid(size_t router) {
  TARN_DCHECK(router < x_count);
  x_current.store((router + 1) % x_count, std::memory_order_relaxed);
}

bool RouterChannels::renew_credentials() {
  if (!x_source->refresh()) return false;
  auto channels = open_channels(*x_source->current());
  if (!channels) return false;
  const MutexLock lock(x_mutex);
  TARN_CHECK(channels->size() == x_count);
  x_channels = *std::move(channels);
  return true;
}

Status RouterChannels::try_routers(const Attempt& attempt, Instant deadline) {
  if (x_fork.is_child()) return unsupported(kForkedText);
  Status last = deadline_exceeded("no router was asked before the deadline");
  Nanos rest = kRetryPauseFirst;
  for (size_t tries = 1;; ++tries) {
    const Instant now = system_clock().now();
    if (now >= deadline) break;
    const size_t router = current();
    const bool is_alone = x_count == 1;
    const Instant until = is_alone ? deadline : std::min(deadline, now + kRouterAttempt);
    Status status = TARN_FAULT_POINT("sdk.router_call") ? unavailable("the router is unreachable")
                                                        : attempt(router, until);
    const bool is_refused = status.code() == Code::unauthenticated;
    if (is_refused && renew_credentials()) continue;
    if (!is_worth_another(status.code())) return status;
    avoid(router);
    last = std::move(status);
    if (tries % x_count != 0) continue;
    // A certificate that has ended breaks the handshake: it looks as if nobody were there.
    (void)renew_credentials();
    if (!pause(std::min(rest, deadline - system_clock().now()))) break;
    rest = std::min<Nanos>(rest * 2, kRetryPauseMost);
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
