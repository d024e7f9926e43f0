#pragma once

#include "common/rpc/store_calls.h"
#include "router/cluster/config_view.h"
#include "router/session/session_front.h"

namespace tarn::router {

// The calls of the sessions' front to the storage servers that the config view shows. Thread-safe.
// Must outlive the StoreCalls that it gave; the config view outlives it.
class SessionStores {
 public:
  SessionStores(cluster::ConfigView& config, rpc::TlsMaterial tls,
                const Clock& clock = system_clock());
  ~SessionStores();
  SessionStores(const SessionStores&) = delete;
  SessionStores& operator=(const SessionStores&) = delete;

  session::StoreCalls calls();

 private:
  template <typename Request, typename Response>
  Result<Response> call(ServerId to, const Request& request, Instant deadline,
                        rpc::StoreCalls::Method<Request, Response> method);

  const Clock& x_clock;
  rpc::StoreCalls x_stores;
  cluster::ConfigView::Subscription x_subscription;
};

}  // namespace tarn::router
