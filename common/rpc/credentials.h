#pragma once

#include <chrono>
#include <memory>
#include <string>

#include <grpcpp/channel.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_context.h>

#include "common/auth/identity.h"
#include "common/auth/token.h"
#include "common/base/clock.h"
#include "common/base/result.h"

namespace tarn::rpc {

// Largest control message; bulk frames have their own limit.
inline constexpr int kControlMessageBytesMax = 16 << 20;

// What one side of a connection proves itself with. PEM texts, not paths.
struct TlsMaterial {
  std::string ca_pem;
  std::string certificate_pem;  // with its key: mTLS; empty: the token alone says who calls
  std::string key_pem;
  std::string token;  // shown with every call where there is no certificate
  bool insecure_loopback =
      false;  // plain TCP without any identity check of the server, on loopback only
};

// TLS that asks callers for a certificate and verifies one that is shown. Returns: ok,
// invalid_argument.
Result<std::shared_ptr<grpc::ServerCredentials>> server_credentials(const TlsMaterial& material);

// A channel to HOST:PORT whose server must prove to have `role` (its certificate names ROLE.tarn).
// Never blocks: an unreachable peer shows with the first call. Messages may be as large as
// `message_bytes_max`. Returns: ok, invalid_argument (insecure to a host that is not loopback).
Result<std::shared_ptr<grpc::Channel>> open_channel(
    const std::string& endpoint, auth::Role role, const TlsMaterial& material,
    int message_bytes_max = kControlMessageBytesMax);

// True for 127.0.0.0/8, [::1] and localhost, with or without a port.
bool is_loopback(const std::string& endpoint);

// Says who calls. Thread-safe; immutable after construction.
class Authenticator {
 public:
  // `verifier` may be null where only certificates are taken. With insecure_loopback, tokens are
  // taken from plain TCP too.
  Authenticator(std::shared_ptr<const auth::TokenVerifier> verifier, const Clock& clock,
                bool insecure_loopback);

  // The caller's identity: of its certificate where it showed one, else of its bearer token.
  // Returns: ok, unauthenticated (says what to show).
  Result<auth::Identity> caller(const grpc::ServerContextBase& context) const;

 private:
  std::shared_ptr<const auth::TokenVerifier> x_verifier;
  const Clock& x_clock;
  bool x_insecure_loopback;
};

// Sets the call's deadline to `timeout` from now.
void set_timeout(grpc::ClientContext& context, Millis timeout);

}  // namespace tarn::rpc
