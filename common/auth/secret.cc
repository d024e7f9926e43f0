#include "common/auth/secret.h"

#include <limits>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>

#include "common/auth/owned.h"
#include "common/base/check.h"
#include "common/base/fault_point.h"

namespace tarn::auth {

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

Result<std::string> hmac_sha256(std::string_view key, Parts parts) {
  TARN_ASSIGN_OR_RETURN(MacKey ready, MacKey::open(key));
  return std::string(view_of(ready.mac(parts)));
}

Result<std::string> hmac_sha256(std::string_view key, std::string_view data) {
  return hmac_sha256(key, {data});
}

}  // namespace tarn::auth
