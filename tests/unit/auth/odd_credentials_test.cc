#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <regex>

#include "common/auth/base64url.h"
#include "common/auth/fields.h"
#include "common/auth/ticket.h"
#include "common/auth/token.h"
#include "common/base/ids.h"
#include "tests/unit/auth/odd_certificate.h"

// Credentials whose seal is right and whose content is not, or is another's.
namespace tarn::auth {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kNowMs = 1'800'000'000'000;

// Signs any payload at all with a key of our own.
class OddTokens : public testing::Test {
 protected:
  std::string token(const std::string& payload) const {
    std::string text = "tarn1." + to_base64url(payload);
    const odd::Key key(
        PEM_read_bio_PrivateKey(odd::reader(x_keys.private_pem).get(), nullptr, nullptr, nullptr));
    const Owned<EVP_MD_CTX, EVP_MD_CTX_free> digest(EVP_MD_CTX_new());
    unsigned char signature[64];
    size_t size = sizeof(signature);
    EVP_DigestSignInit(digest.get(), nullptr, nullptr, nullptr, key.get());
    EVP_DigestSign(digest.get(), signature, &size,
                   reinterpret_cast<const unsigned char*>(text.data()), text.size());
    return text + "." + to_base64url({reinterpret_cast<const char*>(signature), size});
  }

  struct Payload {
    uint8_t version = 1;
    uint8_t role = 1;
    std::string name = "acme";
    int64_t expires_ms = kNowMs + 1;
    std::string key_id = "";
    std::string token_id = std::string(16, 'i');
  };
  std::string token(Payload from) const {
    FieldWriter out;
    out.put(from.version);
    out.put(from.role);
    out.put_text(from.name);
    out.put(from.expires_ms);
    out.put_text(from.key_id.empty() ? token_key_id(x_keys.public_pem).value() : from.key_id);
    out.put_bytes(from.token_id);
    return token(out.take());
  }
  std::string why(const std::string& text, int64_t now_ms = kNowMs, int64_t skew_ms = 0) const {
    const auto who = x_verifier.verify(text, now_ms, skew_ms);
    return who ? "accepted" : who.error().message();
  }

  TokenKeys x_keys = make_token_keys().value();
  TokenVerifier x_verifier = TokenVerifier::open(std::vector{x_keys.public_pem}).value();
};

TEST_F(OddTokens, are_malformed_in_every_field_although_well_signed) {
  EXPECT_EQ(why(token(Payload{})), "accepted");
  const std::string malformed = "the token is malformed";
  EXPECT_EQ(why(token(Payload{.version = 0})), malformed);
  EXPECT_EQ(why(token(Payload{.version = 2})), malformed) << "from a newer Tarn";
  EXPECT_EQ(why(token(Payload{.role = 0})), malformed);
  EXPECT_EQ(why(token(Payload{.role = 6})), malformed);
  EXPECT_EQ(why(token(Payload{.expires_ms = -1})), malformed);
  EXPECT_EQ(why(token(Payload{.token_id = std::string(15, 'i')})), malformed);
  EXPECT_EQ(why(token(Payload{.token_id = std::string(17, 'i')})), malformed);
  for (const std::string name : {"Acme", "a/b", "..", "acme\n", " acme"})
    EXPECT_THAT(why(token(Payload{.name = name})), HasSubstr(malformed + ": a tenant's name is"));
  EXPECT_THAT(why(token(Payload{.role = 2, .name = "no-slash"})), HasSubstr("TENANT/WORKER"));
  EXPECT_EQ(why(token(Payload{.key_id = "0123456789abcdef"})),
            "the token is of a key that is not known here");
}

TEST_F(OddTokens, end_to_the_millisecond_and_at_the_edges_of_time) {
  const std::string now = token(Payload{.expires_ms = kNowMs});
  EXPECT_EQ(why(now, kNowMs - 1), "accepted");
  EXPECT_EQ(why(now, kNowMs), "the token has expired");
  EXPECT_EQ(why(now, kNowMs + 29'999, 30'000), "accepted");
  EXPECT_EQ(why(now, kNowMs + 30'000, 30'000), "the token has expired");
  EXPECT_EQ(why(now, kNowMs - 1, -30'000), "accepted") << "a skew never shortens a life";
  EXPECT_EQ(why(now, kNowMs, INT64_MIN), "the token has expired");
  EXPECT_EQ(why(now, INT64_MAX, INT64_MAX), "accepted") << "the sum is past the end of time";
  EXPECT_EQ(why(token(Payload{.expires_ms = 0}), 0), "the token has expired");
  EXPECT_EQ(why(token(Payload{.expires_ms = INT64_MAX}), INT64_MAX - 1), "accepted");
  EXPECT_EQ(why(now, INT64_MIN), "accepted") << "a clock before 1970 is behind, not broken";
}

TEST_F(OddTokens, have_one_encoding) {
  const std::string good = token(Payload{});
  EXPECT_EQ(why(good), "accepted");
  const size_t dot = good.rfind('.');
  for (const std::string& other :
       {good + "=", " " + good, good + "\n", "TARN1." + good.substr(6), "tarn2." + good.substr(6),
        good.substr(0, dot) + "=" + good.substr(dot), good.substr(0, dot) + "." + good.substr(dot),
        good + "." + good.substr(dot + 1)}) {
    EXPECT_NE(why(other), "accepted") << other;
  }
}

TEST_F(OddTokens, of_random_payloads_never_name_anyone_else) {
  std::mt19937 random(20261122);
  FieldWriter out;
  const std::string good = token(Payload{});
  const size_t dot = good.find('.', 6);
  const std::string payload = *from_base64url(good.substr(6, dot - 6));
  for (int i = 0; i < 300; ++i) {
    std::string changed = payload;
    changed[random() % changed.size()] = static_cast<char>(random());
    const auto who = x_verifier.verify(token(changed), kNowMs, 0);
    if (!who) continue;
    EXPECT_EQ(make_identity(who->role, who->name).value(), *who) << "the tenant fits the name";
  }
}

Ticket ticket_of(Role role, const std::string& name) {
  Ticket ticket;
  ticket.holder = make_identity(role, name).value();
  ticket.rights = right::kRead;
  ticket.issued_ms = kNowMs;
  ticket.expires_ms = kNowMs + 1000;
  return ticket;
}

class Tickets : public testing::Test {
 protected:
  std::string why(const std::string& bytes, const TicketRules& rules) const {
    const auto ticket = open_ticket(bytes, rules);
    return ticket ? "accepted" : ticket.error().message();
  }

  std::vector<TicketKey> x_keys{make_ticket_key(1, 0).value()};
  TicketRules x_rules{x_keys, kNowMs, 0, {}};
};

TEST_F(Tickets, of_one_tenant_say_nothing_about_another) {
  const SealedTicket acme = seal_ticket(ticket_of(Role::tenant, "acme"), x_keys[0]).value();
  const SealedTicket other = seal_ticket(ticket_of(Role::tenant, "emca"), x_keys[0]).value();
  const std::string body = acme.bytes.substr(0, acme.bytes.size() - kMacBytes);
  const std::string seal = other.bytes.substr(other.bytes.size() - kMacBytes);
  EXPECT_EQ(why(body + seal, x_rules), "the ticket is forged or damaged");
  EXPECT_NE(client_key(acme.bytes, x_keys).value(), client_key(other.bytes, x_keys).value());
  EXPECT_EQ(open_ticket(other.bytes, x_rules)->holder.tenant, "emca");
}

TEST_F(Tickets, of_a_worker_are_revoked_with_its_tenant_and_those_of_servers_with_none) {
  x_rules.revocation_of = [](std::string_view tenant) { return tenant == "acme" ? 1u : 0u; };
  const auto outcome = [&](Role role, const std::string& name) {
    return why(seal_ticket(ticket_of(role, name), x_keys[0]).value().bytes, x_rules);
  };
  const std::string revoked = "the ticket has been revoked; get a new one from a router";
  EXPECT_EQ(outcome(Role::tenant, "acme"), revoked);
  EXPECT_EQ(outcome(Role::worker, "acme/w1"), revoked);
  EXPECT_EQ(outcome(Role::worker, "acme2/w1"), "accepted");
  EXPECT_EQ(outcome(Role::server, "acme"), "accepted") << "a server has no tenant";
  EXPECT_EQ(outcome(Role::router, "acme"), "accepted");
}

TEST_F(Tickets, sealed_anew_for_the_same_holder_differ_in_id_and_key) {
  const SealedTicket a = seal_ticket(ticket_of(Role::tenant, "acme"), x_keys[0]).value();
  const SealedTicket b = seal_ticket(ticket_of(Role::tenant, "acme"), x_keys[0]).value();
  EXPECT_NE(open_ticket(a.bytes, x_rules)->id, open_ticket(b.bytes, x_rules)->id);
  EXPECT_NE(a.client_key, b.client_key);
}

TEST_F(Tickets, hold_for_as_long_as_key_and_ticket_both_do) {
  x_keys[0].not_after_ms = kNowMs + 500;
  const std::string bytes = seal_ticket(ticket_of(Role::tenant, "acme"), x_keys[0])->bytes;
  const struct {
    int64_t after_ms, grace_ms;
    const char* outcome;
  } rows[] = {
      {499, 0, "accepted"},
      {500, 0, "the ticket is of a key that has ended; get a new one from a router"},
      {500, 1, "accepted"},
      {999, 500, "accepted"},
      {1000, 501, "accepted"},
      {1000, 500, "the ticket is of a key that has ended; get a new one from a router"},
      {-1'000'000, 0, "accepted"},  // a server whose clock is behind the router's
  };
  for (const auto& row : rows) {
    x_rules.now_ms = kNowMs + row.after_ms;
    x_rules.grace_ms = row.grace_ms;
    EXPECT_EQ(why(bytes, x_rules), row.outcome) << row.after_ms << " grace " << row.grace_ms;
  }
}

// Names as the page states them, by a regular expression.
TEST(Identity, takes_exactly_the_names_of_its_rule) {
  const std::regex word("[a-z0-9][a-z0-9._-]*");
  const std::regex two_words("[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]*");
  std::mt19937 random(20261122);
  constexpr std::string_view kCharacters = "az09._-/AZ @\n";
  int good = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string name(random() % 8, ' ');
    if (i % 50 == 0) name.resize(124 + random() % 8);
    for (char& c : name)
      c = kCharacters[random() % (random() % 10 == 0 ? kCharacters.size() : 8)];
    if (i % 50 == 0) std::fill(name.begin(), name.end(), 'x');
    const bool fits = name.size() <= 128;
    EXPECT_EQ(make_identity(Role::tenant, name).has_value(), fits && std::regex_match(name, word));
    const auto worker = make_identity(Role::worker, name);
    EXPECT_EQ(worker.has_value(), fits && std::regex_match(name, two_words)) << name;
    if (!worker) continue;
    ++good;
    EXPECT_EQ(worker->tenant, name.substr(0, name.find('/')));
    EXPECT_EQ(identity_from_uri(identity_uri(*worker)).value(), *worker);
  }
  EXPECT_GT(good, 100);
}

}  // namespace
}  // namespace tarn::auth
