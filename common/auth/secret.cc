#include "common/auth/secret.h"

#include <limits>
#include <utility>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include "common/auth/owned.h"
#include "common/base/check.h"
#include "common/base/fault_point.h"

namespace tarn::auth {
namespace {

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

}  // namespace

ErrorScope::ErrorScope() {
  ERR_set_mark();
}
ErrorScope::~ErrorScope() {
  ERR_pop_to_mark();
}

Result<std::string> random_bytes(size_t count) {
  TARN_CHECK(count <= static_cast<size_t>(std::numeric_limits<int>::max()));
  std::string bytes(count, '\0');
  const ErrorScope errors;
  const bool failed = TARN_FAULT_POINT("auth.random");
  auto* out = reinterpret_cast<unsigned char*>(bytes.data());
  if (failed || RAND_bytes(out, static_cast<int>(count)) != 1) {
    return unavailable("the system's random generator gave no bytes; try again");
  }
  return bytes;
}

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

struct MacKey::State {
  Owned<EVP_MAC_CTX, EVP_MAC_CTX_free> context;
};

MacKey::MacKey(std::unique_ptr<State> state) : x_state(std::move(state)) {}
MacKey::MacKey(MacKey&& other) noexcept = default;
MacKey& MacKey::operator=(MacKey&& other) noexcept = default;
MacKey::~MacKey() = default;

Result<MacKey> MacKey::open(std::string_view key) {
  if (key.empty()) return invalid_argument("a MAC key has at least one byte");
  const ErrorScope errors;
  const Owned<EVP_MAC, EVP_MAC_free> hmac(EVP_MAC_fetch(nullptr, "HMAC", nullptr));
  auto state = std::make_unique<State>();
  state->context.reset(hmac ? EVP_MAC_CTX_new(hmac.get()) : nullptr);
  std::string digest = "SHA256";
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest.data(), digest.size()),
      OSSL_PARAM_construct_end()};
  if (!state->context ||
      EVP_MAC_init(state->context.get(), bytes_of(key), key.size(), parameters) != 1) {
    return internal_error("OpenSSL offers no HMAC-SHA256; look at its configuration");
  }
  return MacKey(std::move(state));
}

Mac MacKey::mac(Parts parts) {
  TARN_CHECK(x_state != nullptr);
  EVP_MAC_CTX* context = x_state->context.get();
  // No key given: starts again from the state kept for the key of open().
  TARN_CHECK(EVP_MAC_init(context, nullptr, 0, nullptr) == 1);
  for (const std::string_view part : parts) {
    TARN_CHECK(EVP_MAC_update(context, bytes_of(part), part.size()) == 1);
  }
  Mac mac;
  size_t size = 0;
  TARN_CHECK(EVP_MAC_final(context, mac.data(), &size, mac.size()) == 1);
  TARN_CHECK(size == mac.size());
  return mac;
}

Result<std::string> hmac_sha256(std::string_view key, Parts parts) {
  TARN_ASSIGN_OR_RETURN(MacKey ready, MacKey::open(key));
  return std::string(view_of(ready.mac(parts)));
}

Result<std::string> hmac_sha256(std::string_view key, std::string_view data) {
  return hmac_sha256(key, {data});
}

}  // namespace tarn::auth
