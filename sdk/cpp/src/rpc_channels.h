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

namespace tarn::sdk {

// One attempt at one router, while others remain: a router that is stopped costs no more.
inline constexpr Millis kRouterAttempt{1000};

// The way to the routers: one channel each, of which the one that answered last is asked first.
// Thread-safe. Life: open, calls, stop (ends waits between attempts), destroy after the last call.
// Its thread "tarn-channels" keeps all channels connecting: gRPC moves a handshake on only while
// somebody waits inside of it, and calls that fail fast do not wait.
class RouterChannels {
 public:
  // Returns: ok, invalid_argument (an endpoint that may not be reached without TLS).
  static Result<std::unique_ptr<RouterChannels>> open(const Credentials& credentials);
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
      typename Service::Stub stub(x_channels[router]);
      return rpc::from_grpc((stub.*method)(&context, request, &response));
    };
    TARN_RETURN_IF_ERROR(try_routers(attempt, deadline));
    return response;
  }

  std::shared_ptr<grpc::Channel> channel(size_t router) const { return x_channels[router]; }
  size_t count() const { return x_channels.size(); }
  // Who is asked first; and: not this one again.
  size_t current() const { return x_current.load(std::memory_order_relaxed); }
  void avoid(size_t router);

  // Waits, but no longer than until stop(). False when stopped.
  bool pause(Nanos time);
  void stop();

 private:
  using Attempt = std::function<Status(size_t router, Instant until)>;

  explicit RouterChannels(std::vector<std::shared_ptr<grpc::Channel>> channels);
  Status try_routers(const Attempt& attempt, Instant deadline);
  void keep_connecting();
  bool is_stopped();
  static Millis until_now(Instant until) {
    const auto left = std::chrono::ceil<Millis>(until - system_clock().now());
    return std::max(left, Millis(1));
  }

  const std::vector<std::shared_ptr<grpc::Channel>> x_channels;
  std::atomic<size_t> x_current{0};
  Mutex x_mutex;
  CondVar x_stop_changed;
  bool x_stopped TARN_GUARDED_BY(x_mutex) = false;
  std::thread x_connector;
};

// What rpc:: takes for the same.
rpc::TlsMaterial tls_material(const Credentials& credentials);

}  // namespace tarn::sdk
