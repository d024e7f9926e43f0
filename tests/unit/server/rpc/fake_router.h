#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include <grpcpp/server.h>

#include "common/auth/secrets_dir.h"
#include "common/ring/config.h"
#include "common/rpc/credentials.h"
#include "proto/tarn/v1/cluster.grpc.pb.h"

namespace tarn::server {

// Says to storage servers what a router says: who beats is a member, in a new epoch.
class FakeRouter final : public v1::Cluster::Service {
 public:
  FakeRouter(const std::string& secrets_dir, const std::string& name);
  ~FakeRouter() override;

  std::string endpoint() const;
  ring::ClusterConfig config();
  // Makes a new epoch after `edit`.
  void change(const std::function<void(ring::ClusterConfig&)>& edit);
  bool wait_for_members(size_t count);
  bool is_draining(const std::string& name);
  // False when it goes on beating for ten seconds.
  bool wait_for_silence(const std::string& name);
  void stop();

  grpc::Status GetConfig(grpc::ServerContext*, const v1::GetConfigRequest*,
                         v1::ClusterConfig* response) override;
  grpc::Status WatchConfig(grpc::ServerContext* context, const v1::GetConfigRequest* request,
                           grpc::ServerWriter<v1::ClusterConfig>* writer) override;
  grpc::Status Heartbeat(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<v1::HeartbeatResponse, v1::HeartbeatRequest>* stream) override;

 private:
  void note(const v1::HeartbeatRequest& beat);

  std::mutex x_mutex;
  std::condition_variable x_changed;
  ring::ClusterConfig x_config;
  std::map<std::string, bool> x_draining;
  std::map<std::string, bool> x_silent;  // its last stream has ended
  bool x_stopping = false;
  int x_port = 0;
  std::unique_ptr<grpc::Server> x_server;
};

}  // namespace tarn::server
