#pragma once

#include <string>
#include <vector>

#include "common/auth/identity.h"
#include "common/base/ids.h"
#include "common/base/result.h"
#include "tarn/tarn.h"

namespace tarn::sdk {

// The files of a credentials folder, as `tarn dev` and `tarn token create` write them.
inline constexpr const char* kCaFile = "ca.pem";
inline constexpr const char* kTokenFile = "token";  // one line of text
inline constexpr const char* kCertificateFile = "client.pem";
inline constexpr const char* kKeyFile = "client.key";
inline constexpr const char* kEndpointFile = "endpoint";  // HOST:PORT of routers, with commas

inline constexpr const char* kEndpointVariable = "TARN_ENDPOINT";
inline constexpr const char* kCredentialsVariable = "TARN_CREDENTIALS";
inline constexpr const char* kDefaultFolder = ".tarn/dev";  // below HOME

// Before an endpoint on loopback whose routers run with --insecure-loopback: plain TCP.
inline constexpr std::string_view kPlainPrefix = "plain://";

// More routers than this in one list are a mistake.
inline constexpr size_t kEndpointsMax = 64;

// Where the routers are, and what the client proves itself with. A plain value.
struct Credentials {
  std::vector<std::string> endpoints;  // at least one
  std::string ca_pem;
  std::string certificate_pem;  // with its key; or
  std::string key_pem;
  std::string token;
  bool is_plain = false;    // loopback without TLS
  auth::Identity identity;  // as the credential says; routers and servers prove it
  TenantId tenant;
};

// Puts together what the options, the environment and the folder say, in this order.
// Returns: the credentials; invalid_argument (names the option or file that is missing or wrong),
// unauthenticated (a malformed token or certificate).
Result<Credentials> find_credentials(const ClientOptions& options);

}  // namespace tarn::sdk
