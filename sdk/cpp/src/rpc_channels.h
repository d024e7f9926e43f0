#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include "common/base/clock.h"
#include "common/base/fault_point.h"
#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/rpc/credentials.h"
#include "common/rpc/status.h"
#include "sdk/cpp/src/credentials_dir.h"
#include "sdk/cpp/src/fork_guard.h"

namespace tarn::sdk {

// One attempt at one router, while others remain: a router that is stopped costs no more.
inline constexpr Millis kRouterAttempt{1000};

// The way to the routers: one channel each, of which the one that answered last is asked first.
// Credentials that were replaced on disk are taken up when the old ones are refused.
// Thread-safe. Life: open, calls, stop (ends waits between attempts), destroy after the last call.
// Its thread "tarn-channels" keeps all channels connecting: gRPC moves a handshake on only while
// somebody waits inside of it, and calls that fail fast do not wait.
class RouterChannels {
 public:
  // Returns: ok, invalid_argument (an endpoint that may not be reached without TLS).
  static Result<std::unique_ptr<RouterChannels>> open(std::shared_ptr<CredentialSource> source);
  ~RouterChannels();

  // Calls `method` of a `Service` stub until a router answers or `deadline` has passed: after
  // `unavailable` and `overloaded`, and where a router does not answer in kRouterAttempt, the next
  // is asked. So `request` must bear to be applied twice, or carry a request id.
  template <typename Service, typename Request, typename Response>
  Result<Response> call(grpc::Status (Service::Stub::*method)(grpc::ClientContext*, const Request&,
                                                              Response*),
                        const Request& request, Instant deadline) {
    Response response;
    const auto attempt = [&](size_t router, Instant until) {
      grpc::ClientContext context;
      rpc::set_timeout(context, until_now(until));
      typename Service::Stub stub(channel(router));
      return rpc::from_grpc((stub.*method)(&context, request, &response));
    };
    TARN_RETURN_IF_ERROR(try_routers(attempt, deadline));
    return response;
  }

  std::shared_ptr<grpc::Channel> channel(size_t router) const;
  size_t count() const { return x_count; }
  // Who is asked first: the last that answered, or another that is connected while that one is not;
  // and: not this one again.
  size_t current();
  void avoid(size_t router);

  // Waits, but no longer than until stop(). False when stopped.
  bool pause(Nanos time);
  void stop();

 private:
  using Attempt = std::function<Status(size_t router, Instant until)>;
  using Channels = std::vector<std::shared_ptr<grpc::Channel>>;

  RouterChannels(std::shared_ptr<CredentialSource> source, Channels channels);
  static Result<Channels> open_channels(const Credentials& credentials);
  // After credentials were refused, or nobody answered: are there new ones?
  bool renew_credentials();
  Status try_routers(const Attempt& attempt, Instant deadline);
  void keep_connecting();
  bool is_stopped();
  static Millis until_now(Instant until) {
    const auto left = std::chrono::ceil<Millis>(until - system_clock().now());
    return std::max(left, Millis(1));
  }

  const std::shared_ptr<CredentialSource> x_source;
  const size_t x_count;
  const ForkGuard x_fork;
  std::atomic<size_t> x_current{0};
  mutable Mutex x_mutex;
  Channels x_channels TARN_GUARDED_BY(x_mutex);  // always x_count
  CondVar x_stop_changed;
  bool x_stopped TARN_GUARDED_BY(x_mutex) = false;
  std::thread x_connector;
};

// When a router's answer breaks the protocol.
Status router_nonsense(const char* what);

// What rpc:: takes for the same.
rpc::TlsMaterial tls_material(const Credentials& credentials);

}  // namespace tarn::sdk
