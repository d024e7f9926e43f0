#include <gtest/gtest.h>

#include <array>
#include <random>

#include "tests/unit/wire/frame_spec.h"
#include "tests/unit/wire/samples.h"

// What a receiver makes of each field at its limit and beyond it, whoever wrote the header.
namespace tarn::wire {
namespace {

Refusal refusal_of(const HeaderBuffer& header) {
  Envelope envelope;
  if (const Refusal why = decode_envelope(header.view(), envelope); why != Refusal::none)
    return why;
  Request request;
  Reply reply;
  return is_request(envelope.type) ? decode_request(header.view(), envelope, request)
                                   : decode_reply(header.view(), envelope, reply);
}

// A field of a frame, and values of it that are taken and refused.
struct Field {
  const char* name;
  size_t offset;
  int size;
  std::vector<uint64_t> taken;
  std::vector<uint64_t> refused;
};

std::string with(const std::string& frame, const Field& field, uint64_t value) {
  std::string changed = frame;
  for (int i = 0; i < field.size; ++i)
    changed[field.offset + static_cast<size_t>(i)] = static_cast<char>(value >> (8 * i));
  return changed;
}

void expect_limits(const std::string& frame, const std::vector<Field>& fields) {
  ASSERT_EQ(refusal_of(header_of(frame)), Refusal::none);
  for (const Field& field : fields) {
    for (const uint64_t value : field.taken) {
      EXPECT_EQ(refusal_of(header_of(with(frame, field, value))), Refusal::none)
          << field.name << " = " << value;
    }
    for (const uint64_t value : field.refused) {
      EXPECT_EQ(refusal_of(header_of(with(frame, field, value))), Refusal::field)
          << field.name << " = " << value;
    }
  }
}

constexpr size_t kBody = kEnvelopeBytes;
constexpr size_t kAfterHead = kBody + 48;
constexpr uint64_t kHour = 3'600'000'000;

// The fields of the head, which four requests begin with.
std::vector<Field> head_fields() {
  return {{"epoch", kBody, 8, {0, 1, UINT64_MAX}, {}},
          {"deadline", kBody + 8, 8, {0, kHour - 1, kHour}, {kHour + 1, UINT64_MAX}},
          {"space", kBody + 16, 8, {0, UINT64_MAX}, {}},
          {"tenant, first bytes", kBody + 32, 8, {0}, {1, UINT64_MAX}},
          {"tenant, last byte", kBody + 47, 1, {0}, {1, 255}}};
}

FrameSpec with_head(int type) {
  return FrameSpec(type, 0).head(1, 2, 'S', '\0');
}

TEST(Limits, of_the_head_hold_in_every_request_that_has_one) {
  const std::string put_rest(30, '\1');
  expect_limits(with_head(1).number(1, 2).number(0, 4).number(0, 8).sized("h").frame(),
                head_fields());
  expect_limits(with_head(5).number(1, 2).number(0, 4).sized("h").frame(), head_fields());
  expect_limits(with_head(7).number(1, 2).number(0, 4).sized("h").frame(), head_fields());
}

TEST(Limits, of_a_get_request) {
  std::string frame = with_head(1).number(1, 2).number(0, 4).number(0, 8).sized("h").frame();
  expect_limits(frame, {{"shard", kAfterHead + 2, 4, {0, UINT32_MAX}, {}},
                        {"bytes that memory holds", kAfterHead + 6, 8, {0, 1, UINT64_MAX}, {}},
                        {"count", kAfterHead, 2, {1}, {0, 161, UINT16_MAX}},
                        {"hash size", kAfterHead + 14, 1, {1}, {33, 34, 255}}});
}

TEST(Limits, of_a_pieces_request) {
  const std::string frame =
      with_head(12).number(1, 2).number(0, 4).number(0, 4).number(1, 4).sized("h").frame();
  const uint64_t most = kBlockBytesMax;
  expect_limits(frame, {{"shard", kAfterHead + 2, 4, {0, UINT32_MAX}, {}},
                        {"offset", kAfterHead + 6, 4, {0, most - 1}, {most, UINT32_MAX}},
                        {"bytes", kAfterHead + 10, 4, {1, most}, {0, most + 1, UINT32_MAX}},
                        {"count", kAfterHead, 2, {1}, {0, 161, UINT16_MAX}},
                        {"hash size", kAfterHead + 14, 1, {1}, {33, 34, 255}}});
}

TEST(Limits, of_a_piece_reply) {
  const uint64_t most = kBlockBytesMax;
  FrameSpec spec(13, 0);
  spec.number(1, 8).number(0, 2).number(9, 8).number(4096, 4).number(5, 4);
  spec.number(4096, 4).number(6, 4);
  expect_limits(spec.frame(),
                {{"epoch", kBody, 8, {0, UINT64_MAX}, {}},
                 {"item", kBody + 8, 2, {0, 159}, {160, UINT16_MAX}},
                 {"generation", kBody + 10, 8, {0, UINT64_MAX}, {}},
                 {"payload bytes", kBody + 18, 4, {1, 4096}, {0, 4097, UINT32_MAX}},
                 {"payload CRC", kBody + 22, 4, {0, UINT32_MAX}, {}},
                 {"block bytes", kBody + 26, 4, {4096, most}, {0, 4095, most + 1, UINT32_MAX}},
                 {"block CRC", kBody + 30, 4, {0, UINT32_MAX}, {}}});
}

TEST(Limits, of_a_put_request) {
  FrameSpec spec(3, 0);
  spec.head(1, 2, 'S', '\0').number(0, 4).number(0, 2).number(64, 2).number(0, 1).number(1, 1);
  spec.number(1, 8).number(0, 4).sized("h").sized("a").sized("");
  const uint64_t most = kBlockBytesMax;
  std::vector<Field> fields = head_fields();
  const Field rest[] = {{"shard", kAfterHead, 4, {0, UINT32_MAX}, {}},
                        {"index", kAfterHead + 4, 2, {0, 63}, {64, UINT16_MAX}},
                        {"G", kAfterHead + 6, 2, {1, 64}, {0, 65, UINT16_MAX}},
                        {"kind", kAfterHead + 8, 1, {0, 1}, {2, 255}},
                        {"copies", kAfterHead + 9, 1, {1, 16}, {0, 17, 255}},
                        {"payload bytes", kAfterHead + 10, 8, {1, most}, {0, most + 1, UINT64_MAX}},
                        {"payload CRC", kAfterHead + 18, 4, {0, UINT32_MAX}, {}}};
  fields.insert(fields.end(), std::begin(rest), std::end(rest));
  expect_limits(spec.frame(), fields);
}

TEST(Limits, of_an_index_are_those_of_its_own_extent) {
  for (const uint16_t extent : std::array<uint16_t, 4>{1, 2, 32, 64}) {
    PutRequest put = samples::put_request();
    put.extent_blocks = extent;
    put.index = static_cast<uint16_t>(extent - 1);
    EXPECT_EQ(refusal_of(samples::encode_any(Request(put))), Refusal::none);
    put.index = extent;
    EXPECT_EQ(refusal_of(samples::encode_any(Request(put))), Refusal::field) << extent;
  }
}

TEST(Limits, of_the_hashes_of_a_put) {
  const auto why = [](size_t hash, size_t anchor, size_t parent) {
    FrameSpec spec(3, 0);
    spec.head(1, 2, 'S', '\0').number(0, 4).number(0, 2).number(64, 2).number(0, 1).number(1, 1);
    spec.number(1, 8).number(0, 4).sized(std::string(hash, 'h'));
    return refusal_of(
        header_of(spec.sized(std::string(anchor, 'a')).sized(std::string(parent, 'p'))));
  };
  EXPECT_EQ(why(1, 1, 0), Refusal::none);
  EXPECT_EQ(why(32, 32, 32), Refusal::none);
  EXPECT_EQ(why(0, 1, 0), Refusal::field);
  EXPECT_EQ(why(1, 0, 0), Refusal::field);
  EXPECT_EQ(why(1, 1, 33), Refusal::field);
  EXPECT_EQ(why(1, 33, 1), Refusal::field);
}

TEST(Limits, of_a_get_reply) {
  const std::string hit = FrameSpec(2, 0)
                              .number(1, 8)
                              .number(0, 2)
                              .number(1, 2)
                              .number(0, 1)
                              .number(9, 8)
                              .number(1, 8)
                              .number(5, 4)
                              .frame();
  const std::string miss = FrameSpec(2, 0)
                               .number(1, 8)
                               .number(0, 2)
                               .number(1, 2)
                               .number(1, 1)
                               .number(9, 8)
                               .number(0, 8)
                               .number(0, 4)
                               .frame();
  const uint64_t most = kBlockBytesMax;
  const size_t bytes_at = kBody + 21;
  expect_limits(hit, {{"epoch", kBody, 8, {0, UINT64_MAX}, {}},
                      {"first", kBody + 8, 2, {0, 159}, {160, UINT16_MAX}},
                      {"count", kBody + 10, 2, {1}, {0, 2, 160, UINT16_MAX}},
                      {"generation", kBody + 13, 8, {0, UINT64_MAX}, {}},
                      {"payload bytes", bytes_at, 8, {1, most}, {0, most + 1, UINT64_MAX}},
                      {"payload CRC", bytes_at + 8, 4, {0, UINT32_MAX}, {}}});
  expect_limits(miss, {{"first", kBody + 8, 2, {0, 159}, {160, UINT16_MAX}},
                       {"count", kBody + 10, 2, {1, 160}, {0, 161, UINT16_MAX}},
                       {"code", kBody + 12, 1, {1, 2, 15, 16}, {0, 17, 255}},
                       {"payload bytes", bytes_at, 8, {0}, {1, most}},
                       {"payload CRC", bytes_at + 8, 4, {0}, {1, UINT32_MAX}}});
}

// Sums of first and count that wrap around in 16 bits would name items that nobody asked for.
TEST(Limits, of_first_and_count_hold_for_their_sum) {
  for (const auto& [first, count, expected] :
       {std::tuple<uint64_t, uint64_t, Refusal>{0, 160, Refusal::none},
        {1, 159, Refusal::none},
        {159, 1, Refusal::none},
        {1, 160, Refusal::field},
        {160, 1, Refusal::field},
        {65535, 1, Refusal::field},
        {65530, 10, Refusal::field},
        {65535, 65535, Refusal::field}}) {
    FrameSpec spec(2, 0);
    spec.number(1, 8).number(first, 2).number(count, 2).number(1, 1).number(0, 20);
    EXPECT_EQ(refusal_of(header_of(spec)), expected) << first << "+" << count;
  }
}

TEST(Limits, of_the_other_replies) {
  const std::string text(200, 't');
  expect_limits(FrameSpec(4, 0).number(1, 8).number(0, 1).number(0, 1).sized(text).frame(),
                {{"code", kBody + 8, 1, {0, 16}, {17, 255}},
                 {"copies", kBody + 9, 1, {0, 16, 255}, {}},
                 {"text size", kBody + 10, 1, {200}, {201, 255}}});
  expect_limits(FrameSpec(11, 0).number(1, 8).number(7, 1).sized(text).frame(),
                {{"code", kBody + 8, 1, {1, 16}, {0, 17, 255}},
                 {"text size", kBody + 9, 1, {200}, {201, 255}}});
  for (const int type : {6, 8}) {
    expect_limits(FrameSpec(type, 0).number(1, 8).number(1, 2).number(0, 1).frame(),
                  {{"count", kBody + 8, 2, {1}, {0, 161, UINT16_MAX}},
                   {"code", kBody + 10, 1, {0, 16}, {17, 255}}});
  }
}

TEST(Limits, of_lists_are_160_entries) {
  for (const uint64_t count : {159, 160, 161}) {
    FrameSpec get = with_head(1).number(count, 2);
    FrameSpec exists = with_head(5).number(count, 2);
    FrameSpec codes = FrameSpec(6, 0).number(1, 8).number(count, 2);
    for (uint64_t i = 0; i < count; ++i) {
      get.number(0, 4).number(0, 8).sized("h");
      exists.number(0, 4).sized("h");
      codes.number(1, 1);
    }
    const Refusal expected = count <= 160 ? Refusal::none : Refusal::field;
    for (const FrameSpec& spec : {get, exists, codes})
      EXPECT_EQ(refusal_of(header_of(spec)), expected) << count;
  }
}

TEST(Envelope, of_any_other_version_is_refused_before_its_type_is_looked_at) {
  for (const uint64_t version : {0, 2, 3, 255, 256, 257, 65535}) {
    std::string frame = FrameSpec(99, 255).number(0, 8).frame();
    frame[4] = static_cast<char>(version & 255);
    frame[5] = static_cast<char>(version >> 8);
    EXPECT_EQ(refusal_of(header_of(frame)), Refusal::version) << version;
  }
}

TEST(Envelope, of_a_type_from_the_future_is_refused) {
  for (int type = 0; type < 256; ++type) {
    if (type >= 1 && type <= 14) continue;
    EXPECT_EQ(refusal_of(header_of(FrameSpec(type, 0).number(0, 8))), Refusal::type) << type;
  }
}

TEST(Envelope, takes_exactly_the_flags_of_the_page_for_each_type) {
  // By type: 1 for_tenant, 2 allow_less, 4 backup, 8 sampled, 16 on_flash.
  const int allowed[] = {0, 1, 0, 31, 0, 1, 0, 5, 0, 0, 0, 0, 1, 0, 0};
  for (int type = 1; type <= 14; ++type) {
    for (int flags = 0; flags < 256; ++flags) {
      Envelope envelope;
      const HeaderBuffer header = header_of(FrameSpec(type, flags));
      EXPECT_EQ(decode_envelope(header.view(), envelope),
                (flags & ~allowed[type]) == 0 ? Refusal::none : Refusal::flags)
          << type << " with " << flags;
    }
  }
}

TEST(Envelope, must_know_its_own_length) {
  const std::string ping = FrameSpec(9, 0).number(1, 8).frame();
  for (const uint64_t bytes : {0, 43, 44, 51, 53, 308, 7936, 65588})
    EXPECT_EQ(refusal_of(header_of(with(ping, {"", 8, 4, {}, {}}, bytes))), Refusal::length);
  EXPECT_EQ(refusal_of(header_of(with(ping, {"", 8, 4, {}, {}}, 52))), Refusal::none);
}

HeaderBuffer resized(const HeaderBuffer& header, size_t size) {
  HeaderBuffer changed = header;
  changed.size = size;
  Writer(MutableBytes(changed.bytes).subspan(kHeaderBytesOffset, 4))
      .put(static_cast<uint32_t>(size));
  return changed;
}

// A sender that died in the middle, or lies about where it ended.
TEST(Body, cut_at_any_byte_is_truncated) {
  for (const auto& [name, header] : samples::signed_headers()) {
    for (size_t size = kEnvelopeBytes; size < header.size; ++size)
      ASSERT_EQ(refusal_of(resized(header, size)), Refusal::truncated) << name << " at " << size;
  }
}

// A newer peer that appends a field must raise the version: nothing is skipped.
TEST(Body, with_anything_behind_its_last_field_is_refused) {
  for (const auto& [name, header] : samples::signed_headers()) {
    for (const size_t more : {1, 4, 8, 100}) {
      if (header.size + more > kHeaderBytesMax) continue;
      HeaderBuffer longer = header;
      std::memset(longer.bytes.data() + header.size, 0, more);
      EXPECT_EQ(refusal_of(resized(longer, header.size + more)), Refusal::trailing_bytes)
          << name << " and " << more;
    }
  }
}

TEST(Body, of_one_direction_is_none_of_the_other) {
  for (const auto& [name, header] : samples::signed_headers()) {
    Envelope envelope;
    ASSERT_EQ(decode_envelope(header.view(), envelope), Refusal::none);
    Request request;
    Reply reply;
    const bool asks = is_request(envelope.type);
    EXPECT_EQ(decode_request(header.view(), envelope, request) == Refusal::direction, !asks)
        << name;
    EXPECT_EQ(decode_reply(header.view(), envelope, reply) == Refusal::direction, asks) << name;
  }
}

// There is one way to write each message: what random changes leave readable encodes to its bytes.
TEST(Body, that_is_readable_is_written_back_byte_for_byte) {
  std::mt19937_64 random(20261122);
  const auto seeds = samples::signed_headers();
  size_t readable = 0;
  for (int round = 0; round < 20'000; ++round) {
    HeaderBuffer header = seeds[random() % seeds.size()].second;
    if (header.size > 1024) continue;
    for (uint64_t changes = random() % 4; changes > 0; --changes) {
      const size_t at = kEnvelopeBytes + random() % (header.size - kEnvelopeBytes);
      header.bytes[at] = static_cast<std::byte>(random() % 4 == 0 ? random() : random() % 4);
    }
    Envelope envelope;
    Request request;
    Reply reply;
    if (refusal_of(header) != Refusal::none) continue;
    ++readable;
    ASSERT_EQ(decode_envelope(header.view(), envelope), Refusal::none);
    HeaderBuffer again;
    const auto write = [&](const auto& message) { encode(envelope.route, message, again); };
    if (decode_request(header.view(), envelope, request) == Refusal::none) {
      std::visit(write, request);
    } else {
      ASSERT_EQ(decode_reply(header.view(), envelope, reply), Refusal::none);
      std::visit(write, reply);
    }
    std::memcpy(again.bytes.data() + kMacOffset, envelope.mac.data(), kMacBytes);
    ASSERT_EQ(to_hex(text_of(again)), to_hex(text_of(header))) << "round " << round;
  }
  EXPECT_GT(readable, 2000u);
}

}  // namespace
}  // namespace tarn::wire
