#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/auth/identity.h"
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/mutex.h"
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

  friend bool operator==(const Credentials&, const Credentials&) = default;
};

// Puts together what the options, the environment and the folder say, in this order. A token or key
// that everyone may read is taken, and warned of. Returns: the credentials; invalid_argument (names
// the option or file that is missing or wrong), permission_denied, corrupt, unavailable (a file
// cannot be read), unauthenticated (a malformed token or certificate, or an expired one).
Result<Credentials> find_credentials(const ClientOptions& options);

// Between two looks at the folder.
inline constexpr Nanos kCredentialsPause = std::chrono::seconds(1);

// The credentials of one client, which may be replaced on disk while it lives. Thread-safe.
class CredentialSource {
 public:
  static Result<std::shared_ptr<CredentialSource>> open(const ClientOptions& options);

  std::shared_ptr<const Credentials> current() const;
  // They were refused: looks at the folder again, at most once in kCredentialsPause. True when it
  // holds others of the same tenant, which are current from then on. Endpoints stay as they are.
  bool refresh();

 private:
  CredentialSource(ClientOptions options, Credentials found);

  const ClientOptions x_options;
  mutable Mutex x_mutex;
  std::shared_ptr<const Credentials> x_current TARN_GUARDED_BY(x_mutex);
  Instant x_next_look TARN_GUARDED_BY(x_mutex);
};

}  // namespace tarn::sdk
