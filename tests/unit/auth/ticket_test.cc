#include "common/auth/ticket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <set>

#include "common/base/fault_point.h"

namespace tarn::auth {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kNowMs = 1'800'000'000'000;
constexpr int64_t kLifeMs = 600'000;

SpaceId space(uint8_t n) {
  SpaceId id;
  id.bytes.fill(n);
  return id;
}

Ticket example() {
  Ticket ticket;
  ticket.holder = make_identity(Role::worker, "acme/w1").value();
  ticket.rights = right::kRead | right::kWrite;
  ticket.spaces = {space(1), space(2)};
  ticket.byte_rate = 1u << 30;
  ticket.op_rate = 5000;
  ticket.revocation = 3;
  ticket.issued_ms = kNowMs;
  ticket.expires_ms = kNowMs + kLifeMs;
  return ticket;
}

struct Fixture : testing::Test {
  std::vector<TicketKey> keys{make_ticket_key(6, 0).value(),
                              make_ticket_key(7, kNowMs + 2 * kLifeMs).value()};
  TicketRules rules{keys, kNowMs, 0, {}};
  SealedTicket sealed = seal_ticket(example(), keys[1]).value();

  std::string why(std::string_view bytes) const {
    const auto ticket = open_ticket(bytes, rules);
    if (ticket) return "accepted";
    EXPECT_EQ(ticket.error().code(), Code::unauthenticated);
    return ticket.error().message();
  }
};

using TicketTest = Fixture;

TEST_F(TicketTest, opens_as_it_was_sealed) {
  const Ticket opened = open_ticket(sealed.bytes, rules).value();
  Ticket expected = example();
  expected.id = opened.id;
  EXPECT_EQ(opened, expected);
  EXPECT_NE(opened.id, example().id);
  EXPECT_EQ(opened.holder.tenant, "acme");
  EXPECT_LE(sealed.bytes.size(), kTicketBytesMax);
}

TEST_F(TicketTest, fits_its_limit_when_it_is_as_large_as_can_be) {
  Ticket large = example();
  large.holder = make_identity(Role::tenant, std::string(128, 'x')).value();
  large.spaces.assign(kTicketSpacesMax, space(9));
  large.rights = right::kAll;
  const SealedTicket whole = seal_ticket(large, keys[0]).value();
  EXPECT_LE(whole.bytes.size(), kTicketBytesMax);
  EXPECT_EQ(open_ticket(whole.bytes, rules).value().spaces.size(), kTicketSpacesMax);
}

TEST_F(TicketTest, allows_what_it_names) {
  Ticket ticket = example();
  EXPECT_TRUE(ticket.allows(right::kRead));
  EXPECT_TRUE(ticket.allows(right::kRead | right::kWrite));
  EXPECT_FALSE(ticket.allows(right::kRead | right::kReplicate));
  EXPECT_TRUE(ticket.allows_space(space(2)));
  EXPECT_FALSE(ticket.allows_space(space(3)));
  ticket.spaces.clear();
  EXPECT_TRUE(ticket.allows_space(space(3)));
}

TEST_F(TicketTest, expires_after_the_grace) {
  rules.now_ms = kNowMs + kLifeMs - 1;
  EXPECT_EQ(why(sealed.bytes), "accepted");
  rules.now_ms = kNowMs + kLifeMs;
  EXPECT_THAT(why(sealed.bytes), HasSubstr("has expired"));
  rules.grace_ms = 1000;
  EXPECT_EQ(why(sealed.bytes), "accepted");
  rules.now_ms += 1000;
  EXPECT_THAT(why(sealed.bytes), HasSubstr("has expired"));
  rules.grace_ms = INT64_MIN;
  EXPECT_THAT(why(sealed.bytes), HasSubstr("has expired"));
  rules.grace_ms = INT64_MAX;
  EXPECT_EQ(why(sealed.bytes), "accepted");
}

TEST_F(TicketTest, ends_with_its_key) {
  keys[1].not_after_ms = kNowMs;
  EXPECT_THAT(why(sealed.bytes), HasSubstr("key that has ended"));
  rules.grace_ms = 1;
  EXPECT_EQ(why(sealed.bytes), "accepted");
}

TEST_F(TicketTest, of_an_unknown_or_foreign_key_is_refused) {
  rules.keys = std::span(keys).first(1);
  EXPECT_THAT(why(sealed.bytes), HasSubstr("does not know"));
  const std::vector<TicketKey> foreign{make_ticket_key(7, 0).value()};
  rules.keys = foreign;
  EXPECT_THAT(why(sealed.bytes), HasSubstr("forged"));
  const std::vector<TicketKey> broken{{7, "short", 0}};
  rules.keys = broken;
  EXPECT_THAT(why(sealed.bytes), HasSubstr("does not know"));
}

TEST_F(TicketTest, is_revoked_by_a_higher_number_of_its_tenant) {
  uint64_t number = 3;
  rules.revocation_of = [&number](std::string_view tenant) {
    return tenant == "acme" ? number : 99;
  };
  const Ticket ticket = open_ticket(sealed.bytes, rules).value();
  number = 4;
  EXPECT_THAT(why(sealed.bytes), HasSubstr("revoked"));
  EXPECT_EQ(check_ticket(ticket, rules).code(), Code::unauthenticated);
}

TEST_F(TicketTest, with_any_byte_changed_is_refused) {
  for (size_t i = 0; i < sealed.bytes.size(); ++i) {
    for (int flip = 1; flip < 256; flip <<= 1) {
      std::string bad = sealed.bytes;
      bad[i] = static_cast<char>(bad[i] ^ flip);
      EXPECT_NE(why(bad), "accepted") << "byte " << i << " ^ " << flip;
    }
  }
}

TEST_F(TicketTest, cut_or_prolonged_is_refused) {
  for (size_t size = 0; size < sealed.bytes.size(); ++size) {
    EXPECT_NE(why(std::string_view(sealed.bytes).substr(0, size)), "accepted") << size;
  }
  EXPECT_NE(why(sealed.bytes + std::string(1, '\0')), "accepted");
  EXPECT_NE(why(sealed.bytes + sealed.bytes), "accepted");
  EXPECT_THAT(why(std::string(kTicketBytesMax + 1, '\1')), HasSubstr("malformed"));
}

TEST_F(TicketTest, cannot_be_made_from_the_client_key) {
  EXPECT_NE(why(sealed.bytes + sealed.client_key), "accepted");
  const std::string body = sealed.bytes.substr(0, sealed.bytes.size() - kMacBytes);
  EXPECT_NE(why(body + sealed.client_key), "accepted");
}

TEST_F(TicketTest, of_random_bytes_is_refused) {
  std::mt19937 random(7);
  for (int i = 0; i < 2000; ++i) {
    std::string bytes(random() % 300, '\0');
    for (char& c : bytes)
      c = static_cast<char>(random());
    const std::string header("\x01\x07\x00\x00\x00", 5);
    EXPECT_NE(why(bytes), "accepted");
    EXPECT_NE(why(header + bytes), "accepted");
  }
}

// Whoever holds a ticket key is trusted, but not to write well.
TEST_F(TicketTest, whose_body_is_odd_under_a_good_seal_is_refused) {
  const std::string body = sealed.bytes.substr(0, sealed.bytes.size() - kMacBytes);
  const auto sealed_again = [&](const std::string& odd) {
    return odd + hmac_sha256(keys[1].secret, {"tarn ticket seal 1", odd}).value();
  };
  EXPECT_EQ(why(sealed_again(body)), "accepted");
  for (size_t size = 5; size < body.size(); ++size) {
    EXPECT_THAT(why(sealed_again(body.substr(0, size))), HasSubstr("malformed")) << size;
  }
  EXPECT_THAT(why(sealed_again(body + "x")), HasSubstr("malformed"));
  for (size_t i = 5; i < body.size(); ++i) {
    std::string odd = body;
    odd[i] = static_cast<char>(0xff);
    (void)why(sealed_again(odd));
  }
}

TEST_F(TicketTest, is_not_sealed_when_a_field_is_wrong) {
  const auto refusal = [&](auto change) {
    Ticket ticket = example();
    change(ticket);
    return seal_ticket(ticket, keys[0]).status();
  };
  const auto expect_refused = [&](auto change, const char* field) {
    EXPECT_EQ(refusal(change).code(), Code::invalid_argument) << field;
    EXPECT_THAT(refusal(change).message(), HasSubstr(field));
  };
  expect_refused([](Ticket& t) { t.holder = {Role::admin, "a", ""}; }, "holder");
  expect_refused([](Ticket& t) { t.holder.name = "no slash"; }, "name");
  expect_refused([](Ticket& t) { t.rights = 16; }, "rights");
  expect_refused([](Ticket& t) { t.spaces.resize(kTicketSpacesMax + 1); }, "spaces");
  expect_refused([](Ticket& t) { t.expires_ms = t.issued_ms; }, "expires_ms");
  EXPECT_EQ(seal_ticket(example(), {1, "short", 0}).status().code(), Code::invalid_argument);
}

TEST_F(TicketTest, is_neither_sealed_nor_opened_when_faults_are_armed) {
  fault::arm("auth.random", {});
  EXPECT_EQ(seal_ticket(example(), keys[0]).status().code(), Code::unavailable);
  fault::arm("auth.ticket_open", {});
  EXPECT_NE(why(sealed.bytes), "accepted");
  fault::disarm_all();
}

TEST_F(TicketTest, gives_client_and_server_the_same_key) {
  EXPECT_EQ(client_key(sealed.bytes, keys).value(), sealed.client_key);
  EXPECT_EQ(sealed.client_key.size(), kMacBytes);
  EXPECT_EQ(client_key(sealed.bytes, std::span(keys).first(1)).status().code(),
            Code::unauthenticated);
  EXPECT_EQ(client_key("", keys).status().code(), Code::unauthenticated);
}

ConnectionBinding binding(uint64_t incarnation, uint8_t nonce) {
  ConnectionBinding made{Incarnation{incarnation}, {}};
  made.nonce.fill(nonce);
  return made;
}

std::string_view view(const RequestTag& tag) {
  return {reinterpret_cast<const char*>(tag.data()), tag.size()};
}

TEST(RequestMac, verifies_on_the_other_side) {
  const std::string key(kMacBytes, 'k');
  RequestMac client = RequestMac::open(key, binding(5, 6)).value();
  RequestMac server = RequestMac::open(key, binding(5, 6)).value();
  for (const uint64_t sequence : {uint64_t{0}, uint64_t{1}, UINT64_MAX}) {
    EXPECT_TRUE(server.verify(sequence, "header", view(client.compute(sequence, "header"))));
  }
}

TEST(RequestMac, is_the_documented_function) {
  const std::string key(kMacBytes, 'k');
  RequestMac client = RequestMac::open(key, binding(0x0102, 6)).value();
  const std::string text = std::string("\x02\x01\0\0\0\0\0\0", 8) + std::string(16, '\6') +
                           std::string("\x03\0\0\0\0\0\0\0", 8) + "header";
  EXPECT_EQ(view(client.compute(3, "header")),
            hmac_sha256(key, text).value().substr(0, kRequestMacBytes));
}

TEST(RequestMac, binds_key_incarnation_nonce_sequence_and_header) {
  RequestMac server = RequestMac::open(std::string(kMacBytes, 'k'), binding(5, 6)).value();
  const RequestTag tag = server.compute(7, "header");
  EXPECT_FALSE(server.verify(8, "header", view(tag)));
  EXPECT_FALSE(server.verify(7, "Header", view(tag)));
  EXPECT_FALSE(server.verify(7, "header", view(tag).substr(1)));
  EXPECT_FALSE(server.verify(7, "header", ""));
  for (RequestMac& other :
       std::array{RequestMac::open(std::string(kMacBytes, 'k'), binding(4, 6)).value(),
                  RequestMac::open(std::string(kMacBytes, 'k'), binding(5, 7)).value(),
                  RequestMac::open(std::string(kMacBytes, 'l'), binding(5, 6)).value()}) {
    EXPECT_FALSE(other.verify(7, "header", view(tag)));
  }
  EXPECT_EQ(RequestMac::open("short", binding(5, 6)).status().code(), Code::invalid_argument);
}

TEST(RequestMac, is_quick_enough_for_each_request) {
  RequestMac mac = RequestMac::open(std::string(kMacBytes, 'k'), binding(5, 6)).value();
  std::string header(100, 'h');
  constexpr uint64_t kRounds = 20'000;
  const auto begin = std::chrono::steady_clock::now();
  for (uint64_t i = 0; i < kRounds; ++i)
    header[0] = static_cast<char>(mac.compute(i, header)[0]);
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
  RecordProperty("ns_per_mac", static_cast<int>(took.count() / kRounds));
  EXPECT_LT(took.count() / kRounds, 100'000) << "generous, for sanitizers and busy machines";
}

TEST(ReplayWindow, accepts_each_number_once) {
  ReplayWindow window;
  EXPECT_TRUE(window.accept(10));
  EXPECT_FALSE(window.accept(10));
  EXPECT_TRUE(window.accept(12));
  EXPECT_TRUE(window.accept(11));
  EXPECT_FALSE(window.accept(11));
  EXPECT_TRUE(window.accept(0));
  EXPECT_FALSE(window.accept(0));
}

TEST(ReplayWindow, refuses_what_has_left_it) {
  ReplayWindow window;
  EXPECT_TRUE(window.accept(5000));
  EXPECT_TRUE(window.accept(5000 - 1023));
  EXPECT_FALSE(window.accept(5000 - 1024));
  EXPECT_TRUE(window.accept(5001));
  EXPECT_FALSE(window.accept(5001 - 1023 - 1));
  EXPECT_TRUE(window.accept(UINT64_MAX));
  EXPECT_FALSE(window.accept(5001));
  EXPECT_FALSE(window.accept(UINT64_MAX));
  EXPECT_TRUE(window.accept(UINT64_MAX - 1));
}

TEST(ReplayWindow, agrees_with_a_set_of_all_numbers_ever_seen) {
  std::mt19937_64 random(11);
  ReplayWindow window;
  std::set<uint64_t> seen;
  uint64_t newest = 0;
  for (int i = 0; i < 50'000; ++i) {
    const uint64_t jump = random() % 1000 == 0 ? random() % 3000 : random() % 4;
    const uint64_t back = random() % 1100;
    const uint64_t sequence = random() % 2 == 0 || newest < back ? newest + jump : newest - back;
    const bool is_new = !seen.contains(sequence) &&
                        (sequence > newest || newest - sequence < ReplayWindow::kSequences);
    ASSERT_EQ(window.accept(sequence), is_new) << sequence << " with newest " << newest;
    if (is_new) seen.insert(sequence);
    newest = std::max(newest, sequence);
  }
}

}  // namespace
}  // namespace tarn::auth
