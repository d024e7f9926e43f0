#include "router/member/etcd_authority.h"

#include <unistd.h>

#include <chrono>
#include <string_view>
#include <thread>
#include <utility>

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include "common/base/check.h"
#include "common/base/fault_point.h"
#include "common/base/log.h"
#include "common/base/mutex.h"
#include "common/base/thread_name.h"
#include "common/rpc/credentials.h"
#include "router/member/etcd_client.h"
#include "router/member/latest_state.h"
#include "router/member/state_text.h"

namespace tarn::member {
namespace {

constexpr Millis kRetryPause{100};
constexpr std::string_view kScheme = "http://";

// Several addresses are tried in turn; gRPC's name for them wants numbers.
std::string target_of(const std::string& hosts) {
  return hosts.find(',') == std::string::npos ? hosts : "ipv4:" + hosts;
}

std::shared_ptr<grpc::Channel> open_channel(const std::string& hosts) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(rpc::kControlMessageBytesMax);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  // Despite its name also the time that one attempt to connect is given.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 2000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 250);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // Two authorities of one process are two routers, which fail apart.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(target_of(hosts), grpc::InsecureChannelCredentials(), arguments);
}

// Tells this life of a router from an earlier one of the same name: "NAME PID INSTANT".
std::string holder_text(const std::string& router) {
  return router + " " + std::to_string(::getpid()) + " " + std::to_string(system_clock().now().ns);
}

// The lease and the key that make this router the controller. One-thread, but for is_held.
class EtcdLock {
 public:
  EtcdLock(EtcdClient& client, std::string key, const std::string& router)
      : x_client(client), x_key(std::move(key)), x_router(router), x_text(holder_text(router)) {}

  // Its end is measured from before etcd was asked, so it is never believed longer than etcd does.
  bool is_held() const { return system_clock().now() < Instant{x_until_ns.load()}; }

  // Keeps the lock or tries to get it. Returns: ok when etcd answered, unavailable.
  Status tend() {
    const Instant asked = system_clock().now();
    TARN_RETURN_IF_ERROR(tend_lease());
    TARN_ASSIGN_OR_RETURN(const EtcdValue holder, x_client.get(x_key));
    const bool is_own = holder.value == x_text;
    // Once only: of two routers of one name, the later one wins and keeps it.
    const bool was_own = !std::exchange(x_has_tried, true) && is_of_same_name(holder.value);
    if (!is_own && holder.revision != 0 && !was_own) {
      x_until_ns.store(0);
      return Status::ok();
    }
    if (!is_own) {
      const auto put = x_client.put_if({x_key, x_text, x_lease, holder.revision});
      if (!put) return put.error().code() == Code::conflict ? Status::ok() : put.error();
    }
    x_until_ns.store((asked + std::chrono::seconds(kLockTtlS)).ns);
    return Status::ok();
  }

  void release() {
    x_until_ns.store(0);
    if (x_lease != 0) x_client.revoke(x_lease);
  }

 private:
  bool is_of_same_name(const std::string& text) const { return text.starts_with(x_router + " "); }

  Status tend_lease() {
    if (x_lease != 0) {
      const Status kept = x_client.keep_alive(x_lease);
      if (kept.code() != Code::not_found) return kept;
    }
    TARN_ASSIGN_OR_RETURN(x_lease, x_client.grant_lease(kLockTtlS));
    TARN_CHECK(x_lease != 0);
    return Status::ok();
  }

  EtcdClient& x_client;
  const std::string x_key;
  const std::string x_router;
  const std::string x_text;
  int64_t x_lease = 0;
  bool x_has_tried = false;
  std::atomic<int64_t> x_until_ns = 0;
};

// See the header.
class EtcdAuthority : public Authority {
 public:
  EtcdAuthority(const EtcdOptions& options, const std::string& hosts)
      : x_hosts(hosts),
        x_config_key("/tarn/" + options.cluster + "/config"),
        x_client(open_channel(hosts)),
        x_lock(x_client, "/tarn/" + options.cluster + "/controller", options.router) {}

  ~EtcdAuthority() override { EtcdAuthority::stop(); }

  void start(std::function<void()> changed) override {
    TARN_CHECK(!x_watcher.joinable());
    x_latest.start(std::move(changed));
    x_watcher = std::thread([this] { follow(); });
    x_tender = std::thread([this] { tend(); });
  }

  void stop() override {
    {
      MutexLock lock(x_mutex);
      if (std::exchange(x_is_closing, true)) return;
      if (x_watch_context != nullptr) x_watch_context->TryCancel();
      x_closing.notify_all();
    }
    if (x_watcher.joinable()) x_watcher.join();
    if (x_tender.joinable()) x_tender.join();
    if (x_latest.reachable()) x_lock.release();
  }

  Result<StoredState> load() override {
    TARN_ASSIGN_OR_RETURN(const Read read, read_config());
    return read.stored;
  }

  Result<uint64_t> compare_and_swap(const ClusterState& state, uint64_t expected) override {
    TARN_RETURN_IF_ERROR(ring::validate(state.config));
    if (TARN_FAULT_POINT("authority.swap_fails")) return unavailable("the swap failed");
    const auto put =
        x_client.put_if({x_config_key, encode_state(state), 0, static_cast<int64_t>(expected)});
    x_latest.set_reachable(put.has_value() || put.error().code() == Code::conflict);
    if (!put) return put.error();
    const auto revision = static_cast<uint64_t>(put.value());
    x_latest.offer({state, revision});
    return revision;
  }

  std::shared_ptr<const StoredState> latest() const override { return x_latest.get(); }
  bool holds_lock() const override { return x_lock.is_held(); }
  bool reachable() const override { return x_latest.reachable(); }
  std::string describe() const override { return "etcd " + std::string(kScheme) + x_hosts; }

 private:
  struct Read {
    StoredState stored;
    int64_t store_revision = 0;
  };

  Result<Read> read_config() {
    const auto value = x_client.get(x_config_key);
    x_latest.set_reachable(value.has_value());
    if (!value) return value.error();
    Read read;
    read.store_revision = value->store_revision;
    read.stored.revision = static_cast<uint64_t>(value->revision);
    if (value->revision != 0) {
      TARN_ASSIGN_OR_RETURN(read.stored.state, decode_state(value->value));
    }
    x_latest.offer(read.stored);
    return read;
  }

  // Sleeps, unless the authority closes. Returns: whether to go on.
  bool pause(Millis span) {
    MutexLock lock(x_mutex);
    if (!x_is_closing) x_closing.wait_for(x_mutex, span);
    return !x_is_closing;
  }

  void follow() {
    set_thread_name("etcd watch");
    do {
      const auto read = read_config();
      if (read) watch(read->store_revision + 1);
    } while (pause(kRetryPause));
  }

  void watch(int64_t from) {
    grpc::ClientContext context;
    {
      MutexLock lock(x_mutex);
      if (x_is_closing) return;
      x_watch_context = &context;
    }
    const Status ended =
        x_client.watch(context, x_config_key, from, [this] { (void)read_config(); });
    MutexLock lock(x_mutex);
    x_watch_context = nullptr;
    if (!x_is_closing) log::warn("{}", ended.to_string());
  }

  void tend() {
    set_thread_name("etcd lock");
    bool was_held = false;
    std::string problem;
    do {
      const Status tended = x_lock.tend();
      x_latest.set_reachable(tended.is_ok());
      note(tended, problem);
      if (tended.is_ok()) note(read_config(), problem);
      if (std::exchange(was_held, x_lock.is_held()) != was_held) x_latest.wake();
    } while (pause(x_latest.reachable() ? kEtcdRound : kRetryPause));
  }

  template <typename Outcome>
  static void note(const Outcome& outcome, std::string& problem) {
    const std::string now = text_of(outcome);
    if (std::exchange(problem, now) != now && !now.empty()) log::warn("{}", now);
  }
  static std::string text_of(const Status& status) {
    return status.is_ok() ? std::string() : status.to_string();
  }
  static std::string text_of(const Result<Read>& read) { return text_of(read.status()); }

  const std::string x_hosts;
  const std::string x_config_key;
  EtcdClient x_client;
  EtcdLock x_lock;
  LatestState x_latest;

  Mutex x_mutex;
  CondVar x_closing;
  bool x_is_closing TARN_GUARDED_BY(x_mutex) = false;
  grpc::ClientContext* x_watch_context TARN_GUARDED_BY(x_mutex) = nullptr;
  std::thread x_watcher;
  std::thread x_tender;
};

}  // namespace

Result<std::unique_ptr<Authority>> open_etcd_authority(const EtcdOptions& options) {
  if (!options.endpoints.starts_with(kScheme)) {
    return invalid_argument("authority: " + options.endpoints +
                            " does not begin with http:// (put a TLS proxy in front of an etcd "
                            "that is not on this machine)");
  }
  const std::string hosts = options.endpoints.substr(kScheme.size());
  if (hosts.find(':') == std::string::npos || hosts.find('/') != std::string::npos) {
    return invalid_argument("authority: " + options.endpoints + " is not http://HOST:PORT");
  }
  return std::unique_ptr<Authority>(std::make_unique<EtcdAuthority>(options, hosts));
}

}  // namespace tarn::member
