#pragma once

#include <string>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "common/auth/certificates.h"
#include "common/auth/owned.h"

// Certificates that issue_certificate() would not make: as a careless CA, a wrong clock or an
// attacker might.
namespace tarn::auth {

struct OddCertificate {
  std::string names;         // as openssl.cnf has them: "URI:tarn://tenant/acme,DNS:localhost"
  long begins_in_s = -3600;  // from now
  long ends_in_s = 3600;
  const CertifiedKey* ca = nullptr;  // null: signs itself
  bool is_ca = false;
};

namespace odd {

using Key = Owned<EVP_PKEY, EVP_PKEY_free>;
using Certificate = Owned<X509, X509_free>;
using Bio = Owned<BIO, BIO_free_all>;

inline std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<size_t>(size)};
}

inline Bio reader(const std::string& pem) {
  return Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

inline void add_extension(X509* certificate, int nid, const std::string& value) {
  if (value.empty()) return;
  const Owned<X509_EXTENSION, X509_EXTENSION_free> made(
      X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str()));
  if (made) X509_add_ext(certificate, made.get(), -1);
}

inline void sign(X509* certificate, EVP_PKEY* own_key, const CertifiedKey* ca) {
  if (ca == nullptr) {
    X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
    X509_sign(certificate, own_key, EVP_sha256());
    return;
  }
  const Certificate issuer(
      PEM_read_bio_X509(reader(ca->certificate_pem).get(), nullptr, nullptr, nullptr));
  const Key issuer_key(
      PEM_read_bio_PrivateKey(reader(ca->key_pem).get(), nullptr, nullptr, nullptr));
  X509_set_issuer_name(certificate, X509_get_subject_name(issuer.get()));
  X509_sign(certificate, issuer_key.get(), EVP_sha256());
}

}  // namespace odd

inline CertifiedKey make_odd(const OddCertificate& wanted) {
  const odd::Certificate made(X509_new());
  const odd::Key key(EVP_EC_gen("P-256"));
  X509_set_version(made.get(), 2);
  static long serial = 1000;
  ASN1_INTEGER_set(X509_get_serialNumber(made.get()), ++serial);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(made.get()), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("odd"), -1, -1, 0);
  X509_set_pubkey(made.get(), key.get());
  X509_gmtime_adj(X509_getm_notBefore(made.get()), wanted.begins_in_s);
  X509_gmtime_adj(X509_getm_notAfter(made.get()), wanted.ends_in_s);
  odd::add_extension(made.get(), NID_basic_constraints,
                     wanted.is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
  odd::add_extension(made.get(), NID_subject_alt_name, wanted.names);
  odd::sign(made.get(), key.get(), wanted.ca);
  const odd::Bio certificate(BIO_new(BIO_s_mem()));
  const odd::Bio private_key(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(certificate.get(), made.get());
  PEM_write_bio_PKCS8PrivateKey(private_key.get(), key.get(), nullptr, nullptr, 0, nullptr,
                                nullptr);
  return {odd::text_of(certificate.get()), odd::text_of(private_key.get())};
}

}  // namespace tarn::auth
