#pragma once

#include <memory>
#include <string>
#include <vector>

#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include "common/auth/secrets_dir.h"
#include "common/block/space.h"
#include "common/rpc/convert.h"
#include "common/rpc/credentials.h"
#include "common/rpc/status.h"
#include "proto/tarn/v1/cluster.grpc.pb.h"
#include "proto/tarn/v1/router.grpc.pb.h"
#include "router/router.h"
#include "tests/unit/router/etcd_process.h"

namespace tarn::router {

using auth::Role;
using testing::eventually;
using testing::TemporaryFolder;

// A call's context with a deadline that only a hanging router meets.
struct Call : grpc::ClientContext {
  Call() { rpc::set_timeout(*this, Millis(10'000)); }
};

// A heartbeat stream of one storage server, driven beat by beat.
class BeatingServer {
 public:
  BeatingServer(const std::shared_ptr<grpc::Channel>& channel, const std::string& name)
      : x_stub(v1::Cluster::NewStub(channel)), x_stream(x_stub->Heartbeat(&x_call)) {
    beat.set_name(name);
    beat.set_control_endpoint("127.0.0.1:7000");
    beat.set_incarnation(7);
    beat.set_weight(100);
    beat.set_domain(name);
    beat.set_lanes(1);
  }
  ~BeatingServer() { (void)end(); }

  // False when the router has ended the stream.
  bool tell(v1::HeartbeatResponse* answer) {
    return x_stream->Write(beat) && x_stream->Read(answer);
  }
  // Beats until the config knows the server; its id, or 0.
  uint32_t join() {
    v1::HeartbeatResponse answer;
    (void)eventually([&] { return !tell(&answer) || answer.server_id() != 0; });
    return answer.server_id();
  }
  grpc::Status end() {
    if (x_stream == nullptr) return grpc::Status::OK;
    x_stream->WritesDone();
    const grpc::Status status = x_stream->Finish();
    x_stream.reset();
    return status;
  }

  v1::HeartbeatRequest beat;

 private:
  Call x_call;
  std::unique_ptr<v1::Cluster::Stub> x_stub;
  std::unique_ptr<grpc::ClientReaderWriter<v1::HeartbeatRequest, v1::HeartbeatResponse>> x_stream;
};

// A router in this process, with real certificates and tokens and its config in a folder.
class RouterTest : public ::testing::Test {
 protected:
  // Keys are made once for all tests of a program.
  static const std::string& shared_secrets() {
    static const TemporaryFolder folder;
    static const std::string path = [] {
      auth::SecretsOptions secrets;
      for (const auto& [role, name] :
           std::vector<std::pair<Role, const char*>>{{Role::router, "router-1"},
                                                     {Role::router, "router-2"},
                                                     {Role::server, "s1"},
                                                     {Role::server, "s2"},
                                                     {Role::tenant, "demo"},
                                                     {Role::worker, "demo/w1"}}) {
        secrets.identities.push_back(auth::make_identity(role, name).value());
      }
      const auto made = auth::SecretsDir::create_all(folder.path() + "/secrets", secrets);
      EXPECT_TRUE(made.has_value()) << made.status().to_string();
      return folder.path() + "/secrets";
    }();
    return path;
  }

  void SetUp() override {
    options.authority = "file:" + folder.path() + "/authority";
    start();
  }

  void start() {
    auto opened = Router::open(options);
    ASSERT_TRUE(opened.has_value()) << opened.status().to_string();
    router = std::move(opened).value();
  }

  void restart_with_dead_after(Millis dead_after) {
    options.timing.dead_after = dead_after;
    router.reset();
    start();
  }

  auth::SecretsDir secrets_dir() const {
    return auth::SecretsDir::open(options.secrets_dir).value();
  }

  std::string token(Role role, const std::string& name, int64_t life_ms = 60'000) const {
    const auto identity = auth::make_identity(role, name).value();
    return secrets_dir()
        .token_signer()
        .value()
        .sign(identity, system_clock().unix_ms() + life_ms)
        .value();
  }

  std::shared_ptr<grpc::Channel> channel(const rpc::TlsMaterial& tls) const {
    return rpc::open_channel("127.0.0.1:" + std::to_string(router->port()), Role::router, tls)
        .value();
  }
  rpc::TlsMaterial with_token(Role role, const std::string& name) const {
    rpc::TlsMaterial tls;
    tls.ca_pem = secrets_dir().ca_pem().value();
    tls.token = token(role, name);
    tls.insecure_loopback = options.insecure_loopback;
    return tls;
  }
  // By certificate where there is one, else by token.
  std::shared_ptr<grpc::Channel> as(Role role, const std::string& name) const {
    rpc::TlsMaterial tls = with_token(role, name);
    const auto own = secrets_dir().certificate(auth::make_identity(role, name).value());
    if (own) {
      tls.certificate_pem = own->certificate_pem;
      tls.key_pem = own->key_pem;
      tls.token.clear();
    }
    return channel(tls);
  }

  v1::ClusterConfig config_as(Role role, const std::string& name) const {
    v1::ClusterConfig config;
    const auto stub = v1::Cluster::NewStub(as(role, name));
    (void)eventually([&] {
      Call call;
      return stub->GetConfig(&call, {}, &config).ok();
    });
    return config;
  }

  v1::GetStatusResponse status_as(Role role, const std::string& name) const {
    Call call;
    v1::GetStatusResponse response;
    const auto stub = v1::Admin::NewStub(as(role, name));
    const auto status = stub->GetStatus(&call, {}, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  static std::string space_bytes() {
    block::SpaceSpec spec;
    spec.model = "llama";
    return rpc::to_bytes(block::space_id(spec));
  }

  TemporaryFolder folder;
  RouterOptions options = [this] {
    RouterOptions initial;
    initial.state_dir = folder.path() + "/state";
    initial.secrets_dir = shared_secrets();
    initial.timing.dead_after = Millis(60'000);  // none dies because this machine is slow
    return initial;
  }();
  std::unique_ptr<Router> router;
};

// Code of ours that a call ended with.
inline Code code_of(const grpc::Status& status) {
  return rpc::from_grpc(status).code();
}

}  // namespace tarn::router
