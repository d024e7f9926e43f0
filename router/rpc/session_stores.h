#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "common/base/mutex.h"
#include "common/rpc/credentials.h"
#include "proto/tarn/v1/sessions.grpc.pb.h"
#include "router/cluster/config_view.h"
#include "router/session/session_front.h"

namespace tarn::router {

// The router's calls to the SessionStore of storage servers, over gRPC with one channel for each.
// A call to a server ends at once, cancelled, when the config says that it is no longer up or
// draining: a stopped process would keep it until its deadline. Thread-safe. Must outlive the
// StoreCalls that it gave; the config view outlives it.
class SessionStores {
 public:
  SessionStores(cluster::ConfigView& config, rpc::TlsMaterial tls,
                const Clock& clock = system_clock());
  ~SessionStores();
  SessionStores(const SessionStores&) = delete;
  SessionStores& operator=(const SessionStores&) = delete;

  session::StoreCalls calls();

 private:
  using Stub = v1::SessionStore::Stub;
  struct Store {
    std::string endpoint;
    std::shared_ptr<Stub> stub;
    std::set<grpc::ClientContext*> running;
  };

  void on_config(const ring::ClusterConfig& config);
  Result<std::shared_ptr<Stub>> begin(ServerId server, grpc::ClientContext& context);
  void end(ServerId server, grpc::ClientContext& context);
  template <typename Request, typename Response, typename Method>
  Result<Response> call(ServerId to, const Request& request, Instant deadline, Method method);

  const rpc::TlsMaterial x_tls;
  const Clock& x_clock;
  Mutex x_mutex;
  std::map<ServerId, Store> x_stores TARN_GUARDED_BY(x_mutex);
  cluster::ConfigView::Subscription x_subscription;
};

}  // namespace tarn::router
