#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "common/auth/certificates.h"
#include "common/auth/identity.h"
#include "common/auth/token.h"
#include "common/base/result.h"

namespace tarn::auth {

// What SecretsDir::create_all puts in place.
struct SecretsOptions {
  std::vector<Identity> identities;       // who gets a certificate
  std::vector<std::string> dns_names;     // in the certificates of servers and routers
  std::vector<std::string> ip_addresses;  // likewise
  int days = 365;
  int ca_days = kCertificateDaysMax;
  int renew_before_days = 30;  // a certificate that ends sooner is issued anew; less than days
};

// The certificate of the folder that ends first.
struct Expiry {
  std::string file;
  int64_t days = 0;  // whole days left; negative when it has ended
};

// The secrets folder of a machine: ca.pem, ca.key, ROLE-NAME.pem, ROLE-NAME.key (a worker's slash
// is written '@'), token.pub, token.key; mode 0700, all files 0600. A machine needs only its own
// part: ca.key and token.key stay where certificates and tokens are issued. Knows the path alone
// and reads files when asked; immutable, so thread-safe; processes that write exclude each other.
class SecretsDir {
 public:
  // Returns: the folder; not_found when there is none or it has no ca.pem; permission_denied, with
  // the chmod that mends it, when others may write in it or read one of its keys.
  static Result<SecretsDir> open(const std::string& path);

  // Makes what is missing, damaged, foreign to the CA, too near its end or without one of the
  // hosts; leaves the rest alone. After a failure or a crash, call it again.
  // Returns: the folder; invalid_argument; permission_denied; unavailable; not_found when
  // certificates are to be issued and ca.key is elsewhere.
  static Result<SecretsDir> create_all(const std::string& path, const SecretsOptions& options);

  const std::string& path() const { return x_path; }

  // Each returns: the value; not_found; permission_denied; corrupt or invalid_argument for a file
  // that is not what its name says.
  Result<std::string> ca_pem() const;
  Result<CertifiedKey> certificate(const Identity& identity) const;
  Result<TokenSigner> token_signer() const;
  Result<TokenVerifier> token_verifier() const;

  // Issues a certificate and writes it into the folder in place of an older one. Needs ca.key.
  Result<CertifiedKey> issue(const CertificateRequest& request) const;

  Result<Expiry> soonest_expiry(int64_t now_unix_ms) const;

 private:
  explicit SecretsDir(std::string path) : x_path(std::move(path)) {}

  Result<std::string> read(const std::string& name) const;
  Status write(const std::string& name, const std::string& contents) const;
  bool has(const std::string& name) const;
  Result<CertifiedKey> issue_locked(const CertificateRequest& request) const;
  Status create_ca(int days) const;
  Status create_token_keys() const;
  Status create_certificate(const CertificateRequest& request, int renew_before_days) const;

  std::string x_path;
};

}  // namespace tarn::auth
