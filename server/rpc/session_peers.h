#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/ring/config.h"
#include "common/rpc/credentials.h"
#include "proto/tarn/v1/sessions.grpc.pb.h"
#include "server/session/slot_primary.h"

namespace tarn::server {

// The calls of a slot's primary to the slot's other members, over gRPC, with one channel per
// member. Each call ends by its deadline and within `timeout`, and at once when the config says
// that the member is neither up nor draining: a stopped process would keep it. Thread-safe. Must
// outlive the Peers that it gave.
class SessionPeers {
 public:
  SessionPeers(rpc::TlsMaterial material, Millis timeout)
      : x_material(std::move(material)), x_timeout(timeout) {}

  // Where the members are, and which of them answer.
  void set_config(const ring::ClusterConfig& config);

  session::Peers peers();

 private:
  using Stub = v1::SessionStore::Stub;
  struct Peer {
    std::string endpoint;  // empty: it does not answer
    std::shared_ptr<Stub> stub;
    std::set<grpc::ClientContext*> running;
  };

  Result<std::shared_ptr<Stub>> begin(ServerId id, grpc::ClientContext& context);
  void end(ServerId id, grpc::ClientContext& context);
  template <typename Request, typename Response, typename Method>
  session::Peers::Call<Request, Response> call_of(Method method);
  template <typename Request, typename Response, typename Method>
  Result<Response> call(ServerId to, const Request& request, Instant deadline, Method method);

  const rpc::TlsMaterial x_material;
  const Millis x_timeout;
  Mutex x_mutex;
  std::map<ServerId, Peer> x_peers TARN_GUARDED_BY(x_mutex);
};

}  // namespace tarn::server
