#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "common/wire/request_guard.h"
#include "tests/unit/wire/frame_spec.h"
#include "tests/unit/wire/samples.h"

// The door of a lane against the order of checks of docs/WIRE.md and a model of its connections.
namespace tarn::wire {
namespace {

constexpr uint16_t kLane = 3;
constexpr uint64_t kId = 77;

// A put of one connection with some things wrong with it.
struct Wrongs {
  bool magic = false, version = false, type = false, flags = false, length = false;
  bool direction = false, connection = false, lane = false, mac = false, replay = false;
  bool truncated = false, payload = false;
};

class Door : public testing::Test {
 protected:
  HeaderBuffer made(const Wrongs& wrong) {
    Route route{wrong.connection ? kId + 1 : kId, first_sequence(wrong.lane ? kLane + 1 : kLane)};
    route.sequence += wrong.replay ? 0 : ++x_sequence;
    HeaderBuffer header;
    if (wrong.direction) {
      encode(route, Pong{}, header);
    } else {
      encode(route, samples::put_request(), header);
    }
    const auto set = [&header](size_t at, uint8_t to) { header.bytes[at] = std::byte{to}; };
    if (wrong.truncated) {
      header.size -= 1;
      set(kHeaderBytesOffset, static_cast<uint8_t>(header.size));
    }
    if (wrong.magic) set(0, 'X');
    if (wrong.version) set(4, 2);
    if (wrong.type) set(6, 77);
    if (wrong.flags) set(7, 32);
    if (wrong.length) set(9, 9);
    sign(header, x_client);
    if (wrong.mac) header.bytes[kMacOffset] ^= std::byte{1};
    return header;
  }

  void SetUp() override {
    HeaderBuffer first;
    encode({kId, first_sequence(kLane)}, Ping{}, first);
    sign(first, x_client);
    ASSERT_EQ(x_guard.check(first.view(), 0).refusal, Refusal::none);
  }

  uint64_t x_sequence = 0;
  auth::RequestMac x_client = samples::mac();
  GuardedPeer x_peer{samples::mac(), {}};
  RequestGuard x_guard{kLane, [this](uint64_t id) { return id == kId ? &x_peer : nullptr; }};
};

// Whatever else is wrong behind it, a message is refused for the first thing of the page's order.
TEST_F(Door, looks_in_the_order_of_the_page) {
  const std::pair<bool Wrongs::*, Refusal> order[] = {
      {&Wrongs::magic, Refusal::magic},
      {&Wrongs::version, Refusal::version},
      {&Wrongs::type, Refusal::type},
      {&Wrongs::flags, Refusal::flags},
      {&Wrongs::length, Refusal::length},
      {&Wrongs::direction, Refusal::direction},
      {&Wrongs::connection, Refusal::unknown_connection},
      {&Wrongs::lane, Refusal::lane},
      {&Wrongs::mac, Refusal::mac},
      {&Wrongs::replay, Refusal::replay},
      {&Wrongs::truncated, Refusal::truncated},
      {&Wrongs::payload, Refusal::payload},
  };
  for (size_t i = 0; i < std::size(order); ++i) {
    for (size_t j = i; j < std::size(order); ++j) {
      Wrongs wrong{};
      wrong.*order[i].first = wrong.*order[j].first = true;
      const HeaderBuffer header = made(wrong);
      const uint64_t payload = samples::put_request().payload_bytes + (wrong.payload ? 1 : 0);
      const Admitted admitted = x_guard.check(header.view(), payload);
      EXPECT_EQ(admitted.refusal, order[i].second)
          << refusal_name(order[i].second) << " and " << refusal_name(order[j].second)
          << ", refused as " << refusal_name(admitted.refusal);
      EXPECT_EQ(admitted.is_answerable(), admitted.refusal >= Refusal::truncated);
      EXPECT_EQ(admitted.request, nullptr);
    }
  }
}

// A sequence that was refused for its body is used up: the sender was proven.
TEST_F(Door, takes_no_sequence_twice_even_if_its_body_was_bad) {
  const HeaderBuffer bad = made({.truncated = true});
  EXPECT_EQ(x_guard.check(bad.view(), 0).refusal, Refusal::truncated);
  EXPECT_EQ(x_guard.check(bad.view(), 0).refusal, Refusal::replay);
}

TEST_F(Door, keeps_windows_of_connections_apart) {
  GuardedPeer other{samples::mac('o'), {}};
  RequestGuard guard(kLane, [&](uint64_t id) { return id == 1 ? &x_peer : &other; });
  auth::RequestMac keys[] = {samples::mac(), samples::mac('o')};
  for (uint64_t id : {1, 2}) {
    HeaderBuffer header;
    encode({id, first_sequence(kLane) + 5}, Ping{}, header);
    sign(header, keys[id - 1]);
    EXPECT_EQ(guard.check(header.view(), 0).refusal, Refusal::none) << id;
    EXPECT_EQ(guard.check(header.view(), 0).refusal, Refusal::replay) << id;
    sign(header, keys[2 - id]);
    EXPECT_EQ(guard.check(header.view(), 0).refusal, Refusal::mac) << "the other's key";
  }
}

// Random traffic of honest clients, replaying ones and strangers over three connections.
TEST(DoorModel, admits_what_a_model_of_its_connections_admits) {
  struct Connection {
    auth::RequestMac key;
    GuardedPeer peer;
    std::set<uint64_t> used;
    uint64_t newest = 0;
  };
  std::map<uint64_t, Connection> connections;
  for (uint64_t id = 1; id <= 3; ++id) {
    const char key = static_cast<char>('a' + id);
    connections.emplace(id, Connection{samples::mac(key), {samples::mac(key), {}}, {}, 0});
  }
  RequestGuard guard(kLane, [&](uint64_t id) {
    const auto found = connections.find(id);
    return found == connections.end() ? nullptr : &found->second.peer;
  });
  std::mt19937_64 random(20261122);
  std::map<Refusal, uint64_t> expected_counts;
  for (int step = 0; step < 8000; ++step) {
    const uint64_t id = 1 + random() % 4;
    const uint16_t lane = random() % 20 == 0 ? 9 : kLane;
    const bool forged = random() % 10 == 0;
    Connection& signer = connections.at(std::min<uint64_t>(id, 3));
    const uint64_t back = random() % 1100;
    const uint64_t number = random() % 2 == 0 || back > signer.newest
                                ? signer.newest + random() % 20
                                : signer.newest - back;
    HeaderBuffer header;
    encode({id, first_sequence(lane) + number}, Ping{Epoch{random()}}, header);
    sign(header, signer.key);
    if (forged) header.bytes[kEnvelopeBytes + random() % 8] ^= std::byte{1};
    Refusal due = Refusal::none;
    const bool is_old = number + auth::ReplayWindow::kSequences <= signer.newest;
    if (id == 4) {
      due = Refusal::unknown_connection;
    } else if (lane != kLane) {
      due = Refusal::lane;
    } else if (forged) {
      due = Refusal::mac;
    } else if (is_old || signer.used.contains(number)) {
      due = Refusal::replay;
    } else {
      signer.used.insert(number);
      signer.newest = std::max(signer.newest, number);
    }
    ++expected_counts[due];
    ASSERT_EQ(guard.check(header.view(), 0).refusal, due) << "step " << step;
  }
  for (const Refusal refusal :
       {Refusal::unknown_connection, Refusal::lane, Refusal::mac, Refusal::replay}) {
    EXPECT_GT(expected_counts[refusal], 50u) << refusal_name(refusal);
    EXPECT_EQ(guard.refusals().of(refusal), expected_counts[refusal]);
  }
}

// A MAC is worth nothing on another life of the server, another connection or another direction.
TEST(Seal, binds_a_header_to_its_connection_and_its_bytes) {
  const auto verifies = [](const HeaderBuffer& header, auth::RequestMac& key) {
    HeaderBuffer copy = header;
    Envelope envelope;
    EXPECT_EQ(decode_envelope(copy.view(), envelope), Refusal::none);
    return verify(MutableBytes(copy.bytes).first(copy.size), envelope, key);
  };
  const auto open = [](uint64_t incarnation, uint8_t nonce) {
    return auth::RequestMac::open(std::string(32, 'k'), {Incarnation{incarnation}, {nonce}})
        .value();
  };
  auth::RequestMac key = open(5, 1), next_life = open(6, 1), other = open(5, 2);
  HeaderBuffer header = samples::encode_any(Request(Ping{Epoch{1}}));
  sign(header, key);
  EXPECT_TRUE(verifies(header, key));
  EXPECT_FALSE(verifies(header, next_life));
  EXPECT_FALSE(verifies(header, other));
  HeaderBuffer as_reply = header;
  as_reply.bytes[6] = std::byte{10};
  EXPECT_FALSE(verifies(as_reply, key)) << "a ping must not pass as its pong";
  HeaderBuffer twice = header;
  sign(twice, key);
  EXPECT_EQ(to_hex(text_of(twice)), to_hex(text_of(header))) << "the old MAC does not count";
}

}  // namespace
}  // namespace tarn::wire
