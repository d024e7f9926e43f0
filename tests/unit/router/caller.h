#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "common/auth/token.h"
#include "common/rpc/credentials.h"

namespace tarn::router {

// Issues tokens for whatever identity a test needs, and knows how to verify them: over plain
// loopback.
class Callers {
 public:
  Callers() {
    const std::string keys[] = {x_keys.public_pem};
    auto verifier = auth::TokenVerifier::open(keys);
    x_authenticator = std::make_unique<rpc::Authenticator>(
        std::make_shared<const auth::TokenVerifier>(std::move(*verifier)), system_clock(), true);
  }

  const rpc::Authenticator& authenticator() const { return *x_authenticator; }

  rpc::TlsMaterial material(auth::Role role, const std::string& name) const {
    rpc::TlsMaterial material;
    material.insecure_loopback = true;
    const auto signer = auth::TokenSigner::open(x_keys.private_pem);
    const auto identity = auth::make_identity(role, name);
    EXPECT_TRUE(identity.has_value()) << name;
    material.token = *signer->sign(*identity, system_clock().unix_ms() + 3'600'000);
    return material;
  }
  std::shared_ptr<grpc::Channel> channel(int port, auth::Role role, const std::string& name) const {
    return *rpc::open_channel("127.0.0.1:" + std::to_string(port), auth::Role::router,
                              material(role, name));
  }
  std::shared_ptr<grpc::Channel> channel_without_token(int port) const {
    rpc::TlsMaterial material;
    material.insecure_loopback = true;
    return *rpc::open_channel("127.0.0.1:" + std::to_string(port), auth::Role::router, material);
  }

 private:
  auth::TokenKeys x_keys = *auth::make_token_keys();
  std::unique_ptr<rpc::Authenticator> x_authenticator;
};

}  // namespace tarn::router
