#include "common/auth/token.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include <openssl/pem.h>

#include "common/auth/base64url.h"
#include "common/auth/fields.h"
#include "common/auth/pem.h"
#include "common/auth/secret.h"
#include "common/base/check.h"
#include "common/base/fault_point.h"
#include "common/base/ids.h"

namespace tarn::auth {
namespace {

using KeyContext = Owned<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;
using Digest = Owned<EVP_MD_CTX, EVP_MD_CTX_free>;

constexpr std::string_view kPrefix = "tarn1.";
constexpr uint8_t kTokenVersion = 1;
constexpr size_t kTokenIdBytes = 16;
constexpr size_t kSignatureBytes = 64;
constexpr size_t kKeyIdBytes = 8;

Status bad_token(std::string_view reason) {
  return unauthenticated("the token " + std::string(reason));
}

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

bool is_ed25519(const Key& key) {
  return key != nullptr && EVP_PKEY_get_id(key.get()) == EVP_PKEY_ED25519;
}

Key read_public_key(BIO* in) {
  return Key(PEM_read_bio_PUBKEY(in, nullptr, no_passphrase, nullptr));
}

Result<std::string> id_of(const Key& key) {
  std::array<unsigned char, 32> raw{};
  std::array<unsigned char, 32> hash{};
  size_t raw_bytes = raw.size();
  if (EVP_PKEY_get_raw_public_key(key.get(), raw.data(), &raw_bytes) != 1 ||
      EVP_Digest(raw.data(), raw_bytes, hash.data(), nullptr, EVP_sha256(), nullptr) != 1) {
    return internal_error("OpenSSL cannot read a public key that it has parsed");
  }
  return to_hex({reinterpret_cast<const char*>(hash.data()), kKeyIdBytes});
}

struct Payload {
  Identity identity;
  int64_t expires_ms = 0;
  std::string key_id;
};

std::string encode_payload(const Payload& payload, std::string_view token_id) {
  FieldWriter out;
  out.put(kTokenVersion);
  out.put(static_cast<uint8_t>(payload.identity.role));
  out.put_text(payload.identity.name);
  out.put(payload.expires_ms);
  out.put_text(payload.key_id);
  out.put_bytes(token_id);
  return out.take();
}

Result<Payload> decode_payload(std::string_view bytes) {
  FieldReader in(bytes);
  uint8_t version = 0;
  uint8_t role_number = 0;
  std::string_view name;
  std::string_view key_id;
  std::string_view token_id;
  Payload payload;
  const bool is_complete = in.get(&version) && version == kTokenVersion && in.get(&role_number) &&
                           in.get_text(&name) && in.get(&payload.expires_ms) &&
                           in.get_text(&key_id) && in.get_bytes(kTokenIdBytes, &token_id) &&
                           in.is_at_end();
  const auto role = role_from_number(role_number);
  if (!is_complete || !role || payload.expires_ms < 0) return bad_token("is malformed");
  auto identity = make_identity(*role, name);
  if (!identity) return bad_token("is malformed: " + identity.error().message());
  payload.identity = *std::move(identity);
  payload.key_id = key_id;
  return payload;
}

struct TokenParts {
  std::string_view is_signed;  // "tarn1.PAYLOAD"
  std::string payload;
  std::string signature;
};

Result<TokenParts> split(std::string_view text) {
  const size_t dot = text.rfind('.');
  if (text.size() > kTokenBytesMax || !text.starts_with(kPrefix) || dot < kPrefix.size()) {
    return bad_token("is malformed: it is no tarn1.PAYLOAD.SIGNATURE");
  }
  auto payload = from_base64url(text.substr(kPrefix.size(), dot - kPrefix.size()));
  auto signature = from_base64url(text.substr(dot + 1));
  if (!payload || !signature || signature->size() != kSignatureBytes) {
    return bad_token("is malformed: it is no base64url of the right size");
  }
  return TokenParts{text.substr(0, dot), *std::move(payload), *std::move(signature)};
}

bool is_signature_good(EVP_PKEY* key, const TokenParts& parts) {
  const Digest digest(EVP_MD_CTX_new());
  return digest && EVP_DigestVerifyInit(digest.get(), nullptr, nullptr, nullptr, key) == 1 &&
         EVP_DigestVerify(digest.get(), bytes_of(parts.signature), parts.signature.size(),
                          bytes_of(parts.is_signed), parts.is_signed.size()) == 1;
}

}  // namespace

Result<TokenKeys> make_token_keys() {
  const ErrorScope errors;
  const KeyContext context(EVP_PKEY_CTX_new_id(EVP_PKEY_ED25519, nullptr));
  EVP_PKEY* made = nullptr;
  if (!context || EVP_PKEY_keygen_init(context.get()) != 1 ||
      EVP_PKEY_keygen(context.get(), &made) != 1) {
    return internal_error("OpenSSL cannot make an Ed25519 key");
  }
  const Key key(made);
  const Bio out(BIO_new(BIO_s_mem()));
  std::string private_pem = private_key_pem(key.get());
  if (!out || private_pem.empty() || PEM_write_bio_PUBKEY(out.get(), key.get()) != 1) {
    return internal_error("OpenSSL cannot write an Ed25519 key");
  }
  return TokenKeys{std::move(private_pem), contents(out.get())};
}

Result<std::string> token_key_id(std::string_view public_pem) {
  const ErrorScope errors;
  const Bio in = reader_of(public_pem);
  const Key key = in ? read_public_key(in.get()) : nullptr;
  if (!is_ed25519(key)) return invalid_argument("not an Ed25519 public key in PEM");
  return id_of(key);
}

Result<Identity> identity_of_own_token(std::string_view text) {
  TARN_ASSIGN_OR_RETURN(const TokenParts parts, split(text));
  TARN_ASSIGN_OR_RETURN(Payload payload, decode_payload(parts.payload));
  return std::move(payload.identity);
}

struct TokenSigner::State {
  Key key;
  std::string key_id;
};

TokenSigner::TokenSigner(std::unique_ptr<State> state) : x_state(std::move(state)) {}
TokenSigner::TokenSigner(TokenSigner&& other) noexcept = default;
TokenSigner& TokenSigner::operator=(TokenSigner&& other) noexcept = default;
TokenSigner::~TokenSigner() = default;

Result<TokenSigner> TokenSigner::open(std::string_view private_pem) {
  const ErrorScope errors;
  auto state = std::make_unique<State>();
  state->key = read_private_key(private_pem);
  if (!is_ed25519(state->key)) return invalid_argument("not an Ed25519 private key in PEM");
  TARN_ASSIGN_OR_RETURN(state->key_id, id_of(state->key));
  return TokenSigner(std::move(state));
}

const std::string& TokenSigner::key_id() const {
  TARN_CHECK(x_state != nullptr);
  return x_state->key_id;
}

Result<std::string> TokenSigner::sign(const Identity& identity, int64_t expires_ms) const {
  TARN_CHECK(x_state != nullptr);
  const ErrorScope errors;
  if (expires_ms < 0) return invalid_argument("expires_ms: before 1970");
  TARN_ASSIGN_OR_RETURN(const Identity checked, make_identity(identity.role, identity.name));
  TARN_ASSIGN_OR_RETURN(const std::string token_id, random_bytes(kTokenIdBytes));
  std::string text(kPrefix);
  text += to_base64url(encode_payload({checked, expires_ms, x_state->key_id}, token_id));
  std::array<unsigned char, kSignatureBytes> signature{};
  size_t signature_bytes = signature.size();
  const Digest digest(EVP_MD_CTX_new());
  if (!digest ||
      EVP_DigestSignInit(digest.get(), nullptr, nullptr, nullptr, x_state->key.get()) != 1 ||
      EVP_DigestSign(digest.get(), signature.data(), &signature_bytes, bytes_of(text),
                     text.size()) != 1) {
    return internal_error("OpenSSL cannot sign");
  }
  TARN_CHECK(signature_bytes == kSignatureBytes);
  text += '.';
  text += to_base64url({reinterpret_cast<const char*>(signature.data()), signature_bytes});
  return text;
}

struct TokenVerifier::State {
  std::map<std::string, Key> keys;  // by id
};

TokenVerifier::TokenVerifier(std::unique_ptr<State> state) : x_state(std::move(state)) {}
TokenVerifier::TokenVerifier(TokenVerifier&& other) noexcept = default;
TokenVerifier& TokenVerifier::operator=(TokenVerifier&& other) noexcept = default;
TokenVerifier::~TokenVerifier() = default;

Result<TokenVerifier> TokenVerifier::open(std::span<const std::string> public_pems) {
  const ErrorScope errors;
  auto state = std::make_unique<State>();
  for (const std::string& pem : public_pems) {
    const Bio in = reader_of(pem);
    while (in && !BIO_eof(in.get())) {
      Key key = read_public_key(in.get());
      if (!is_ed25519(key)) return invalid_argument("not an Ed25519 public key in PEM");
      TARN_ASSIGN_OR_RETURN(std::string id, id_of(key));
      state->keys.insert_or_assign(std::move(id), std::move(key));
    }
  }
  if (state->keys.empty()) return invalid_argument("no public key to verify tokens with");
  return TokenVerifier(std::move(state));
}

Result<Identity> TokenVerifier::verify(std::string_view text, int64_t now_unix_ms,
                                       int64_t skew_ms) const {
  TARN_CHECK(x_state != nullptr);
  const ErrorScope errors;
  if (TARN_FAULT_POINT("auth.token_verify")) return bad_token("was refused by a fault point");
  TARN_ASSIGN_OR_RETURN(const TokenParts parts, split(text));
  TARN_ASSIGN_OR_RETURN(Payload payload, decode_payload(parts.payload));
  const auto key = x_state->keys.find(payload.key_id);
  if (key == x_state->keys.end()) return bad_token("is of a key that is not known here");
  if (!is_signature_good(key->second.get(), parts)) return bad_token("has a bad signature");
  int64_t end_ms = 0;
  const bool never_ends =
      __builtin_add_overflow(payload.expires_ms, std::max<int64_t>(skew_ms, 0), &end_ms);
  if (!never_ends && now_unix_ms >= end_ms) return bad_token("has expired");
  return std::move(payload.identity);
}

}  // namespace tarn::auth
