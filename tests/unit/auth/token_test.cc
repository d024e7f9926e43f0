#include "common/auth/token.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/err.h>

#include <vector>

#include "common/auth/base64url.h"
#include "common/base/fault_point.h"

namespace tarn::auth {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kNowMs = 1'800'000'000'000;
constexpr int64_t kHourMs = 3'600'000;

struct Fixture : testing::Test {
  TokenKeys keys = make_token_keys().value();
  TokenSigner signer = TokenSigner::open(keys.private_pem).value();
  TokenVerifier verifier = TokenVerifier::open(std::vector{keys.public_pem}).value();
  Identity worker = make_identity(Role::worker, "acme/w1").value();
  std::string token = signer.sign(worker, kNowMs + kHourMs).value();

  std::string why(const std::string& text, int64_t now_ms = kNowMs, int64_t skew_ms = 0) const {
    const auto identity = verifier.verify(text, now_ms, skew_ms);
    if (identity) return "accepted";
    EXPECT_EQ(identity.error().code(), Code::unauthenticated);
    EXPECT_EQ(ERR_peek_error(), 0u) << "left an error for the next TLS call of this thread";
    return identity.error().message();
  }
};

using Token = Fixture;

TEST_F(Token, names_the_identity_that_it_was_signed_for) {
  EXPECT_EQ(verifier.verify(token, kNowMs, 0).value(), worker);
  EXPECT_TRUE(token.starts_with("tarn1."));
  EXPECT_LE(token.size(), kTokenBytesMax);
  EXPECT_NE(token, signer.sign(worker, kNowMs + kHourMs).value()) << "the token id differs";
  const Identity longest = make_identity(Role::tenant, std::string(128, 'x')).value();
  EXPECT_EQ(verifier.verify(signer.sign(longest, INT64_MAX).value(), kNowMs, 5000).value(),
            longest);
}

TEST_F(Token, tells_its_holder_who_he_is) {
  EXPECT_EQ(identity_of_own_token(token).value(), worker);
  EXPECT_EQ(identity_of_own_token("tarn1.x").error().code(), Code::unauthenticated);
}

TEST_F(Token, expires_with_the_skew_allowed) {
  EXPECT_EQ(why(token, kNowMs + kHourMs - 1), "accepted");
  EXPECT_THAT(why(token, kNowMs + kHourMs), HasSubstr("expired"));
  EXPECT_EQ(why(token, kNowMs + kHourMs + 4999, 5000), "accepted");
  EXPECT_THAT(why(token, kNowMs + kHourMs + 5000, 5000), HasSubstr("expired"));
}

TEST_F(Token, of_a_foreign_signer_is_refused) {
  const TokenKeys other = make_token_keys().value();
  const TokenSigner stranger = TokenSigner::open(other.private_pem).value();
  EXPECT_THAT(why(stranger.sign(worker, kNowMs + kHourMs).value()), HasSubstr("not known"));
  EXPECT_NE(stranger.key_id(), signer.key_id());
  EXPECT_EQ(token_key_id(other.public_pem).value(), stranger.key_id());
}

TEST_F(Token, of_old_and_new_keys_are_accepted_while_keys_rotate) {
  const TokenKeys next = make_token_keys().value();
  const TokenSigner next_signer = TokenSigner::open(next.private_pem).value();
  const std::vector<std::string> one_file{keys.public_pem + next.public_pem};
  const TokenVerifier both = TokenVerifier::open(one_file).value();
  EXPECT_TRUE(both.verify(token, kNowMs, 0).has_value());
  EXPECT_TRUE(both.verify(next_signer.sign(worker, kNowMs + 1).value(), kNowMs, 0).has_value());
}

TEST_F(Token, with_any_byte_changed_is_refused) {
  for (size_t i = 0; i < token.size(); ++i) {
    for (const int flip : {1, 2, 4, 0x20, 0x80, 0xff}) {
      std::string bad = token;
      bad[i] = static_cast<char>(bad[i] ^ flip);
      EXPECT_NE(why(bad), "accepted") << "byte " << i << " ^ " << flip;
    }
  }
}

TEST_F(Token, with_the_payload_of_another_has_a_bad_signature) {
  const std::string other = signer.sign(worker, kNowMs + 2 * kHourMs).value();
  const std::string mixed = other.substr(0, other.rfind('.')) + token.substr(token.rfind('.'));
  EXPECT_THAT(why(mixed), HasSubstr("bad signature"));
}

TEST_F(Token, cut_or_prolonged_is_refused) {
  for (size_t size = 0; size < token.size(); ++size) {
    EXPECT_NE(why(token.substr(0, size)), "accepted") << size;
  }
  for (const char tail : {'A', '=', '.', '\n', ' ', '\0'}) {
    EXPECT_NE(why(token + tail), "accepted") << int{tail};
  }
  EXPECT_THAT(why(token + std::string(2000, 'A')), HasSubstr("malformed"));
  EXPECT_THAT(why("tarn1..."), HasSubstr("malformed"));
}

TEST_F(Token, is_not_signed_for_what_is_no_identity) {
  EXPECT_EQ(signer.sign({Role::tenant, "No Name", ""}, kNowMs).status().code(),
            Code::invalid_argument);
  EXPECT_EQ(signer.sign(worker, -1).status().code(), Code::invalid_argument);
}

TEST_F(Token, keys_of_another_kind_are_refused) {
  for (const std::string& pem : {std::string(), std::string("nonsense"), keys.public_pem,
                                 keys.private_pem.substr(0, keys.private_pem.size() / 2)}) {
    EXPECT_EQ(TokenSigner::open(pem).status().code(), Code::invalid_argument);
  }
  EXPECT_EQ(TokenVerifier::open({}).status().code(), Code::invalid_argument);
  const std::vector<std::string> bad{keys.public_pem + "nonsense"};
  EXPECT_EQ(TokenVerifier::open(bad).status().code(), Code::invalid_argument);
  EXPECT_EQ(token_key_id("nonsense").status().code(), Code::invalid_argument);
  EXPECT_EQ(ERR_peek_error(), 0u);
}

TEST_F(Token, is_refused_while_the_fault_point_is_armed) {
  fault::arm("auth.token_verify", {});
  EXPECT_NE(why(token), "accepted");
  EXPECT_EQ(why(token), "accepted");
  fault::disarm_all();
}

}  // namespace
}  // namespace tarn::auth
