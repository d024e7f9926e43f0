#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/auth/secret_file.h"
#include "tests/unit/auth/odd_certificate.h"
#include "tests/unit/rpc/who_am_i.h"

namespace tarn::rpc {
namespace {

TEST_F(Credentials, a_certificate_says_who_calls) {
  start(material_of(auth::Role::server, "s1"));
  const auto name = ask(auth::Role::server, material_of(auth::Role::router, "r1"));
  ASSERT_TRUE(name.has_value()) << name.error().to_string();
  EXPECT_EQ(*name, "tarn://router/r1");
}

TEST_F(Credentials, a_token_says_who_calls_where_there_is_no_certificate) {
  start(material_of(auth::Role::server, "s1"));
  const auto name = ask(auth::Role::server, token_of("acme", 60'000));
  ASSERT_TRUE(name.has_value()) << name.error().to_string();
  EXPECT_EQ(*name, "tarn://tenant/acme");
}

TEST_F(Credentials, an_expired_token_and_no_credential_are_refused) {
  start(material_of(auth::Role::server, "s1"));
  EXPECT_EQ(ask(auth::Role::server, token_of("acme", -3'600'000)).error().code(),
            Code::unauthenticated);
  TlsMaterial nobody;
  nobody.ca_pem = s_secrets->ca_pem().value();
  EXPECT_EQ(ask(auth::Role::server, nobody).error().code(), Code::unauthenticated);
}

TEST_F(Credentials, a_server_of_another_role_or_another_ca_is_not_trusted) {
  start(material_of(auth::Role::server, "s1"));
  // It proves to be a server; the caller wants a router.
  EXPECT_FALSE(ask(auth::Role::router, token_of("acme", 60'000)).has_value());
  TlsMaterial foreign = token_of("acme", 60'000);
  const std::string folder = s_folder + "_foreign";
  foreign.ca_pem = auth::SecretsDir::create_all(folder, {}).value().ca_pem().value();
  EXPECT_FALSE(ask(auth::Role::server, foreign).has_value());
  std::filesystem::remove_all(folder);
}

TEST_F(Credentials, plain_loopback_takes_tokens_only_where_it_was_allowed) {
  TlsMaterial plain;
  plain.insecure_loopback = true;
  start(plain);
  TlsMaterial with_token = plain;
  with_token.token = token_of("acme", 60'000).token;
  const auto name = ask(auth::Role::server, with_token);
  ASSERT_TRUE(name.has_value()) << name.error().to_string();
  EXPECT_EQ(*name, "tarn://tenant/acme");
  EXPECT_EQ(ask(auth::Role::server, plain).error().code(), Code::unauthenticated);
}

// The CA of the folder, to sign what `tarn certs` would not.
auth::CertifiedKey ca_of(const std::string& folder) {
  return {auth::read_secret_file(folder + "/ca.pem", auth::Privacy::anyone).value(),
          auth::read_secret_file(folder + "/ca.key", auth::Privacy::owner).value()};
}

class OddPeers : public Credentials {
 protected:
  TlsMaterial odd(const std::string& names, long begins_in_s, long ends_in_s) {
    return with(auth::make_odd({names, begins_in_s, ends_in_s, &x_ca}));
  }
  TlsMaterial with(const auth::CertifiedKey& pair) {
    TlsMaterial material;
    material.ca_pem = x_ca.certificate_pem;
    material.certificate_pem = pair.certificate_pem;
    material.key_pem = pair.key_pem;
    return material;
  }

  auth::CertifiedKey x_ca = ca_of(s_folder);
};

constexpr const char* kRouter = "URI:tarn://router/r1,DNS:router.tarn";
constexpr const char* kServer = "URI:tarn://server/s1,DNS:server.tarn,DNS:localhost";

TEST_F(OddPeers, whose_certificate_is_over_or_has_not_begun_are_not_let_in) {
  start(material_of(auth::Role::server, "s1"));
  EXPECT_EQ(ask(auth::Role::server, odd(kRouter, -10, 3600)).value(), "tarn://router/r1");
  for (const auto& [begins, ends] : {std::pair<long, long>{-7200, -10}, {3600, 7200}}) {
    const auto refused = ask(auth::Role::server, odd(kRouter, begins, ends));
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code(), Code::unavailable) << refused.error().to_string();
  }
}

TEST_F(OddPeers, of_another_ca_are_not_let_in) {
  start(material_of(auth::Role::server, "s1"));
  const auth::CertifiedKey foreign = auth::make_ca(10).value();
  EXPECT_FALSE(
      ask(auth::Role::server, with(auth::make_odd({kRouter, -10, 3600, &foreign}))).has_value());
  EXPECT_FALSE(
      ask(auth::Role::server, with(auth::make_odd({kRouter, -10, 3600, nullptr}))).has_value());
}

TEST_F(OddPeers, that_serve_with_an_expired_certificate_are_not_trusted) {
  start(odd(kServer, -7200, -10));
  EXPECT_FALSE(ask(auth::Role::server, token_of("acme", 60'000)).has_value());
}

TEST_F(OddPeers, without_a_name_of_ours_are_nobody_until_they_show_a_token) {
  start(material_of(auth::Role::server, "s1"));
  TlsMaterial nameless = odd("DNS:localhost", -10, 3600);
  EXPECT_EQ(ask(auth::Role::server, nameless).error(),
            unauthenticated("show a client certificate or a token (authorization: Bearer ...)"));
  nameless.token = token_of("acme", 60'000).token;
  EXPECT_EQ(ask(auth::Role::server, nameless).value(), "tarn://tenant/acme");
}

// Who holds both is what its certificate says: a stolen token adds nothing to it.
TEST_F(OddPeers, that_show_a_certificate_and_a_token_are_what_the_certificate_says) {
  start(material_of(auth::Role::server, "s1"));
  TlsMaterial both = odd(kRouter, -10, 3600);
  both.token = token_of("acme", 60'000).token;
  EXPECT_EQ(ask(auth::Role::server, both).value(), "tarn://router/r1");
}

TEST_F(OddPeers, with_tokens_that_do_not_hold_are_told_why) {
  start(material_of(auth::Role::server, "s1"));
  const TlsMaterial good = token_of("acme", 60'000);
  const auto why = [&](const std::string& token) {
    TlsMaterial material = good;
    material.token = token;
    const auto answer = ask(auth::Role::server, material);
    return answer ? "accepted" : answer.error().to_string();
  };
  EXPECT_EQ(why(good.token), "accepted");
  EXPECT_THAT(why("tarn1.x.y"), testing::HasSubstr("unauthenticated: the token is malformed"));
  std::string forged = good.token;
  forged[forged.size() - 5] = forged[forged.size() - 5] == 'A' ? 'B' : 'A';
  EXPECT_EQ(why(forged), "unauthenticated: the token has a bad signature");
  const auth::TokenKeys foreign = auth::make_token_keys().value();
  const auto stranger = auth::TokenSigner::open(foreign.private_pem).value();
  EXPECT_EQ(why(stranger.sign(identity(auth::Role::admin, "root"), INT64_MAX).value()),
            "unauthenticated: the token is of a key that is not known here");
  EXPECT_EQ(why(token_of("acme", -20'000).token), "accepted") << "clocks may differ by 30 s";
  EXPECT_EQ(why(token_of("acme", -31'000).token), "unauthenticated: the token has expired");
}

TEST_F(OddPeers, that_speak_plain_tcp_to_tls_get_nothing) {
  start(material_of(auth::Role::server, "s1"));
  TlsMaterial plain;
  plain.insecure_loopback = true;
  plain.token = token_of("acme", 60'000).token;
  EXPECT_EQ(ask(auth::Role::server, plain).error().code(), Code::unavailable);
}

}  // namespace
}  // namespace tarn::rpc
