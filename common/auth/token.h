#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "common/auth/identity.h"
#include "common/base/result.h"

namespace tarn::auth {

// A token is a credential for callers without a certificate, shown over TLS or a Unix socket:
//   tarn1.PAYLOAD.SIGNATURE   both base64url without padding; Ed25519 over "tarn1.PAYLOAD"
// The payload is, in this order: version u8 = 1, role u8, name (length u8, bytes), expiry u64 in
// Unix ms, key id (length u8, bytes), token id of 16 bytes; integers little-endian.
inline constexpr size_t kTokenBytesMax = 1024;

// An Ed25519 pair as PEM; private in PKCS #8, public as SubjectPublicKeyInfo.
struct TokenKeys {
  std::string private_pem;
  std::string public_pem;
};

// Returns: a fresh pair; internal.
Result<TokenKeys> make_token_keys();

// The id of a public key: the first 8 bytes of SHA-256 of its 32, in hexadecimal.
// Returns: the id; invalid_argument when the PEM is not of an Ed25519 public key.
Result<std::string> token_key_id(std::string_view public_pem);

// Whom a token names, unproven: for its holder, who wants to know his own name. Never for whoever
// is shown one. Returns: the identity; unauthenticated when the token is malformed.
Result<Identity> identity_of_own_token(std::string_view text);

// Signs tokens with one private key. One-thread; the key's bytes are wiped with it.
class TokenSigner {
 public:
  // Returns: the signer; invalid_argument when the PEM is not of an Ed25519 private key.
  static Result<TokenSigner> open(std::string_view private_pem);

  TokenSigner(TokenSigner&& other) noexcept;
  TokenSigner& operator=(TokenSigner&& other) noexcept;
  ~TokenSigner();

  // Returns: the token's text; invalid_argument for a bad name or an expiry before 1970.
  Result<std::string> sign(const Identity& identity, int64_t expires_ms) const;

  const std::string& key_id() const;

 private:
  struct State;
  explicit TokenSigner(std::unique_ptr<State> state);

  std::unique_ptr<State> x_state;
};

// Reads tokens that anyone may have written, against a set of public keys. Immutable after open,
// so thread-safe.
class TokenVerifier {
 public:
  // Each string holds one or more public keys in PEM; old and new ones together while keys rotate.
  // Returns: the verifier; invalid_argument when there is no key, or one that is not Ed25519.
  static Result<TokenVerifier> open(std::span<const std::string> public_pems);

  TokenVerifier(TokenVerifier&& other) noexcept;
  TokenVerifier& operator=(TokenVerifier&& other) noexcept;
  ~TokenVerifier();

  // skew_ms: how far the clocks of signer and verifier may differ.
  // Returns: whom it names; unauthenticated saying that the token is malformed, of an unknown key,
  // badly signed or expired.
  Result<Identity> verify(std::string_view text, int64_t now_unix_ms, int64_t skew_ms) const;

 private:
  struct State;
  explicit TokenVerifier(std::unique_ptr<State> state);

  std::unique_ptr<State> x_state;
};

}  // namespace tarn::auth
