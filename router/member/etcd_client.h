#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include "common/base/result.h"
#include "proto/etcd/v3/rpc.grpc.pb.h"

namespace tarn::member {

// A value that etcd holds; revision 0 means that there is none.
struct EtcdValue {
  std::string value;
  int64_t revision = 0;  // of its last change
  int64_t store_revision = 0;
};

struct EtcdPut {
  std::string key;
  std::string value;
  int64_t lease = 0;
  int64_t expected_revision = 0;  // of the key's last change; 0: it must not be there
};

// The few calls of etcd's API that we make. Thread-safe; each call blocks for at most
// kAuthorityTimeout and returns, besides what it says, unavailable. Connects and reconnects by
// itself.
class EtcdClient {
 public:
  explicit EtcdClient(const std::shared_ptr<grpc::Channel>& channel);

  Result<EtcdValue> get(const std::string& key);
  // Returns: the key's new revision, conflict.
  Result<int64_t> put_if(const EtcdPut& put);
  Result<int64_t> grant_lease(int64_t ttl_s);
  // Returns: ok, not_found when the lease has ended.
  Status keep_alive(int64_t lease);
  void revoke(int64_t lease);

  // Calls `changed` after each change of the key in revision `from` or later, until the watch
  // breaks or `context` is cancelled. Blocks all that while. Returns: why it ended.
  Status watch(grpc::ClientContext& context, const std::string& key, int64_t from,
               const std::function<void()>& changed);

 private:
  std::unique_ptr<etcdserverpb::KV::Stub> x_kv;
  std::unique_ptr<etcdserverpb::Lease::Stub> x_lease;
  std::unique_ptr<etcdserverpb::Watch::Stub> x_watch;
};

}  // namespace tarn::member
