#pragma once

#include <memory>

#include "common/rpc/credentials.h"
#include "router/session/session_front.h"

namespace grpc {
class Service;
}

namespace tarn::router {

struct SessionsOptions {
  session::SessionFront* front = nullptr;
  const rpc::Authenticator* authenticator = nullptr;
  const Clock* clock = &system_clock();
};

// How long a session call may take whose caller set no deadline.
inline constexpr Millis kSessionTimeoutDefault{10'000};
// A later deadline counts as this one: a call keeps one of the router's threads while it waits.
inline constexpr Nanos kSessionTimeoutMax = std::chrono::seconds(60);
// Of the trailing metadata of a conflict: the version that stands.
inline constexpr char kVersionMetadata[] = "tarn-version";

// tarn.v1.Sessions for tenants and their workers, each in its own tenant. Synchronous: a call waits
// for a storage server. Thread-safe; the options' parts outlive it.
std::unique_ptr<grpc::Service> make_sessions_service(SessionsOptions options);

}  // namespace tarn::router
