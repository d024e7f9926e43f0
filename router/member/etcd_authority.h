#pragma once

#include <memory>
#include <string>

#include "common/base/result.h"
#include "router/member/authority.h"

namespace tarn::member {

struct EtcdOptions {
  std::string endpoints;  // "http://HOST:PORT,HOST:PORT"
  std::string cluster;
  std::string router;
};

// etcd's shortest lease, and so the time until another router can take a dead one's lock over.
inline constexpr int64_t kLockTtlS = 2;
// How often the lock is kept alive, and the config is read even if the watch is silent.
inline constexpr Millis kEtcdRound{500};

// The authority of a cluster: the keys /tarn/CLUSTER/config and /tarn/CLUSTER/controller of a real
// etcd. Two threads: one in the watch, one that keeps lease and lock and reads the config again
// every kEtcdRound, so that a watch that went silent only costs time.
// Returns: the authority, invalid_argument for endpoints that are none.
Result<std::unique_ptr<Authority>> open_etcd_authority(const EtcdOptions& options);

}  // namespace tarn::member
