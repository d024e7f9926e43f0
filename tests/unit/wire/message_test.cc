#include "common/wire/message.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/unit/wire/samples.h"

namespace tarn::wire {
namespace {

template <typename Variant>
Variant decoded(const HeaderBuffer& header) {
  Envelope envelope;
  EXPECT_EQ(decode_envelope(header.view(), envelope), Refusal::none);
  EXPECT_EQ(envelope.route, samples::kRoute);
  Variant message;
  Refusal why = Refusal::none;
  if constexpr (std::is_same_v<Variant, Request>) {
    why = decode_request(header.view(), envelope, message);
  } else {
    why = decode_reply(header.view(), envelope, message);
  }
  EXPECT_EQ(why, Refusal::none) << refusal_name(why);
  return message;
}

// The refusal of whatever part of the header is wrong, as a receiver of requests and replies.
Refusal refusal_of(Bytes header) {
  Envelope envelope;
  const Refusal why = decode_envelope(header, envelope);
  if (why != Refusal::none) return why;
  Request request;
  Reply reply;
  return is_request(envelope.type) ? decode_request(header, envelope, request)
                                   : decode_reply(header, envelope, reply);
}

void set_byte(HeaderBuffer& header, size_t offset, unsigned value) {
  header.bytes[offset] = static_cast<std::byte>(value);
}

void set_length(HeaderBuffer& header, size_t size) {
  header.size = size;
  set_byte(header, kHeaderBytesOffset, static_cast<unsigned>(size & 255));
  set_byte(header, kHeaderBytesOffset + 1, static_cast<unsigned>(size >> 8));
}

TEST(Message, EveryRequestComesBackAsItWas) {
  for (const auto& [name, message] : samples::requests()) {
    EXPECT_EQ(decoded<Request>(samples::encode_any(message)), message) << name;
  }
}

TEST(Message, EveryReplyComesBackAsItWas) {
  for (const auto& [name, message] : samples::replies()) {
    EXPECT_EQ(decoded<Reply>(samples::encode_any(message)), message) << name;
  }
}

TEST(Message, AReusedVariantHoldsNothingOfTheMessageBefore) {
  Request request = samples::get_request(kItemsMax);
  const HeaderBuffer header = samples::encode_any(Request(samples::get_request(1)));
  Envelope envelope;
  ASSERT_EQ(decode_envelope(header.view(), envelope), Refusal::none);
  ASSERT_EQ(decode_request(header.view(), envelope, request), Refusal::none);
  EXPECT_EQ(request, Request(samples::get_request(1)));
}

TEST(Message, TheLargestOnesFitTheFabricsHeader) {
  EXPECT_LE(samples::encode_any(Request(samples::get_request(kItemsMax))).size, kHeaderBytesMax);
  ExistsRequest all{samples::head(), {}};
  while (!all.items.is_full())
    all.items.push_back({Shard{1}, samples::hash_of(32, 1)});
  EXPECT_LE(samples::encode_any(Request(all)).size, kHeaderBytesMax);
}

TEST(Message, BytesOfAPingAreTheDocumentedOnes) {
  const HeaderBuffer header = samples::encode_any(Request(Ping{Epoch{0x0102}}));
  const std::string bytes(reinterpret_cast<const char*>(header.bytes.data()), header.size);
  EXPECT_EQ(to_hex(bytes),
            "54524e31"                          // magic
            "0100"                              // version
            "09"                                // type
            "00"                                // flags
            "34000000"                          // header bytes: 52
            "8877665544332211"                  // connection
            "2900000000000300"                  // sequence 41 of lane 3
            "00000000000000000000000000000000"  // MAC
            "0201000000000000");                // epoch
}

TEST(Message, EnvelopesThatAreWrongAreRefusedByCause) {
  const HeaderBuffer good = samples::encode_any(Request(samples::put_request()));
  const auto with = [&](size_t offset, unsigned value) {
    HeaderBuffer header = good;
    set_byte(header, offset, value);
    return refusal_of(header.view());
  };
  EXPECT_EQ(with(0, 'X'), Refusal::magic);
  EXPECT_EQ(with(4, 2), Refusal::version);
  EXPECT_EQ(with(6, 0), Refusal::type);
  EXPECT_EQ(with(6, 15), Refusal::type);
  EXPECT_EQ(with(7, 32), Refusal::flags);
  EXPECT_EQ(with(8, 1), Refusal::length);
  EXPECT_EQ(refusal_of(good.view().first(kEnvelopeBytes - 1)), Refusal::too_short);
  EXPECT_EQ(refusal_of({}), Refusal::too_short);
  EXPECT_EQ(refusal_of(std::vector<std::byte>(kHeaderBytesMax + 1)), Refusal::too_long);
}

TEST(Message, FlagsBelongToTheirTypes) {
  HeaderBuffer header = samples::encode_any(Request(samples::get_request(1)));
  set_byte(header, 7, kFlagBackup);
  EXPECT_EQ(refusal_of(header.view()), Refusal::flags);
  header = samples::encode_any(Reply(Pong{}));
  set_byte(header, 7, kFlagForTenant);
  EXPECT_EQ(refusal_of(header.view()), Refusal::flags);
}

TEST(Message, APutWhoseServerMakesTheChecksumTravelsAndIsNoBackup) {
  PutRequest put = samples::put_request();
  put.sampled = true;
  HeaderBuffer header = samples::encode_any(Request(put));
  EXPECT_EQ(static_cast<unsigned>(header.bytes[7]), kFlagSampled);
  EXPECT_EQ(refusal_of(header.view()), Refusal::none);
  set_byte(header, 7, kFlagSampled | kFlagBackup);
  EXPECT_EQ(refusal_of(header.view()), Refusal::field) << "backups check all bytes";
}

TEST(Message, ATenantWithoutItsFlagIsRefused) {
  HeaderBuffer header = samples::encode_any(Request(samples::backup_request()));
  set_byte(header, 7, kFlagBackup);
  EXPECT_EQ(refusal_of(header.view()), Refusal::field);
}

TEST(Message, BodiesThatAreShortOrLongAreRefused) {
  for (const auto& [name, header] : samples::signed_headers()) {
    HeaderBuffer longer = header;
    if (header.size < kHeaderBytesMax) {
      set_byte(longer, header.size, 0);
      set_length(longer, header.size + 1);
      EXPECT_EQ(refusal_of(longer.view()), Refusal::trailing_bytes) << name;
    }
    HeaderBuffer shorter = header;
    set_length(shorter, header.size - 1);
    EXPECT_EQ(refusal_of(shorter.view()), Refusal::truncated) << name;
  }
}

TEST(Message, PutFieldsOutsideOfTheirLimitsAreRefused) {
  const auto refused = [](auto change) {
    PutRequest put = samples::put_request();
    change(put);
    return refusal_of(samples::encode_any(Request(put)).view()) == Refusal::field;
  };
  EXPECT_FALSE(refused([](PutRequest&) {}));
  EXPECT_TRUE(refused([](PutRequest& p) { p.payload_bytes = 0; }));
  EXPECT_TRUE(refused([](PutRequest& p) { p.payload_bytes = kBlockBytesMax + 1; }));
  EXPECT_FALSE(refused([](PutRequest& p) { p.payload_bytes = kBlockBytesMax; }));
  EXPECT_TRUE(refused([](PutRequest& p) { p.index = 32; }));
  EXPECT_TRUE(refused([](PutRequest& p) { p.extent_blocks = kExtentBlocksMax + 1; }));
  EXPECT_TRUE(refused([](PutRequest& p) { p.extent_blocks = p.index = 0; }));
  EXPECT_TRUE(refused([](PutRequest& p) { p.copies = 0; }));
  EXPECT_TRUE(refused([](PutRequest& p) { p.copies = kCopiesMax + 1; }));
  EXPECT_TRUE(refused([](PutRequest& p) { p.kind = static_cast<block::SpaceKind>(2); }));
  EXPECT_TRUE(refused([](PutRequest& p) { p.head.deadline_us = kDeadlineUsMax + 1; }));
}

TEST(Message, GetRepliesThatContradictThemselvesAreRefused) {
  const auto why = [](const GetReply& reply) {
    return refusal_of(samples::encode_any(Reply(reply)).view());
  };
  EXPECT_EQ(why({{}, 0, 1, Code::ok, {}, 4096, 1}), Refusal::none);
  EXPECT_EQ(why({{}, 0, 2, Code::ok, {}, 4096, 1}), Refusal::field);
  EXPECT_EQ(why({{}, 0, 1, Code::ok, {}, 0, 1}), Refusal::field);
  EXPECT_EQ(why({{}, 0, 1, Code::not_found, {}, 4096, 0}), Refusal::field);
  EXPECT_EQ(why({{}, 0, 0, Code::not_found, {}, 0, 0}), Refusal::field);
  EXPECT_EQ(why({{}, 1, kItemsMax, Code::not_found, {}, 0, 0}), Refusal::field);
  EXPECT_EQ(why({{}, 0, 1, static_cast<Code>(kCodeCount), {}, 0, 0}), Refusal::field);
}

TEST(Message, CountsOfItemsAreHeldAgainstTheLimit) {
  HeaderBuffer header = samples::encode_any(Request(samples::get_request(1)));
  const size_t count_offset = kEnvelopeBytes + 48;
  set_byte(header, count_offset, 0);
  EXPECT_EQ(refusal_of(header.view()), Refusal::field);
  set_byte(header, count_offset, kItemsMax + 1);
  EXPECT_EQ(refusal_of(header.view()), Refusal::field);
  set_byte(header, count_offset, 2);
  EXPECT_EQ(refusal_of(header.view()), Refusal::truncated);
}

TEST(Message, HashesAreOneTo32Bytes) {
  HeaderBuffer header = samples::encode_any(Request(samples::get_request(1)));
  const size_t size_offset = kEnvelopeBytes + 48 + 2 + 12;
  set_byte(header, size_offset, 33);
  EXPECT_EQ(refusal_of(header.view()), Refusal::field);
  set_byte(header, size_offset, 0);
  EXPECT_EQ(refusal_of(header.view()), Refusal::field);
}

TEST(Message, LongTextIsCutNotRefused) {
  const Reply error =
      ErrorReply{Epoch{1}, Code::overloaded, make_text(std::string(kTextBytesMax + 50, 'x'))};
  const Reply back = decoded<Reply>(samples::encode_any(error));
  EXPECT_EQ(view(std::get<ErrorReply>(back).message), std::string(kTextBytesMax, 'x'));
}

TEST(Message, PayloadsAreWhatTheMessageSays) {
  EXPECT_EQ(payload_bytes_of(Request(samples::put_request())), 1 * kMiB);
  EXPECT_EQ(payload_bytes_of(Request(samples::get_request(2))), 0u);
  EXPECT_EQ(payload_bytes_of(Reply(GetReply{{}, 0, 1, Code::ok, {}, 4096, 1})), 4096u);
  EXPECT_EQ(head_of(Request(Ping{})), nullptr);
}

TEST(Message, SequencesCarryTheirLane) {
  EXPECT_EQ(lane_of(first_sequence(0)), 0);
  EXPECT_EQ(lane_of(first_sequence(3) + 17), 3);
  EXPECT_EQ(lane_of(first_sequence(0xffff)), 0xffff);
}

TEST(Refusal, EachHasAName) {
  for (int i = 0; i < kRefusalCount; ++i) {
    EXPECT_NE(refusal_name(static_cast<Refusal>(i)), "unknown");
    EXPECT_FALSE(refusal_name(static_cast<Refusal>(i)).empty());
  }
  EXPECT_EQ(refusal_name(Refusal::payload), "payload");
  EXPECT_EQ(refusal_name(static_cast<Refusal>(kRefusalCount)), "unknown");
}

}  // namespace
}  // namespace tarn::wire
