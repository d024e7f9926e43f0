#pragma once

#include "common/base/clock.h"
#include "common/rpc/store_calls.h"
#include "server/session/slot_primary.h"

namespace tarn::server {

// The calls of a slot's primary to the slot's other members. Each ends by its deadline and within
// `timeout`. Thread-safe. Must outlive the Peers that it gave.
class SessionPeers {
 public:
  SessionPeers(rpc::TlsMaterial material, Millis timeout);

  // Where the members are, and which of them answer.
  void set_config(const ring::ClusterConfig& config) { x_members.set_config(config); }

  session::Peers peers();

 private:
  template <typename Request, typename Response>
  session::Peers::Call<Request, Response> call_of(
      rpc::StoreCalls::Method<Request, Response> method);

  const Millis x_timeout;
  rpc::StoreCalls x_members;
};

}  // namespace tarn::server
