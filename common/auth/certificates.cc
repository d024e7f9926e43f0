#include "common/auth/certificates.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <optional>

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "common/auth/pem.h"
#include "common/auth/secret.h"
#include "common/base/check.h"
#include "common/base/clock.h"

namespace tarn::auth {
namespace {

using Certificate = Owned<X509, X509_free>;
using Names = Owned<GENERAL_NAMES, GENERAL_NAMES_free>;
using Name = Owned<GENERAL_NAME, GENERAL_NAME_free>;
using Text = Owned<ASN1_STRING, ASN1_STRING_free>;
using Integer = Owned<ASN1_INTEGER, ASN1_INTEGER_free>;
using BigNumber = Owned<BIGNUM, BN_free>;
using Extension = Owned<X509_EXTENSION, X509_EXTENSION_free>;

constexpr int kVersion3 = 2;
constexpr int kSerialBytes = 16;
constexpr size_t kCommonNameBytesMax = 64;
// How far behind ours the clock of a peer may be on the first day.
constexpr long kBackdateSeconds = 3600;

struct ExtensionText {
  int nid;
  const char* value;
};

constexpr std::array kCaExtensions = {
    ExtensionText{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
    ExtensionText{NID_key_usage, "critical,keyCertSign,cRLSign"},
    ExtensionText{NID_subject_key_identifier, "hash"},
};
constexpr std::array kLeafExtensions = {
    ExtensionText{NID_basic_constraints, "critical,CA:FALSE"},
    ExtensionText{NID_key_usage, "critical,digitalSignature"},
    ExtensionText{NID_ext_key_usage, "serverAuth,clientAuth"},
    ExtensionText{NID_subject_key_identifier, "hash"},
    ExtensionText{NID_authority_key_identifier, "keyid:always"},
};

Certificate read_certificate(std::string_view pem) {
  const Bio in = reader_of(pem);
  return Certificate(in ? PEM_read_bio_X509(in.get(), nullptr, no_passphrase, nullptr) : nullptr);
}

std::string_view view_of(const ASN1_STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
          static_cast<size_t>(ASN1_STRING_length(text))};
}

std::optional<int64_t> unix_ms_of(const ASN1_TIME* time) {
  std::tm when{};
  if (ASN1_TIME_to_tm(time, &when) != 1) return std::nullopt;
  return int64_t{timegm(&when)} * 1000;
}

std::optional<int64_t> end_ms_of(const X509* certificate) {
  return unix_ms_of(X509_get0_notAfter(certificate));
}

// True when the certificate is not accepted yet, as one made while the clock was ahead.
bool begins_after(const X509* certificate, int64_t unix_ms) {
  const auto begin_ms = unix_ms_of(X509_get0_notBefore(certificate));
  return !begin_ms || *begin_ms > unix_ms;
}

Result<CertifiedKey> to_pem(const Certificate& certificate, const Key& key) {
  const Bio out(BIO_new(BIO_s_mem()));
  std::string key_pem = private_key_pem(key.get());
  if (!out || PEM_write_bio_X509(out.get(), certificate.get()) != 1 || key_pem.empty()) {
    return internal_error("OpenSSL cannot write a certificate");
  }
  return CertifiedKey{contents(out.get()), std::move(key_pem)};
}

bool set_random_serial(X509* certificate) {
  auto bytes = random_bytes(kSerialBytes);
  if (!bytes) return false;
  (*bytes)[0] = static_cast<char>((static_cast<uint8_t>((*bytes)[0]) & 0x7f) | 0x40);
  const BigNumber number(
      BN_bin2bn(reinterpret_cast<const unsigned char*>(bytes->data()), kSerialBytes, nullptr));
  const Integer serial(number ? BN_to_ASN1_INTEGER(number.get(), nullptr) : nullptr);
  return serial && X509_set_serialNumber(certificate, serial.get()) == 1;
}

bool set_subject(X509* certificate, std::string_view common_name) {
  const std::string_view cut = common_name.substr(0, kCommonNameBytesMax);
  return X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>(cut.data()),
                                    static_cast<int>(cut.size()), -1, 0) == 1;
}

bool set_life(X509* certificate, int days) {
  return X509_gmtime_adj(X509_getm_notBefore(certificate), -kBackdateSeconds) != nullptr &&
         X509_time_adj_ex(X509_getm_notAfter(certificate), days, 0, nullptr) != nullptr;
}

// A certificate with everything but extensions, issuer and signature; null on failure.
Certificate start_certificate(EVP_PKEY* key, std::string_view common_name, int days) {
  Certificate certificate(X509_new());
  const bool is_good =
      certificate && X509_set_version(certificate.get(), kVersion3) == 1 &&
      set_random_serial(certificate.get()) && set_subject(certificate.get(), common_name) &&
      set_life(certificate.get(), days) && X509_set_pubkey(certificate.get(), key) == 1;
  return is_good ? std::move(certificate) : nullptr;
}

template <size_t kCount>
bool add_extensions(X509* certificate, X509* issuer,
                    const std::array<ExtensionText, kCount>& extensions) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  return std::all_of(extensions.begin(), extensions.end(), [&](const ExtensionText& text) {
    const Extension made(X509V3_EXT_conf_nid(nullptr, &context, text.nid, text.value));
    return made && X509_add_ext(certificate, made.get(), -1) == 1;
  });
}

bool add_name(GENERAL_NAMES* names, int type, Text value) {
  Name name(GENERAL_NAME_new());
  if (!name || !value) return false;
  GENERAL_NAME_set0_value(name.get(), type, value.release());
  if (sk_GENERAL_NAME_push(names, name.get()) <= 0) return false;
  (void)name.release();  // the stack's now
  return true;
}

bool add_text_name(GENERAL_NAMES* names, int type, std::string_view text) {
  Text value(ASN1_IA5STRING_new());
  return value && ASN1_STRING_set(value.get(), text.data(), static_cast<int>(text.size())) == 1 &&
         add_name(names, type, std::move(value));
}

bool add_ip_name(GENERAL_NAMES* names, const std::string& address) {
  return add_name(names, GEN_IPADD, Text(a2i_IPADDRESS(address.c_str())));
}

bool add_names(X509* certificate, const CertificateRequest& request) {
  const Names names(sk_GENERAL_NAME_new_null());
  GENERAL_NAMES* all = names.get();
  const auto add_dns = [all](const std::string& dns) { return add_text_name(all, GEN_DNS, dns); };
  const auto add_ip = [all](const std::string& ip) { return add_ip_name(all, ip); };
  return all != nullptr && add_text_name(all, GEN_URI, identity_uri(request.identity)) &&
         add_dns(tls_name(request.identity.role)) && add_dns("localhost") && add_ip("127.0.0.1") &&
         std::all_of(request.dns_names.begin(), request.dns_names.end(), add_dns) &&
         std::all_of(request.ip_addresses.begin(), request.ip_addresses.end(), add_ip) &&
         X509_add1_ext_i2d(certificate, NID_subject_alt_name, all, 0, X509V3_ADD_DEFAULT) == 1;
}

bool is_dns_name(std::string_view name) {
  const auto is_alphanumeric = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  return !name.empty() && name.size() <= 253 && is_alphanumeric(name.front()) &&
         is_alphanumeric(name.back()) && std::all_of(name.begin(), name.end(), [&](char c) {
           return is_alphanumeric(c) || c == '.' || c == '-' || c == '_';
         });
}

// True for names that would let their holder pass for a role.
bool is_reserved(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return name == "tarn" || name.ends_with(".tarn");
}

Status check_days(int days) {
  if (days >= 1 && days <= kCertificateDaysMax) return Status::ok();
  return invalid_argument("days: a certificate lives 1 to 3650 days");
}

Status check_request(const CertificateRequest& request) {
  TARN_RETURN_IF_ERROR(make_identity(request.identity.role, request.identity.name).status());
  TARN_RETURN_IF_ERROR(check_days(request.days));
  for (const std::string& name : request.dns_names) {
    if (!is_dns_name(name)) return invalid_argument("dns_names: no host is called " + name);
    if (is_reserved(name)) return invalid_argument("dns_names: names under .tarn mean roles");
  }
  for (const std::string& address : request.ip_addresses) {
    const Text parsed(a2i_IPADDRESS(address.c_str()));
    if (!parsed) return invalid_argument("ip_addresses: no address is written " + address);
  }
  return Status::ok();
}

struct Ca {
  Certificate certificate;
  Key key;
};

Result<Ca> read_ca(const CertifiedKey& pem) {
  Ca ca{read_certificate(pem.certificate_pem), read_private_key(pem.key_pem)};
  if (!ca.certificate || !ca.key) return invalid_argument("the CA is not in PEM");
  if (X509_check_private_key(ca.certificate.get(), ca.key.get()) != 1) {
    return invalid_argument("the CA's key is not the one of its certificate");
  }
  const auto end_ms = end_ms_of(ca.certificate.get());
  if (!end_ms || *end_ms <= system_clock().unix_ms()) {
    return invalid_argument("the CA has ended; make another in a new folder");
  }
  if (begins_after(ca.certificate.get(), system_clock().unix_ms())) {
    return invalid_argument("the CA is not valid yet; look at this machine's clock");
  }
  return ca;
}

// The CA's end where the certificate would outlive it.
bool end_with_ca(X509* certificate, const X509* ca) {
  const ASN1_TIME* ca_end = X509_get0_notAfter(ca);
  return ASN1_TIME_compare(X509_get0_notAfter(certificate), ca_end) <= 0 ||
         X509_set1_notAfter(certificate, ca_end) == 1;
}

bool covers_names(X509* certificate, const CertificateRequest& wanted) {
  const auto has_dns = [certificate](const std::string& dns) {
    return X509_check_host(certificate, dns.data(), dns.size(), 0, nullptr) == 1;
  };
  const auto has_ip = [certificate](const std::string& ip) {
    return X509_check_ip_asc(certificate, ip.c_str(), 0) == 1;
  };
  return has_dns(tls_name(wanted.identity.role)) &&
         std::all_of(wanted.dns_names.begin(), wanted.dns_names.end(), has_dns) &&
         std::all_of(wanted.ip_addresses.begin(), wanted.ip_addresses.end(), has_ip);
}

}  // namespace

std::string tls_name(Role role) {
  return std::string(role_name(role)) + ".tarn";
}

Result<CertifiedKey> make_ca(int days) {
  const ErrorScope errors;
  TARN_RETURN_IF_ERROR(check_days(days));
  const Key key(EVP_EC_gen("P-256"));
  const Certificate ca = key ? start_certificate(key.get(), "tarn CA", days) : nullptr;
  if (!ca || X509_set_issuer_name(ca.get(), X509_get_subject_name(ca.get())) != 1 ||
      !add_extensions(ca.get(), ca.get(), kCaExtensions) ||
      X509_sign(ca.get(), key.get(), EVP_sha256()) == 0) {
    return internal_error("OpenSSL cannot make a CA");
  }
  return to_pem(ca, key);
}

Result<CertifiedKey> issue_certificate(const CertifiedKey& ca_pem,
                                       const CertificateRequest& request) {
  const ErrorScope errors;
  TARN_RETURN_IF_ERROR(check_request(request));
  TARN_ASSIGN_OR_RETURN(const Ca ca, read_ca(ca_pem));
  X509* issuer = ca.certificate.get();
  const std::string common_name =
      std::string(role_name(request.identity.role)) + "/" + request.identity.name;
  const Key key(EVP_EC_gen("P-256"));
  const Certificate made = key ? start_certificate(key.get(), common_name, request.days) : nullptr;
  if (!made || X509_set_issuer_name(made.get(), X509_get_subject_name(issuer)) != 1 ||
      !end_with_ca(made.get(), issuer) || !add_extensions(made.get(), issuer, kLeafExtensions) ||
      !add_names(made.get(), request) || X509_sign(made.get(), ca.key.get(), EVP_sha256()) == 0) {
    return internal_error("OpenSSL cannot issue a certificate");
  }
  TARN_DCHECK(X509_verify(made.get(), X509_get0_pubkey(issuer)) == 1);
  return to_pem(made, key);
}

Result<Identity> identity_from_certificate(std::string_view certificate_pem) {
  const ErrorScope errors;
  const Certificate certificate = read_certificate(certificate_pem);
  if (!certificate) return unauthenticated("the peer's certificate is not in PEM");
  const Names names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate.get(), NID_subject_alt_name, nullptr, nullptr)));
  std::optional<std::string> uri;
  const int count = names ? sk_GENERAL_NAME_num(names.get()) : 0;
  for (int i = 0; i < count; ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    const std::string_view text = view_of(name->d.uniformResourceIdentifier);
    if (!text.starts_with("tarn://")) continue;
    if (uri) return unauthenticated("the peer's certificate names two identities");
    uri = text;
  }
  if (!uri) return unauthenticated("the peer's certificate has no tarn://ROLE/NAME");
  auto identity = identity_from_uri(*uri);
  if (!identity) {
    return unauthenticated("the peer's certificate: " + identity.error().message());
  }
  return identity;
}

Result<int64_t> certificate_end_ms(std::string_view certificate_pem) {
  const ErrorScope errors;
  const Certificate certificate = read_certificate(certificate_pem);
  const auto end_ms = certificate ? end_ms_of(certificate.get()) : std::nullopt;
  if (!end_ms) return invalid_argument("not a certificate in PEM");
  return *end_ms;
}

Status check_certificate(const CertifiedKey& have, const CertificateRequest& wanted,
                         const CertificateCheck& check) {
  const ErrorScope errors;
  const Certificate certificate = read_certificate(have.certificate_pem);
  const Certificate ca = read_certificate(check.ca_pem);
  const Key key = read_private_key(have.key_pem);
  if (!certificate || !ca || !key) return invalid_argument("certificate, key or CA is not in PEM");
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return invalid_argument("the key is not the one of the certificate");
  }
  if (X509_verify(certificate.get(), X509_get0_pubkey(ca.get())) != 1) {
    return invalid_argument("the certificate is not signed by the CA");
  }
  const auto identity = identity_from_certificate(have.certificate_pem);
  if (!identity || identity->name != wanted.identity.name ||
      identity->role != wanted.identity.role) {
    return invalid_argument("the certificate names someone else");
  }
  if (!covers_names(certificate.get(), wanted)) {
    return invalid_argument("the certificate does not cover all hosts");
  }
  const auto end_ms = end_ms_of(certificate.get());
  if (!end_ms || *end_ms <= check.until_unix_ms) {
    return invalid_argument("the certificate ends too soon");
  }
  if (begins_after(certificate.get(), check.from_unix_ms)) {
    return invalid_argument("the certificate is not valid yet");
  }
  return Status::ok();
}

}  // namespace tarn::auth
