// Gets of pieces of blocks: what a link asks, takes and refuses.
#include "tests/unit/link/link_fixture.h"

namespace tarn::fabric {
namespace {

const std::string kPiece(1024, 'p');

class PiecesTest : public LinkTest {
 protected:
  void SetUp() override {
    LinkIdentity identity;
    identity.pieces = true;
    open(identity);
  }

  // Pieces of one block of 8 KiB, one after the other.
  static std::unique_ptr<Get> pieces_of_a_block(size_t count) {
    auto get = std::make_unique<Get>(count, kPiece.size());
    get->pieces = true;
    for (size_t i = 0; i < count; ++i) {
      get->targets_of[i].hash = wire::samples::hash_of(32, 1);
      get->targets_of[i].offset = static_cast<uint32_t>(i * kPiece.size());
    }
    return get;
  }
  // The operations of a test go before its link does.
  void end_all() {
    x_link->lost(unavailable("the test is over"));
    finish_all();
  }
  static wire::GetReply answer(uint16_t item, const std::string& bytes) {
    return {Epoch{7}, item, 1, Code::ok, Generation{4}, bytes.size(), crc(bytes), true, 8192, 99};
  }
};

TEST_F(PiecesTest, AreAskedForInTheirOrderAndLandOneByOne) {
  const auto get = pieces_of_a_block(3);
  ASSERT_TRUE(x_link->submit(*get).is_ok());
  const auto asked = std::get<wire::GetRequest>(request(0));
  EXPECT_TRUE(asked.pieces);
  ASSERT_EQ(asked.items.size(), 3u);
  EXPECT_EQ(asked.items[2].offset, 2 * kPiece.size());
  EXPECT_EQ(asked.items[2].bytes_max, kPiece.size());
  for (const uint16_t item : std::initializer_list<uint16_t>{0, 2, 1})
    reply(0, answer(item, kPiece), kPiece);
  for (int i = 0; i < 3; ++i)
    land();
  EXPECT_EQ(get->blocks, (std::vector<size_t>{0, 2, 1}));
  EXPECT_EQ(get->ends, 1);
  EXPECT_EQ(get->targets[1].code, Code::ok);
  EXPECT_EQ(get->targets[1].block_bytes, 8192u);
  EXPECT_EQ(get->targets[1].block_crc, 99u);
  EXPECT_EQ(get->targets[1].payload_crc, crc(kPiece)) << "the piece's own";
}

TEST_F(PiecesTest, ThatFailTheirOwnChecksumAreCorruptAlone) {
  const auto get = pieces_of_a_block(2);
  ASSERT_TRUE(x_link->submit(*get).is_ok());
  wire::GetReply wrong = answer(0, kPiece);
  ++wrong.payload_crc;
  reply(0, wrong, kPiece);
  reply(0, answer(1, kPiece), kPiece);
  land();
  land();
  EXPECT_EQ(get->targets[0].code, Code::corrupt);
  EXPECT_EQ(get->targets[1].code, Code::ok);
  EXPECT_EQ(x_link->counters().corrupt_payloads, 1u);
}

TEST_F(PiecesTest, OfAnotherSizeThanAskedForAreNotMoved) {
  const auto get = pieces_of_a_block(2);
  ASSERT_TRUE(x_link->submit(*get).is_ok());
  reply(0, answer(0, kPiece + "x"), kPiece + "x");
  reply(0, answer(1, kPiece.substr(1)), kPiece.substr(1));
  EXPECT_TRUE(x_network.receives.empty());
  EXPECT_EQ(get->targets[0].code, Code::invalid_argument);
  EXPECT_EQ(x_link->counters().size_mismatches, 2u);
}

// A whole block in the place of a piece would be taken for the piece, and the other way round.
TEST_F(PiecesTest, AndBlocksDoNotAnswerForEachOther) {
  const auto pieces = pieces_of_a_block(1);
  Get whole(1, kPiece.size());
  ASSERT_TRUE(x_link->submit(*pieces).is_ok());
  ASSERT_TRUE(x_link->submit(whole).is_ok());
  reply_block(0, 0, kPiece);
  reply(1, answer(0, kPiece), kPiece);
  EXPECT_EQ(x_link->counters().foreign_replies, 2u);
  EXPECT_TRUE(x_network.receives.empty());
  reply(0, answer(0, kPiece), kPiece);
  reply_block(1, 0, kPiece);
  land();
  land();
  EXPECT_EQ(pieces->ends + whole.ends, 2);
}

TEST_F(PiecesTest, MissAndAreRefusedAsBlocksAre) {
  const auto get = pieces_of_a_block(4);
  ASSERT_TRUE(x_link->submit(*get).is_ok());
  reply(0, answer(0, kPiece), kPiece);
  reply_misses(0, 1, 2);
  reply(0, wire::ErrorReply{Epoch{9}, Code::overloaded, wire::make_text("later")});
  land();
  EXPECT_EQ(get->ends, 1);
  EXPECT_EQ(get->targets[0].code, Code::ok);
  EXPECT_EQ(get->targets[2].code, Code::not_found);
  EXPECT_EQ(get->targets[3].code, Code::overloaded);
}

TEST_F(PiecesTest, AreNotAskedOfServersThatKnowNone) {
  open({});
  const auto get = pieces_of_a_block(1);
  EXPECT_EQ(x_link->submit(*get).code(), Code::unsupported);
  EXPECT_TRUE(x_network.sent.empty());
}

TEST_F(PiecesTest, NobodyWaitsForAreCancelledAtTheServer) {
  const auto get = pieces_of_a_block(3);
  ASSERT_TRUE(x_link->submit(*get).is_ok());
  x_link->hasten(*get, x_clock.now() + std::chrono::seconds(1));
  ASSERT_EQ(x_network.sent.size(), 2u);
  EXPECT_EQ(std::get<wire::Cancel>(request(1)).sequence, route(0).sequence);
  EXPECT_EQ(route(1).sequence, route(0).sequence + 1);
  reply(0, wire::GetReply{Epoch{7}, 0, 3, Code::cancelled, {}, 0, 0});
  EXPECT_EQ(get->ends, 1);
  EXPECT_EQ(get->targets[2].code, Code::cancelled);

  Put put("bytes");
  ASSERT_TRUE(x_link->submit(put).is_ok());
  x_link->hasten(put, x_clock.now() + std::chrono::seconds(1));
  EXPECT_EQ(x_network.sent.size(), 3u) << "a put has bytes on their way: only its deadline ends it";
  end_all();
}

TEST_F(PiecesTest, EndWithinTheLargestBlock) {
  const auto get = pieces_of_a_block(1);
  get->targets_of[0].offset = static_cast<uint32_t>(kBlockBytesMax - kPiece.size() + 1);
  EXPECT_EQ(x_link->submit(*get).code(), Code::invalid_argument);
  --get->targets_of[0].offset;
  EXPECT_TRUE(x_link->submit(*get).is_ok());
  end_all();
}

// Each lie is one field of a signed piece reply; none reaches memory.
TEST_F(PiecesTest, ThatAServerLiesAboutAreDropped) {
  const auto get = pieces_of_a_block(2);
  ASSERT_TRUE(x_link->submit(*get).is_ok());
  constexpr size_t kBody = wire::kEnvelopeBytes;
  struct Lie {
    size_t at;
    uint8_t byte;
    wire::Refusal why;
  };
  for (const Lie& lie : {Lie{kBody + 8, 160, wire::Refusal::field},   // item
                         Lie{kBody + 19, 0, wire::Refusal::field},    // no bytes
                         Lie{kBody + 27, 1, wire::Refusal::field},    // larger than its block
                         Lie{kBody + 29, 5, wire::Refusal::field},    // a block over 64 MiB
                         Lie{kBody + 18, 1, wire::Refusal::payload},  // a byte more than came
                         Lie{kBody - 37, 0x80, wire::Refusal::flags}}) {
    wire::HeaderBuffer header;
    wire::encode(route(0), answer(0, kPiece), header);
    header.bytes[lie.at] = static_cast<std::byte>(lie.byte);
    wire::sign(header, x_server_mac);
    const uint64_t before = x_link->counters().refused.of(lie.why);
    deliver(header.view(), kPiece);
    EXPECT_EQ(x_link->counters().refused.of(lie.why), before + 1) << lie.at;
  }
  reply(0, answer(1, kPiece), kPiece);
  reply(0, answer(1, kPiece), kPiece);
  EXPECT_EQ(x_link->counters().repeated_replies, 1u);
  wire::GetReply far = answer(2, kPiece);
  reply(0, far, kPiece);
  EXPECT_EQ(x_link->counters().foreign_replies, 1u);
  EXPECT_EQ(x_network.receives.size(), 1u);
  land();
  EXPECT_EQ(get->ends, 0);
  end_all();
  EXPECT_EQ(get->ends, 1);
}

}  // namespace
}  // namespace tarn::fabric
