#include <gtest/gtest.h>

#include <map>

#include "common/wire/request_guard.h"
#include "tests/unit/wire/samples.h"

namespace tarn::wire {
namespace {

// A guard of lane 3 that knows one connection, and its client's end of the key.
class GuardTest : public ::testing::Test {
 protected:
  HeaderBuffer sealed(const Request& message, Route route) {
    HeaderBuffer header;
    std::visit([&](const auto& m) { encode(route, m, header); }, message);
    sign(header, x_client);
    return header;
  }
  HeaderBuffer next_ping() { return sealed(Ping{}, {kId, x_sequence++}); }

  static constexpr uint64_t kId = 77;
  uint64_t x_sequence = first_sequence(3);
  auth::RequestMac x_client = samples::mac();
  GuardedPeer x_peer{samples::mac(), {}};
  RequestGuard x_guard{3, [this](uint64_t id) { return id == kId ? &x_peer : nullptr; }};
};

TEST_F(GuardTest, AdmitsWhatTheClientSigned) {
  const Request put = samples::put_request();
  const HeaderBuffer header = sealed(put, {kId, x_sequence});
  const Admitted admitted = x_guard.check(header.view(), 1 * kMiB);
  ASSERT_EQ(admitted.refusal, Refusal::none);
  EXPECT_EQ(*admitted.request, put);
  EXPECT_EQ(admitted.route, (Route{kId, x_sequence}));
  EXPECT_EQ(admitted.peer, &x_peer);
  EXPECT_TRUE(admitted.is_answerable());
  EXPECT_EQ(x_guard.refusals().total(), 0u);
}

TEST_F(GuardTest, RefusesAnUnknownConnectionAndAForeignLane) {
  const HeaderBuffer stranger = sealed(Ping{}, {kId + 1, x_sequence});
  const Admitted unknown = x_guard.check(stranger.view(), 0);
  EXPECT_EQ(unknown.refusal, Refusal::unknown_connection);
  EXPECT_EQ(unknown.peer, nullptr);
  EXPECT_FALSE(unknown.is_answerable());
  const HeaderBuffer elsewhere = sealed(Ping{}, {kId, first_sequence(4)});
  EXPECT_EQ(x_guard.check(elsewhere.view(), 0).refusal, Refusal::lane);
}

TEST_F(GuardTest, RefusesWhatTheKeyDidNotSign) {
  HeaderBuffer header = next_ping();
  header.bytes[kEnvelopeBytes] ^= std::byte{1};
  const Admitted forged = x_guard.check(header.view(), 0);
  EXPECT_EQ(forged.refusal, Refusal::mac);
  EXPECT_FALSE(forged.is_answerable());
  EXPECT_EQ(forged.request, nullptr);

  auth::RequestMac other = samples::mac('x');
  header = next_ping();
  sign(header, other);
  EXPECT_EQ(x_guard.check(header.view(), 0).refusal, Refusal::mac);
  EXPECT_EQ(x_guard.refusals().of(Refusal::mac), 2u);
}

TEST_F(GuardTest, AForgedSequenceDoesNotMoveTheWindow) {
  HeaderBuffer forged = sealed(Ping{}, {kId, first_sequence(3) + 1'000'000});
  forged.bytes[kMacOffset] ^= std::byte{1};
  EXPECT_EQ(x_guard.check(forged.view(), 0).refusal, Refusal::mac);
  EXPECT_EQ(x_guard.check(next_ping().view(), 0).refusal, Refusal::none);
}

TEST_F(GuardTest, TakesEachSequenceOnceInAnyOrder) {
  const HeaderBuffer first = next_ping();
  const HeaderBuffer second = next_ping();
  EXPECT_EQ(x_guard.check(second.view(), 0).refusal, Refusal::none);
  EXPECT_EQ(x_guard.check(first.view(), 0).refusal, Refusal::none);
  EXPECT_EQ(x_guard.check(first.view(), 0).refusal, Refusal::replay);
  EXPECT_EQ(x_guard.check(second.view(), 0).refusal, Refusal::replay);
  const HeaderBuffer late = next_ping();
  for (uint64_t i = 0; i < auth::ReplayWindow::kSequences; ++i)
    EXPECT_EQ(x_guard.check(next_ping().view(), 0).refusal, Refusal::none);
  EXPECT_EQ(x_guard.check(late.view(), 0).refusal, Refusal::replay);
}

TEST_F(GuardTest, AWellSignedRequestWithABadBodyCanBeAnswered) {
  PutRequest put = samples::put_request();
  put.copies = 0;
  const HeaderBuffer header = sealed(put, {kId, x_sequence++});
  const Admitted admitted = x_guard.check(header.view(), put.payload_bytes);
  EXPECT_EQ(admitted.refusal, Refusal::field);
  EXPECT_TRUE(admitted.is_answerable());
  EXPECT_EQ(admitted.request, nullptr);
}

TEST_F(GuardTest, ThePayloadMustBeTheOneAnnounced) {
  const HeaderBuffer header = sealed(samples::put_request(), {kId, x_sequence++});
  EXPECT_EQ(x_guard.check(header.view(), 4096).refusal, Refusal::payload);
  EXPECT_EQ(x_guard.check(next_ping().view(), 1).refusal, Refusal::payload);
}

TEST_F(GuardTest, RefusesRepliesAndRubbish) {
  HeaderBuffer reply;
  encode({kId, x_sequence}, Pong{}, reply);
  sign(reply, x_client);
  EXPECT_EQ(x_guard.check(reply.view(), 0).refusal, Refusal::direction);
  EXPECT_EQ(x_guard.check({}, 0).refusal, Refusal::too_short);
  EXPECT_EQ(x_guard.check(std::vector<std::byte>(9000), 0).refusal, Refusal::too_long);
  EXPECT_EQ(x_guard.check(std::vector<std::byte>(64), 0).refusal, Refusal::magic);
}

TEST_F(GuardTest, ReadsHeadersAtAnyAlignment) {
  std::vector<std::byte> memory(kHeaderBytesMax + 8);
  for (size_t offset = 0; offset < 8; ++offset) {
    const HeaderBuffer header = next_ping();
    std::memcpy(memory.data() + offset, header.bytes.data(), header.size);
    const Bytes unaligned(memory.data() + offset, header.size);
    EXPECT_EQ(x_guard.check(unaligned, 0).refusal, Refusal::none) << offset;
  }
}

// Whatever single byte is changed or cut off, a signed request is refused.
TEST_F(GuardTest, NoChangedByteGetsThrough) {
  for (const auto& [name, message] : samples::requests()) {
    const uint64_t payload = payload_bytes_of(message);
    const HeaderBuffer good = sealed(message, {kId, x_sequence});
    for (size_t i = 0; i < good.size; ++i) {
      HeaderBuffer flipped = good;
      flipped.bytes[i] ^= std::byte{0x10};
      ASSERT_NE(x_guard.check(flipped.view(), payload).refusal, Refusal::none) << name << ' ' << i;
      ASSERT_NE(x_guard.check(good.view().first(i), payload).refusal, Refusal::none) << name;
    }
    EXPECT_EQ(x_guard.check(good.view(), payload).refusal, Refusal::none) << name;
    ++x_sequence;
  }
}

}  // namespace
}  // namespace tarn::wire
