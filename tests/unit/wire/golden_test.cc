#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "tests/unit/wire/frame_spec.h"
#include "tests/unit/wire/samples.h"

// Every message byte for byte as docs/WIRE.md states it: what two versions of Tarn agree on.
namespace tarn::wire {
namespace {

const std::string kHash = "hash";
const std::string kAnchor(32, 'A');
const std::string kParent = "p";

RequestHead head() {
  RequestHead head;
  head.epoch = Epoch{258};
  head.deadline_us = 250'000;
  head.space.bytes.fill('S');
  return head;
}

RequestHead tenant_head() {
  RequestHead of_a_server = head();
  of_a_server.for_tenant = true;
  of_a_server.tenant.bytes.fill('T');
  return of_a_server;
}

block::BlockHash hash(const std::string& bytes) {
  return block::BlockHash::from(bytes).value();
}

struct Golden {
  std::string name;
  std::variant<Request, Reply> message;
  std::string frame;
};

Golden get_request() {
  GetRequest get{head(), {}};
  get.items.push_back({Shard{7}, 65536, hash(kHash)});
  get.items.push_back({Shard{0x01020304}, kBlockBytesMax, hash(kAnchor)});
  FrameSpec spec(1, 0);
  spec.head(258, 250'000, 'S', '\0').number(2, 2);
  spec.number(7, 4).number(65536, 8).sized(kHash);
  spec.number(0x01020304, 4).number(64 << 20, 8).sized(kAnchor);
  return {"get_request", Request(get), spec.frame()};
}

Golden pieces_request() {
  GetRequest get{head(), {}, true};
  get.items.push_back({Shard{7}, 65536, hash(kHash), 0x01020304});
  FrameSpec spec(12, 0);
  spec.head(258, 250'000, 'S', '\0').number(1, 2);
  spec.number(7, 4).number(0x01020304, 4).number(65536, 4).sized(kHash);
  return {"pieces_request", Request(get), spec.frame()};
}

Golden put_request() {
  PutRequest put;
  put.head = head();
  put.shard = Shard{2};
  put.index = 4;
  put.extent_blocks = 32;
  put.kind = block::SpaceKind::chained;
  put.copies = 3;
  put.payload_bytes = 4096;
  put.payload_crc = 0xdeadbeef;
  put.hash = hash(kHash);
  put.anchor = hash(kAnchor);
  put.parent = hash(kParent);
  FrameSpec spec(3, 0);
  spec.head(258, 250'000, 'S', '\0').number(2, 4).number(4, 2).number(32, 2);
  spec.number(0, 1).number(3, 1).number(4096, 8).number(0xdeadbeef, 4);
  spec.sized(kHash).sized(kAnchor).sized(kParent);
  return {"put_request", Request(put), spec.frame()};
}

// All flags that go together, a flat space, no parent.
Golden put_backup() {
  PutRequest put;
  put.head = tenant_head();
  put.allow_less = put.backup = put.on_flash = true;
  put.extent_blocks = 1;
  put.kind = block::SpaceKind::flat;
  put.copies = 16;
  put.payload_bytes = kBlockBytesMax;
  put.hash = put.anchor = hash(kHash);
  FrameSpec spec(3, 1 + 2 + 4 + 16);
  spec.head(258, 250'000, 'S', 'T').number(0, 4).number(0, 2).number(1, 2);
  spec.number(1, 1).number(16, 1).number(64 << 20, 8).number(0, 4);
  spec.sized(kHash).sized(kHash).sized("");
  return {"put_backup", Request(put), spec.frame()};
}

Golden exists_request() {
  ExistsRequest exists{head(), {}};
  exists.items.push_back({Shard{1}, hash(kHash)});
  exists.items.push_back({Shard{2}, hash(kParent)});
  FrameSpec spec(5, 0);
  spec.head(258, 250'000, 'S', '\0').number(2, 2);
  spec.number(1, 4).sized(kHash).number(2, 4).sized(kParent);
  return {"exists_request", Request(exists), spec.frame()};
}

Golden remove_request() {
  RemoveRequest removal{tenant_head(), true, {}};
  removal.items.push_back({Shard{1}, hash(kHash)});
  FrameSpec spec(7, 1 + 4);
  spec.head(258, 250'000, 'S', 'T').number(1, 2).number(1, 4).sized(kHash);
  return {"remove_request", Request(removal), spec.frame()};
}

std::vector<Golden> replies() {
  BoundedList<Code, kItemsMax> codes;
  codes.push_back(Code::ok);
  codes.push_back(Code::not_found);
  codes.push_back(Code::internal);
  const auto list = [](int type) {
    return FrameSpec(type, 0).number(7, 8).number(3, 2).number(0, 1).number(1, 1).number(16, 1);
  };
  return {
      {"get_reply", Reply(GetReply{Epoch{7}, 2, 1, Code::ok, Generation{12}, 4096, 77}),
       FrameSpec(2, 0)
           .number(7, 8)
           .number(2, 2)
           .number(1, 2)
           .number(0, 1)
           .number(12, 8)
           .number(4096, 8)
           .number(77, 4)
           .frame()},
      {"get_misses", Reply(GetReply{Epoch{7}, 0, 160, Code::not_found, {}, 0, 0}),
       FrameSpec(2, 0)
           .number(7, 8)
           .number(0, 2)
           .number(160, 2)
           .number(1, 1)
           .number(0, 8)
           .number(0, 8)
           .number(0, 4)
           .frame()},
      {"piece_reply",
       Reply(GetReply{Epoch{7}, 2, 1, Code::ok, Generation{12}, 4096, 77, true, 8192, 78}),
       FrameSpec(13, 0)
           .number(7, 8)
           .number(2, 2)
           .number(12, 8)
           .number(4096, 4)
           .number(77, 4)
           .number(8192, 4)
           .number(78, 4)
           .frame()},
      {"put_reply", Reply(PutReply{Epoch{7}, Code::kept_less, 1, make_text("one domain is down")}),
       FrameSpec(4, 0).number(7, 8).number(3, 1).number(1, 1).sized("one domain is down").frame()},
      {"exists_reply", Reply(ExistsReply{Epoch{7}, codes}), list(6).frame()},
      {"remove_reply", Reply(RemoveReply{Epoch{7}, codes}), list(8).frame()},
      {"pong", Reply(Pong{Epoch{UINT64_MAX}}), FrameSpec(10, 0).number(UINT64_MAX, 8).frame()},
      {"error_reply", Reply(ErrorReply{Epoch{8}, Code::stale_epoch, make_text("")}),
       FrameSpec(11, 0).number(8, 8).number(6, 1).sized("").frame()},
  };
}

std::vector<Golden> all() {
  std::vector<Golden> messages = {
      get_request(),
      pieces_request(),
      put_request(),
      put_backup(),
      exists_request(),
      remove_request(),
      {"ping", Request(Ping{Epoch{258}}), FrameSpec(9, 0).number(258, 8).frame()},
      {"cancel", Request(Cancel{0x0003000000000028}),
       FrameSpec(14, 0).number(0x0003000000000028, 8).frame()},
  };
  for (Golden& reply : replies())
    messages.push_back(std::move(reply));
  return messages;
}

TEST(Golden, every_message_is_written_as_the_page_says) {
  for (const Golden& golden : all()) {
    const HeaderBuffer header = std::visit(
        [](const auto& message) { return samples::encode_any(message); }, golden.message);
    EXPECT_EQ(to_hex(text_of(header)), to_hex(golden.frame)) << golden.name;
  }
}

TEST(Golden, every_frame_of_the_page_is_read_as_the_message) {
  for (const Golden& golden : all()) {
    const HeaderBuffer header = header_of(golden.frame);
    Envelope envelope;
    ASSERT_EQ(decode_envelope(header.view(), envelope), Refusal::none) << golden.name;
    EXPECT_EQ(envelope.route, samples::kRoute);
    EXPECT_EQ(envelope.header_bytes, golden.frame.size());
    if (const auto* request = std::get_if<Request>(&golden.message)) {
      Request read;
      EXPECT_EQ(decode_request(header.view(), envelope, read), Refusal::none) << golden.name;
      EXPECT_EQ(read, *request) << golden.name;
    } else {
      Reply read;
      EXPECT_EQ(decode_reply(header.view(), envelope, read), Refusal::none) << golden.name;
      EXPECT_EQ(read, std::get<Reply>(golden.message)) << golden.name;
    }
  }
}

TEST(Golden, all_fourteen_types_are_here) {
  std::set<char> types;
  for (const Golden& golden : all())
    types.insert(golden.frame[6]);
  EXPECT_EQ(types.size(), 14u);
}

// HMAC-SHA256 by Python's hmac, over incarnation 5, nonce 1 2 3 0..., sequence and header.
TEST(Golden, a_signed_ping_keeps_its_mac) {
  HeaderBuffer header = header_of(FrameSpec(9, 0).number(258, 8));
  auth::RequestMac key = samples::mac();
  sign(header, key);
  EXPECT_EQ(to_hex(text_of(header)).substr(2 * kMacOffset, 2 * kMacBytes),
            "e9c1bd456606306adcd30fd3efe7f180");
}

std::string page() {
  std::ostringstream text;
  text << std::ifstream(std::string(TARN_SOURCE_DIR) + "/docs/WIRE.md").rdbuf();
  return text.str();
}

bool says(const std::string& text) {
  return page().find(text) != std::string::npos;
}

TEST(WirePage, shows_the_bytes_of_a_ping) {
  std::string bytes = to_hex(FrameSpec(9, 0).number(258, 8).frame());
  for (const size_t field_end : {8, 13, 16, 19, 28, 45, 62, 95})
    bytes.insert(field_end, " ");
  EXPECT_TRUE(says("\n" + bytes + "\n")) << bytes;
}

TEST(WirePage, states_the_limits_of_the_code) {
  EXPECT_TRUE(says("at most 7,936 bytes") && kHeaderBytesMax == 7936);
  EXPECT_TRUE(says("these 44 bytes") && kEnvelopeBytes == 44);
  EXPECT_TRUE(says("u16 count (1 to 160)") && kItemsMax == 160);
  EXPECT_TRUE(says("u8 size (0 to 200)") && kTextBytesMax == 200);
  EXPECT_TRUE(says("u8 copies (1 to 16)") && kCopiesMax == 16);
  EXPECT_TRUE(says("u16 G (1 to 64)") && kExtentBlocksMax == 64);
  EXPECT_TRUE(says("u8 size (1 to 32;") && kHashBytesMax == 32);
  EXPECT_TRUE(says("at most an hour") && kDeadlineUsMax == 3'600'000'000);
  EXPECT_TRUE(says("flags: 1 for_tenant, 2 allow_less, 4 backup, 8 sampled, 16 on_flash") &&
              kFlagForTenant == 1 && kFlagAllowLess == 2 && kFlagBackup == 4 && kFlagSampled == 8 &&
              kFlagOnFlash == 16);
}

TEST(WirePage, names_every_refusal) {
  for (int i = 1; i < kRefusalCount; ++i) {
    const std::string name(refusal_name(static_cast<Refusal>(i)));
    EXPECT_TRUE(says("`" + name + "`")) << name;
  }
}

TEST(WirePage, has_a_row_for_every_type) {
  for (const char* row :
       {"| 1 | get request |", "| 2 | get reply |", "| 3 | put request |", "| 4 | put reply |",
        "| 5 | exists request |", "| 6 | exists reply |", "| 7 | remove request |",
        "| 8 | remove reply |", "| 9 | ping |", "| 10 | pong |", "| 11 | error reply |",
        "| 12 | pieces request |", "| 13 | piece reply |", "| 14 | cancel |"}) {
    EXPECT_TRUE(says(row)) << row;
  }
}

}  // namespace
}  // namespace tarn::wire
