#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/auth/identity.h"
#include "common/base/result.h"

namespace tarn::auth {

// A certificate and its private key, both PEM; the key in PKCS #8 without a passphrase.
struct CertifiedKey {
  std::string certificate_pem;
  std::string key_pem;
};

// What a certificate is for. Every one also names ROLE.tarn, localhost and 127.0.0.1, and serves
// both ends of a connection.
struct CertificateRequest {
  Identity identity;
  std::vector<std::string> dns_names;     // no wildcards, none under .tarn
  std::vector<std::string> ip_addresses;  // v4 or v6
  int days = 365;                         // 1 to kCertificateDaysMax, and never beyond the CA
};

inline constexpr int kCertificateDaysMax = 3650;

// The DNS name by which a client checks that its peer has a role, whatever its host is called
// ("router.tarn"); to be set as the target name override.
std::string tls_name(Role role);

// A new CA with an EC P-256 key. Returns: the CA; invalid_argument for days; internal.
Result<CertifiedKey> make_ca(int days);

// An EC P-256 certificate with SAN URI:tarn://ROLE/NAME, signed by the CA.
// Returns: certificate and key; invalid_argument naming the field that is wrong, a CA that has
// ended or is not valid yet, or one whose key is another's; internal.
Result<CertifiedKey> issue_certificate(const CertifiedKey& ca, const CertificateRequest& request);

// Whom a certificate names: its only tarn:// URI. The chain must have been verified before, by TLS.
// Returns: the identity; unauthenticated.
Result<Identity> identity_from_certificate(std::string_view certificate_pem);

// Returns: the Unix ms after which the certificate is not accepted; invalid_argument.
Result<int64_t> certificate_end_ms(std::string_view certificate_pem);

// Whether the pair fits together, is signed by the CA, is valid from `from_unix_ms` until
// `until_unix_ms` and covers the request. Returns: ok; invalid_argument saying what does not hold.
struct CertificateCheck {
  std::string_view ca_pem;
  int64_t until_unix_ms = 0;
  int64_t from_unix_ms = INT64_MAX;
};
Status check_certificate(const CertifiedKey& have, const CertificateRequest& wanted,
                         const CertificateCheck& check);

}  // namespace tarn::auth
