#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "common/auth/secrets_dir.h"
#include "common/rpc/credentials.h"
#include "common/rpc/status.h"
#include "proto/tarn/v1/storage.grpc.pb.h"

namespace tarn::rpc {

// Tells every caller who it is.
class WhoAmI final : public v1::StorageControl::Service {
 public:
  explicit WhoAmI(const Authenticator& authenticator) : x_authenticator(authenticator) {}

  grpc::Status GetStats(grpc::ServerContext* context, const v1::GetStatsRequest*,
                        v1::GetStatsResponse* response) override {
    const auto caller = x_authenticator.caller(*context);
    if (!caller.has_value()) return to_grpc(caller.error());
    response->set_name(auth::identity_uri(*caller));
    return grpc::Status::OK;
  }

 private:
  const Authenticator& x_authenticator;
};

// A gRPC server that answers with the identity it was shown, and the secrets of a small cluster.
class Credentials : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    s_folder = testing::TempDir() + "/rpc_secrets_" + std::to_string(::getpid());
    auth::SecretsOptions options;
    options.identities = {identity(auth::Role::server, "s1"), identity(auth::Role::router, "r1")};
    const auto secrets = auth::SecretsDir::create_all(s_folder, options);
    ASSERT_TRUE(secrets.has_value()) << secrets.error().to_string();
    s_secrets = new auth::SecretsDir(*secrets);
  }
  static void TearDownTestSuite() {
    delete s_secrets;
    std::filesystem::remove_all(s_folder);
  }

  static auth::Identity identity(auth::Role role, const std::string& name) {
    return auth::make_identity(role, name).value();
  }
  static TlsMaterial material_of(auth::Role role, const std::string& name) {
    TlsMaterial material;
    material.ca_pem = s_secrets->ca_pem().value();
    const auto key = s_secrets->certificate(identity(role, name)).value();
    material.certificate_pem = key.certificate_pem;
    material.key_pem = key.key_pem;
    return material;
  }
  static TlsMaterial token_of(const std::string& tenant, int64_t life_ms) {
    TlsMaterial material;
    material.ca_pem = s_secrets->ca_pem().value();
    const auto signer = s_secrets->token_signer().value();
    const int64_t end = system_clock().unix_ms() + life_ms;
    material.token = signer.sign(identity(auth::Role::tenant, tenant), end).value();
    return material;
  }

  void start(const TlsMaterial& material) {
    auto verifier =
        std::make_shared<const auth::TokenVerifier>(s_secrets->token_verifier().value());
    x_authenticator.emplace(verifier, system_clock(), material.insecure_loopback);
    x_service.emplace(*x_authenticator);
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", server_credentials(material).value(), &x_port);
    builder.RegisterService(&*x_service);
    x_server = builder.BuildAndStart();
    ASSERT_NE(x_server, nullptr);
  }
  void TearDown() override {
    if (x_server) x_server->Shutdown(std::chrono::system_clock::now());
  }

  // The caller's URI as the server saw it.
  Result<std::string> ask(auth::Role role, const TlsMaterial& material) {
    TARN_ASSIGN_OR_RETURN(const auto channel,
                          open_channel("127.0.0.1:" + std::to_string(x_port), role, material));
    const auto stub = v1::StorageControl::NewStub(channel);
    grpc::ClientContext context;
    set_timeout(context, Millis(2000));
    v1::GetStatsResponse response;
    TARN_RETURN_IF_ERROR(from_grpc(stub->GetStats(&context, {}, &response)));
    return response.name();
  }

  static inline std::string s_folder;
  static inline auth::SecretsDir* s_secrets = nullptr;
  std::optional<Authenticator> x_authenticator;
  std::optional<WhoAmI> x_service;
  std::unique_ptr<grpc::Server> x_server;
  int x_port = 0;
};

}  // namespace tarn::rpc
