#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "common/base/clock.h"
#include "common/ring/config.h"
#include "common/rpc/credentials.h"
#include "proto/tarn/v1/sessions.grpc.pb.h"
#include "server/session/slot_primary.h"

namespace tarn::server {

// The calls of a slot's primary to the slot's other members, over gRPC, with one channel per
// member. Thread-safe; each call ends within `timeout`. Must outlive the Peers that it gave.
class SessionPeers {
 public:
  SessionPeers(rpc::TlsMaterial material, Millis timeout)
      : x_material(std::move(material)), x_timeout(timeout) {}

  // Where the members are; members that left are forgotten.
  void set_config(const ring::ClusterConfig& config);

  session::Peers peers();

 private:
  using Stub = v1::SessionStore::Stub;
  struct Peer {
    std::string endpoint;
    std::shared_ptr<Stub> stub;
  };

  Result<std::shared_ptr<Stub>> stub(ServerId id);
  template <typename Request, typename Response, typename Method>
  Result<Response> call(ServerId to, const Request& request, Method method);

  const rpc::TlsMaterial x_material;
  const Millis x_timeout;
  std::mutex x_mutex;
  std::map<ServerId, Peer> x_peers;
};

}  // namespace tarn::server
