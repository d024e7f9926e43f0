#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "common/auth/base64url.h"
#include "common/auth/ticket.h"
#include "common/auth/token.h"
#include "common/base/ids.h"

// Credentials that another version of Tarn made, by Python's hmac and cryptography from what the
// headers state: where one of these fails, a rolling upgrade locks its clients out.
namespace tarn::auth {
namespace {

constexpr int64_t kIssuedMs = 1'800'000'000'000;
constexpr int64_t kExpiresMs = kIssuedMs + 600'000;

constexpr std::string_view kTicketHex =
    "0105000000020761636d652f77310300000000000040000000008813000000000000"
    "090000000000000000505c18a3010000c0776518a3010000"
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    "020101010101010101010101010101010102020202020202020202020202020202"
    "eaebfcf6026eba2458c14bb85667c1ea46d987366827fa502026cc5b6077a97b";
constexpr std::string_view kClientKeyHex =
    "b131ff044832c4c35cd0872607181ec9f56c1cc13bf1eaa3e321d70c65f0f182";

std::vector<TicketKey> ticket_keys() {
  TicketKey key{5, "", 0};
  for (size_t i = 0; i < kTicketSecretBytes; ++i)
    key.secret += static_cast<char>(i);
  return {key};
}

TEST(Golden, a_ticket_opens_to_every_field_that_was_sealed) {
  const auto keys = ticket_keys();
  const Ticket ticket = open_ticket(from_hex(kTicketHex), {keys, kIssuedMs, 0, {}}).value();
  EXPECT_EQ(ticket.holder, make_identity(Role::worker, "acme/w1").value());
  EXPECT_EQ(ticket.rights, right::kRead | right::kWrite);
  EXPECT_EQ(ticket.byte_rate, 1u << 30);
  EXPECT_EQ(ticket.op_rate, 5000u);
  EXPECT_EQ(ticket.revocation, 9u);
  EXPECT_EQ(ticket.issued_ms, kIssuedMs);
  EXPECT_EQ(ticket.expires_ms, kExpiresMs);
  EXPECT_EQ(ticket.id[15], 0xaa);
  ASSERT_EQ(ticket.spaces.size(), 2u);
  EXPECT_EQ(to_hex(ticket.spaces[0]), std::string(32, '0').replace(0, 32,
                                                                   "0101010101010101"
                                                                   "0101010101010101"));
}

TEST(Golden, a_client_key_and_the_tags_under_it_keep_their_bytes) {
  const std::string key = client_key(from_hex(kTicketHex), ticket_keys()).value();
  EXPECT_EQ(to_hex(key), kClientKeyHex);
  ConnectionBinding binding{Incarnation{0x1122334455667788}, {}};
  for (uint8_t i = 0; i < 16; ++i)
    binding.nonce[i] = i;
  RequestMac mac = RequestMac::open(key, binding).value();
  const RequestTag tag = mac.compute((uint64_t{3} << 48) + 41, "header");
  EXPECT_EQ(to_hex({reinterpret_cast<const char*>(tag.data()), tag.size()}),
            "965e87f1dca83977a3ff9e3cd6ba0270");
}

constexpr std::string_view kTokenPublicPem =
    "-----BEGIN PUBLIC KEY-----\n"
    "MCowBQYDK2VwAyEAA6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=\n"
    "-----END PUBLIC KEY-----\n";
constexpr std::string_view kToken =
    "tarn1.AQEEYWNtZQBQXBijAQAAEDU2NDc1YWE3NTQ2MzQ3NGO7u7u7u7u7u7u7u7u7u7u7."
    "Bxf72IbEOMvgme0VDeHuPhz0-FLq7dwReKdEJPMwDK6bBwkBBBC_vNfGPC33sAXTHR5Y60I2cvZ5exGMYalvBw";

TEST(Golden, a_token_is_verified_by_the_public_key_of_its_id) {
  EXPECT_EQ(token_key_id(kTokenPublicPem).value(), "56475aa75463474c");
  const TokenVerifier verifier =
      TokenVerifier::open(std::vector{std::string(kTokenPublicPem)}).value();
  const Identity acme = make_identity(Role::tenant, "acme").value();
  EXPECT_EQ(verifier.verify(kToken, kIssuedMs - 1, 0).value(), acme);
  EXPECT_EQ(verifier.verify(kToken, kIssuedMs, 0).error(),
            unauthenticated("the token has expired"));
  EXPECT_EQ(identity_of_own_token(kToken).value(), acme);
}

// RFC 4648, section 10, without the padding.
TEST(Golden, base64url_gives_the_published_vectors) {
  const std::pair<const char*, const char*> vectors[] = {
      {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},         {"foo", "Zm9v"},
      {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : vectors) {
    EXPECT_EQ(to_base64url(bytes), text);
    EXPECT_EQ(from_base64url(text), bytes);
  }
}

// A second text for the same bytes would let a token be changed without being noticed.
TEST(Base64Url, has_one_text_for_each_string_of_bytes) {
  std::mt19937 random(9);
  constexpr std::string_view kSome = "AQgwZz09-_=+/ \n";
  int decoded = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string text(random() % 7, ' ');
    for (char& c : text)
      c = kSome[random() % (random() % 8 == 0 ? kSome.size() : 10)];
    const auto bytes = from_base64url(text);
    if (!bytes) continue;
    ++decoded;
    ASSERT_EQ(to_base64url(*bytes), text);
  }
  EXPECT_GT(decoded, 3000);
}

}  // namespace
}  // namespace tarn::auth
