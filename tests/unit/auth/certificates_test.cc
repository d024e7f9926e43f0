#include "common/auth/certificates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "common/auth/owned.h"
#include "common/base/clock.h"

namespace tarn::auth {
namespace {

using ::testing::HasSubstr;

using Certificate = Owned<X509, X509_free>;
using Store = Owned<X509_STORE, X509_STORE_free>;
using StoreContext = Owned<X509_STORE_CTX, X509_STORE_CTX_free>;
using Bio = Owned<BIO, BIO_free_all>;

constexpr int64_t kDayMs = 86'400'000;

Certificate parse(const std::string& pem) {
  const Bio in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return Certificate(PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr));
}

struct Peer {
  std::string pem;
  std::string host;   // what its certificate must name
  const char* usage;  // "sslserver" or "sslclient"
};

// What a TLS library does with a peer's certificate. Returns "ok" or why not.
std::string verify(const std::string& ca_pem, const Peer& peer) {
  const Certificate ca = parse(ca_pem);
  const Certificate leaf = parse(peer.pem);
  const Store store(X509_STORE_new());
  X509_STORE_add_cert(store.get(), ca.get());
  const StoreContext context(X509_STORE_CTX_new());
  X509_STORE_CTX_init(context.get(), store.get(), leaf.get(), nullptr);
  X509_STORE_CTX_set_default(context.get(), peer.usage);
  X509_VERIFY_PARAM* wanted = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_flags(wanted, X509_V_FLAG_X509_STRICT);
  if (!peer.host.empty()) X509_VERIFY_PARAM_set1_host(wanted, peer.host.data(), peer.host.size());
  X509_verify_cert(context.get());
  const std::string result = X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get()));
  ERR_clear_error();
  return result;
}

Identity identity(Role role, std::string_view name) {
  return make_identity(role, name).value();
}

struct Certificates : testing::Test {
  CertifiedKey ca = make_ca(100).value();
  CertificateRequest request{identity(Role::router, "r1"), {"router.example.com"}, {"10.1.2.3"}};
  CertifiedKey router = issue_certificate(ca, request).value();
};

TEST_F(Certificates, of_every_role_name_it_and_pass_as_both_ends) {
  for (const Identity& who :
       {identity(Role::tenant, "acme"), identity(Role::worker, "acme/w1"),
        identity(Role::server, "s1"), identity(Role::router, "r1"), identity(Role::admin, "ops"),
        identity(Role::tenant, std::string(128, 'x'))}) {
    const CertifiedKey made = issue_certificate(ca, {who, {}, {}}).value();
    EXPECT_EQ(identity_from_certificate(made.certificate_pem).value(), who);
    EXPECT_EQ(verify(ca.certificate_pem, {made.certificate_pem, tls_name(who.role), "sslserver"}),
              "ok");
    EXPECT_EQ(verify(ca.certificate_pem, {made.certificate_pem, "", "sslclient"}), "ok");
    EXPECT_THAT(made.key_pem, HasSubstr("-----BEGIN PRIVATE KEY-----"));
  }
  EXPECT_EQ(ERR_peek_error(), 0u);
}

TEST_F(Certificates, do_not_pass_for_another_role_or_host) {
  const std::string& pem = router.certificate_pem;
  for (const std::string& host :
       {std::string("router.tarn"), std::string("localhost"), std::string("router.example.com")}) {
    EXPECT_EQ(verify(ca.certificate_pem, {pem, host, "sslserver"}), "ok") << host;
  }
  for (const std::string& host :
       {std::string("server.tarn"), std::string("example.com"), std::string("x.router.tarn")}) {
    EXPECT_THAT(verify(ca.certificate_pem, {pem, host, "sslserver"}), HasSubstr("mismatch"));
  }
  const Certificate parsed = parse(pem);
  EXPECT_EQ(X509_check_ip_asc(parsed.get(), "127.0.0.1", 0), 1);
  EXPECT_EQ(X509_check_ip_asc(parsed.get(), "10.1.2.3", 0), 1);
  EXPECT_EQ(X509_check_ip_asc(parsed.get(), "10.1.2.4", 0), 0);
}

TEST_F(Certificates, of_a_foreign_ca_are_not_trusted) {
  const CertifiedKey foreign = make_ca(100).value();
  EXPECT_NE(verify(foreign.certificate_pem, {router.certificate_pem, "", "sslserver"}), "ok");
  EXPECT_THAT(check_certificate(router, request, {foreign.certificate_pem, 0}).message(),
              HasSubstr("not signed by the CA"));
  const CertifiedKey mixed{ca.certificate_pem, foreign.key_pem};
  EXPECT_EQ(issue_certificate(mixed, request).status().code(), Code::invalid_argument);
}

TEST_F(Certificates, cannot_issue_others) {
  const CertifiedKey below =
      issue_certificate(router, {identity(Role::admin, "thief"), {}, {}}).value();
  EXPECT_NE(verify(ca.certificate_pem, {below.certificate_pem, "", "sslclient"}), "ok");
}

TEST_F(Certificates, end_after_their_days_and_never_after_the_ca) {
  const int64_t now_ms = system_clock().unix_ms();
  const int64_t ca_end_ms = certificate_end_ms(ca.certificate_pem).value();
  EXPECT_NEAR(static_cast<double>(ca_end_ms - now_ms), 100.0 * kDayMs, 60'000.0);
  request.days = 10;
  const CertifiedKey brief = issue_certificate(ca, request).value();
  const int64_t end_ms = certificate_end_ms(brief.certificate_pem).value();
  EXPECT_NEAR(static_cast<double>(end_ms - now_ms), 10.0 * kDayMs, 60'000.0);
  EXPECT_EQ(certificate_end_ms(router.certificate_pem).value(), ca_end_ms) << "asked for 365 days";
}

TEST_F(Certificates, are_refused_for_fields_that_are_wrong) {
  const auto refusal = [this](auto change) {
    CertificateRequest wrong = request;
    change(wrong);
    const Status status = issue_certificate(ca, wrong).status();
    EXPECT_EQ(status.code(), Code::invalid_argument);
    return status.message();
  };
  const auto dns = [&](const char* name) {
    return refusal([name](CertificateRequest& r) { r.dns_names = {name}; });
  };
  for (const char* name : {"", "*.example.com", "a b", "-a", "a,URI:tarn://admin/x", "a.",
                           "server.tarn", "Server.TARN", "x.tarn", "tarn"}) {
    EXPECT_THAT(dns(name), HasSubstr("dns_names")) << name;
  }
  for (const char* ip : {"", "10.1.2", "10.1.2.3/8", "host", "10.1.2.3.4"}) {
    EXPECT_THAT(refusal([ip](CertificateRequest& r) { r.ip_addresses = {ip}; }),
                HasSubstr("ip_addresses"));
  }
  EXPECT_THAT(refusal([](CertificateRequest& r) { r.days = 0; }), HasSubstr("days"));
  EXPECT_THAT(refusal([](CertificateRequest& r) { r.days = 1 << 30; }), HasSubstr("days"));
  EXPECT_THAT(refusal([](CertificateRequest& r) { r.identity.name = "A/B"; }), HasSubstr("name"));
  EXPECT_EQ(make_ca(0).status().code(), Code::invalid_argument);
}

TEST_F(Certificates, without_an_identity_name_nobody) {
  EXPECT_EQ(identity_from_certificate(ca.certificate_pem).status().code(), Code::unauthenticated);
  EXPECT_EQ(identity_from_certificate("").status().code(), Code::unauthenticated);
  EXPECT_EQ(identity_from_certificate(router.key_pem).status().code(), Code::unauthenticated);
  EXPECT_EQ(certificate_end_ms("nonsense").status().code(), Code::invalid_argument);
  EXPECT_EQ(ERR_peek_error(), 0u);
}

// A certificate whose SAN is as an attacker with a careless CA might have it.
std::string certificate_with_san(const std::string& san) {
  const Certificate made(X509_new());
  const Owned<EVP_PKEY, EVP_PKEY_free> key(EVP_EC_gen("P-256"));
  X509_set_pubkey(made.get(), key.get());
  X509_gmtime_adj(X509_getm_notBefore(made.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(made.get()), 3600);
  const Owned<X509_EXTENSION, X509_EXTENSION_free> extension(
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, san.c_str()));
  if (extension) X509_add_ext(made.get(), extension.get(), -1);
  X509_sign(made.get(), key.get(), EVP_sha256());
  const Bio out(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(out.get(), made.get());
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return {data, static_cast<size_t>(size)};
}

TEST_F(Certificates, with_odd_names_name_nobody) {
  EXPECT_EQ(identity_from_certificate(
                certificate_with_san("URI:https://example.com,URI:tarn://tenant/acme"))
                .value()
                .tenant,
            "acme");
  for (const std::string san : {"URI:tarn://tenant/a,URI:tarn://admin/b", "URI:tarn://root/a",
                                "URI:tarn://tenant/", "DNS:tarn", "URI:https://example.com"}) {
    EXPECT_EQ(identity_from_certificate(certificate_with_san(san)).status().code(),
              Code::unauthenticated)
        << san;
  }
}

TEST_F(Certificates, with_any_byte_of_the_pem_changed_never_pass) {
  const std::string& pem = router.certificate_pem;
  for (size_t i = 0; i < pem.size(); i += 3) {
    std::string bad = pem;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    const CertifiedKey changed{bad, router.key_pem};
    (void)identity_from_certificate(bad);
    const bool is_same = parse(bad) != nullptr && X509_cmp(parse(bad).get(), parse(pem).get()) == 0;
    if (!is_same) {
      EXPECT_FALSE(check_certificate(changed, request, {ca.certificate_pem, 0}).is_ok()) << i;
    }
    ERR_clear_error();
  }
  for (size_t size = 0; size < pem.size() - 2; size += 5) {
    EXPECT_FALSE(identity_from_certificate(pem.substr(0, size)).has_value());
  }
}

TEST_F(Certificates, are_checked_against_what_is_wanted) {
  const CertificateCheck now{ca.certificate_pem, system_clock().unix_ms()};
  EXPECT_TRUE(check_certificate(router, request, now).is_ok());

  const CertifiedKey other = issue_certificate(ca, request).value();
  EXPECT_THAT(check_certificate({router.certificate_pem, other.key_pem}, request, now).message(),
              HasSubstr("the key is not"));
  const CertificateRequest renamed{identity(Role::router, "r2"), {}, {}};
  EXPECT_THAT(check_certificate(router, renamed, now).message(), HasSubstr("someone else"));
  CertificateRequest moved = request;
  moved.ip_addresses.push_back("10.9.9.9");
  EXPECT_THAT(check_certificate(router, moved, now).message(), HasSubstr("hosts"));
  const CertificateCheck later{ca.certificate_pem, now.until_unix_ms + 101 * kDayMs};
  EXPECT_THAT(check_certificate(router, request, later).message(), HasSubstr("too soon"));
  EXPECT_FALSE(check_certificate({}, request, now).is_ok());
}

}  // namespace
}  // namespace tarn::auth
