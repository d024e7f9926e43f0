// A server that holds the key and lies, and callers who ask for what does not add up.
#include <cstring>

#include "tests/unit/link/link_fixture.h"

namespace tarn::fabric {
namespace {

const std::string kBytes(4096, 'b');

// Where fields lie in a header, docs/WIRE.md.
constexpr size_t kVersionAt = 4;
constexpr size_t kTypeAt = 6;
constexpr size_t kFlagsAt = 7;
constexpr size_t kLengthAt = 8;
constexpr size_t kBody = wire::kEnvelopeBytes;

class HostileTest : public LinkTest {
 protected:
  // A reply to the i-th message, with some of its bytes replaced before it is signed.
  template <typename Message>
  void lie(size_t i, const Message& message, size_t at, std::string_view patch,
           std::string payload = {}) {
    wire::HeaderBuffer header;
    wire::encode(route(i), message, header);
    ASSERT_LE(at + patch.size(), header.size);
    std::memcpy(header.bytes.data() + at, patch.data(), patch.size());
    wire::sign(header, x_server_mac);
    deliver(header.view(), std::move(payload));
  }
  uint64_t refused(wire::Refusal why) const { return x_link->counters().refused.of(why); }
};

std::string_view operator""_b(const char* text, size_t size) {
  return {text, size};
}

// A get reply: epoch 8, first 2, count 2, code 1, generation 8, payload_bytes 8, payload_crc 4.
TEST_F(HostileTest, LiesInsideAGetReplyAreRefusedByName) {
  struct Lie {
    const char* what;
    size_t at;
    std::string_view patch;
    wire::Refusal why;
  };
  const Lie lies[] = {
      {"a newer version", kVersionAt, "\x02"_b, wire::Refusal::version},
      {"a type that is none", kTypeAt, "\x7f"_b, wire::Refusal::type},
      {"a flag that is none", kFlagsAt, "\x80"_b, wire::Refusal::flags},
      {"a longer header than came", kLengthAt, "\xff\xff"_b, wire::Refusal::length},
      {"no item", kBody + 10, "\0\0"_b, wire::Refusal::field},
      {"two items with one payload", kBody + 10, "\2\0"_b, wire::Refusal::field},
      {"an item past all", kBody + 8, "\xa0\0"_b, wire::Refusal::field},
      {"items that wrap around", kBody + 8, "\xff\xff\xff\xff"_b, wire::Refusal::field},
      {"a code that is none", kBody + 12, "\x11"_b, wire::Refusal::field},
      {"a miss with a payload", kBody + 12, "\1"_b, wire::Refusal::field},
      {"a block of no bytes", kBody + 21, "\0\0\0\0\0\0\0\0"_b, wire::Refusal::field},
      {"a block over the limit", kBody + 21, "\1\0\0\4\0\0\0\0"_b, wire::Refusal::field},
      {"a block of all bytes", kBody + 21, "\xff\xff\xff\xff\xff\xff\xff\xff"_b,
       wire::Refusal::field},
      {"one byte more than came", kBody + 21, "\1\x10\0\0\0\0\0\0"_b, wire::Refusal::payload},
  };
  Get get(2, kBytes.size());
  ASSERT_TRUE(x_link->submit(get).is_ok());
  const wire::GetReply honest{Epoch{7}, 0, 1, Code::ok, {}, kBytes.size(), crc(kBytes)};
  std::map<wire::Refusal, uint64_t> expected;
  for (const Lie& each : lies) {
    SCOPED_TRACE(each.what);
    lie(0, honest, each.at, each.patch, kBytes);
    EXPECT_EQ(refused(each.why), ++expected[each.why]);
    EXPECT_TRUE(x_network.receives.empty());
  }
  EXPECT_TRUE(get.blocks.empty());
  EXPECT_EQ(x_link->counters().refused.total(), std::size(lies));
  EXPECT_EQ(x_link->server_epoch(), Epoch{}) << "nothing of a lie is believed";
  reply_block(0, 0, kBytes);
  land();
  reply_misses(0, 1, 1);
  EXPECT_EQ(get.ends, 1);
  EXPECT_EQ(get.code, Code::ok);
}

TEST_F(HostileTest, LiesInsideOtherRepliesAreRefusedByName) {
  Put put(kBytes);
  Counted<KeysOp> exists(LinkOp::Kind::exists);
  std::vector<wire::BlockItem> items(3, {Shard{1}, wire::samples::hash_of(4, 1)});
  std::vector<Code> codes(3);
  exists.items = items;
  exists.codes = codes;
  ASSERT_TRUE(x_link->submit(put).is_ok());
  ASSERT_TRUE(x_link->submit(exists).is_ok());
  const wire::PutReply kept{Epoch{7}, Code::ok, 1, wire::make_text("words")};
  lie(0, kept, kBody + 10, "\xff"_b);  // its text is longer than the header
  lie(0, kept, kBody + 10, "\4"_b);    // and shorter than what is left
  lie(0, kept, kBody + 8, "\x40"_b);   // a code that is none
  EXPECT_EQ(refused(wire::Refusal::field), 2u);
  EXPECT_EQ(refused(wire::Refusal::trailing_bytes), 1u);
  const wire::ExistsReply answer{Epoch{7}, wire::samples::codes(3)};
  lie(1, answer, kBody + 8, "\0\0"_b);    // for nobody
  lie(1, answer, kBody + 8, "\xa1\0"_b);  // for more than can be asked
  lie(1, answer, kBody + 8, "\4\0"_b);    // for one more than there are
  lie(1, answer, kBody + 10, "\x11"_b);   // a code that is none
  EXPECT_EQ(refused(wire::Refusal::field), 5u);
  EXPECT_EQ(refused(wire::Refusal::truncated), 1u);
  const wire::ErrorReply error{Epoch{7}, Code::internal, {}};
  lie(0, error, kBody + 8, "\0"_b);  // an error that is none
  EXPECT_EQ(refused(wire::Refusal::field), 6u);
  EXPECT_EQ(put.ends + exists.ends, 0);
  reply(1, answer);
  EXPECT_EQ(exists.ends, 1);
  end_send(0);
  reply(0, kept);
  EXPECT_EQ(put.ends, 1);
}

// Whatever bit of a signed reply changes on the way, it answers nothing.
TEST_F(HostileTest, NoBitOfASignedReplyMayChange) {
  Get get(1, kBytes.size());
  ASSERT_TRUE(x_link->submit(get).is_ok());
  wire::HeaderBuffer header;
  wire::encode(route(0), wire::GetReply{Epoch{7}, 0, 1, Code::not_found, {}, 0, 0}, header);
  wire::sign(header, x_server_mac);
  for (size_t bit = 0; bit < header.size * 8; ++bit) {
    wire::HeaderBuffer changed = header;
    changed.bytes[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
    deliver(changed.view());
    ASSERT_TRUE(get.blocks.empty()) << "bit " << bit;
  }
  for (size_t size = 0; size < header.size; ++size)
    deliver(header.view().first(size));
  EXPECT_EQ(get.ends, 0);
  EXPECT_EQ(x_link->counters().refused.total(), header.size * 9);
  deliver(header.view());
  EXPECT_EQ(get.ends, 1);
}

TEST_F(HostileTest, APutsPartsMustAddUpToItsSize) {
  struct Case {
    const char* what;
    std::vector<size_t> parts;
    uint64_t says;
    bool is_right;
  };
  const std::vector<size_t> most(kOpPartsMax, 1);
  const std::vector<size_t> too_many(kOpPartsMax + 1, 1);
  const Case cases[] = {
      {"one byte short", {4096}, 4097, false},
      {"one byte over", {4096, 1}, 4096, false},
      {"nothing", {}, 0, false},
      {"empty parts", {0, 0}, 0, false},
      {"as many parts as may be", most, kOpPartsMax, true},
      {"one part more", too_many, kOpPartsMax + 1, false},
      {"empty ones between", {0, 100, 0, 100, 0}, 200, true},
      {"the largest block", std::vector<size_t>(64, kMiB), kBlockBytesMax, true},
      {"a byte over the largest", {kMiB, kBlockBytesMax - kMiB + 1}, kBlockBytesMax + 1, false},
  };
  // One memory for all parts: nobody looks into it here.
  const auto memory = std::make_unique_for_overwrite<std::byte[]>(kBlockBytesMax);
  for (const Case& each : cases) {
    SCOPED_TRACE(each.what);
    Put put("x");
    std::vector<Bytes> parts;
    for (const size_t bytes : each.parts)
      parts.emplace_back(memory.get(), bytes);
    put.payload = parts;
    put.request.payload_bytes = each.says;
    const Status submitted = x_link->submit(put);
    ASSERT_EQ(submitted.is_ok(), each.is_right) << submitted.to_string();
    if (!each.is_right) {
      EXPECT_EQ(submitted.code(), Code::invalid_argument);
      EXPECT_NE(submitted.message().find("1 to 64 MiB"), std::string::npos);
      continue;
    }
    const size_t i = x_network.sent.size() - 1;
    end_send(i);
    reply(i, wire::PutReply{{}, Code::ok, 1, {}});
    EXPECT_EQ(put.ends, 1);
  }
}

TEST_F(HostileTest, NumbersOfAPutAreJudgedAtTheirEdges) {
  struct Case {
    const char* what;
    std::function<void(wire::PutRequest&)> change;
    const char* word;  // empty: it is sent
  };
  const Case cases[] = {
      {"no hash", [](auto& put) { put.hash = {}; }, "hash"},
      {"no anchor", [](auto& put) { put.anchor = {}; }, "anchor"},
      {"no parent", [](auto& put) { put.parent = {}; }, ""},
      {"an extent of no block", [](auto& put) { put.extent_blocks = put.index = 0; }, "extent"},
      {"the last index", [](auto& put) { put.extent_blocks = 64, put.index = 63; }, ""},
      {"one past it", [](auto& put) { put.extent_blocks = put.index = 64; }, "extent"},
      {"an extent too long", [](auto& put) { put.extent_blocks = 65; }, "extent"},
      {"no copy", [](auto& put) { put.copies = 0; }, "copies"},
      {"the most copies", [](auto& put) { put.copies = wire::kCopiesMax; }, ""},
      {"one more", [](auto& put) { put.copies = wire::kCopiesMax + 1; }, "copies"},
  };
  for (const Case& each : cases) {
    SCOPED_TRACE(each.what);
    Put put("x");
    each.change(put.request);
    const Status submitted = x_link->submit(put);
    EXPECT_EQ(submitted.is_ok(), *each.word == '\0') << submitted.to_string();
    EXPECT_NE(submitted.message().find(each.word), std::string::npos) << submitted.message();
    if (!submitted.is_ok()) continue;
    end_send(x_network.sent.size() - 1);
    reply(x_network.sent.size() - 1, wire::PutReply{{}, Code::ok, 1, {}});
    EXPECT_EQ(put.ends, 1);
  }
}

TEST_F(HostileTest, CountsOfItemsAreJudgedAtTheirEdges) {
  for (const size_t count : {size_t{0}, size_t{1}, kOpItemsMax, kOpItemsMax + 1}) {
    const bool is_right = count >= 1 && count <= kOpItemsMax;
    Get get(count, 1);
    EXPECT_EQ(x_link->submit(get).is_ok(), is_right) << count;
    std::vector<wire::BlockItem> items(count, {Shard{1}, wire::samples::hash_of(4, 1)});
    std::vector<Code> codes(count);
    Counted<KeysOp> exists(LinkOp::Kind::exists);
    exists.items = items;
    exists.codes = codes;
    EXPECT_EQ(x_link->submit(exists).is_ok(), is_right) << count;
    Counted<KeysOp> roomless(LinkOp::Kind::remove);
    roomless.items = items;
    roomless.codes = std::span(codes).first(count == 0 ? 0 : count - 1);
    EXPECT_EQ(x_link->submit(roomless).code(), Code::invalid_argument) << count;
    x_link->lost(unavailable("the next round"));
    finish_all();
    EXPECT_EQ(get.ends, is_right ? 1 : 0);
    EXPECT_EQ(exists.ends, is_right ? 1 : 0);
    open({});
  }
}

TEST_F(HostileTest, AScatterListHasALimit) {
  for (const size_t count : {kOpPartsMax, kOpPartsMax + 1}) {
    std::vector<std::byte> memory(count);
    std::vector<MutableBytes> parts;
    for (std::byte& each : memory)
      parts.emplace_back(&each, 1);
    Get get(1, 1);
    get.targets_of[0].into = parts;
    const Status submitted = x_link->submit(get);
    EXPECT_EQ(submitted.is_ok(), count == kOpPartsMax) << submitted.to_string();
    if (!submitted.is_ok()) continue;
    const std::string bytes(count, 'x');
    reply_block(x_network.sent.size() - 1, 0, bytes);
    land();
    EXPECT_EQ(get.ends, 1);
    EXPECT_EQ(std::memcmp(memory.data(), bytes.data(), count), 0);
  }
}

}  // namespace
}  // namespace tarn::fabric
