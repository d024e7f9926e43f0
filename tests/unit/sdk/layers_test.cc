// Layer-wise gets: what is told, in which order, and of what never.
#include <gmock/gmock.h>
#include <poll.h>

#include <algorithm>
#include <random>

#include "common/block/checksum.h"
#include "sdk/cpp/src/layer_book.h"
#include "tests/unit/sdk/kv_fixture.h"

namespace tarn::sdk {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Blocks of the fixture have 5,000 bytes.
const std::vector<uint32_t> kEnds{1000, 2500, 2501, 5000};

CallOptions layered(std::vector<uint32_t> ends = kEnds) {
  CallOptions options;
  options.layer_ends = std::move(ends);
  return options;
}

class LayersTest : public KvTest {
 protected:
  Chain& stored(size_t count, uint32_t copies = 1) {
    chain.emplace("a", count);
    CallOptions options;
    options.copies = copies;
    EXPECT_THAT(put(*chain, options), ElementsAre(Outcome::ok));
    return *chain;
  }
  // The first `bytes` of each block are where they belong.
  bool has_first(uint32_t bytes) const {
    for (size_t i = 0; i < chain->texts.size(); ++i) {
      if (chain->rooms[i].compare(0, bytes, chain->texts[i], 0, bytes) != 0) return false;
    }
    return true;
  }
  static bool is_readable(int fd) {
    pollfd readable{fd, POLLIN, 0};
    return ::poll(&readable, 1, 0) == 1;
  }

  std::optional<Chain> chain;
};

TEST_F(LayersTest, AreToldInOrderEachWhenAllBlocksHaveIt) {
  start(2);
  Chain& all = stored(40);
  for (size_t i = 0; i < 2; ++i)
    cluster->server(i).hold_pieces_from(1);
  Transfer get = space->get_kv(all.reads(), layered());
  ASSERT_TRUE(get.wait_layer(0));
  EXPECT_EQ(get.layers_ready(), 1u);
  EXPECT_TRUE(has_first(1000));
  EXPECT_FALSE(is_readable(get.layer_fd()));
  EXPECT_EQ(get.wait_layer(1, 1).error().outcome, Outcome::deadline_exceeded);
  EXPECT_FALSE(get.poll());

  cluster->server(0).hold_pieces_from(2501);
  EXPECT_EQ(get.wait_layer(1, 20).error().outcome, Outcome::deadline_exceeded)
      << "the other server owes its blocks";
  cluster->server(1).hold_pieces_from(2501);
  ASSERT_TRUE(get.wait_layer(2));
  EXPECT_TRUE(has_first(2501));
  EXPECT_EQ(get.layers_ready(), 3u);
  for (size_t i = 0; i < 2; ++i)
    cluster->server(i).hold_pieces_from(UINT32_MAX);
  ASSERT_TRUE(get.wait_layer(3));
  EXPECT_TRUE(all.is_whole());
  ASSERT_TRUE(get.wait());
  EXPECT_TRUE(get.all_ok());
  EXPECT_EQ(get.outcomes()[3].bytes, 5000u);
  EXPECT_EQ(get.layers_ready(), 4u);
  EXPECT_TRUE(is_readable(get.layer_fd())) << "once it has ended, for good";
}

TEST_F(LayersTest, MakeTheirDescriptorReadableAnewForEachStep) {
  start(1);
  Chain& all = stored(3);
  cluster->server(0).hold_pieces_from(1);
  Transfer get = space->get_kv(all.reads(), layered());
  EXPECT_TRUE(becomes([&] { return is_readable(get.layer_fd()); }));
  EXPECT_EQ(get.layers_ready(), 1u);
  EXPECT_FALSE(is_readable(get.layer_fd()));
  EXPECT_FALSE(is_readable(get.fd())) << "the transfer goes on";
  cluster->server(0).hold_pieces_from(UINT32_MAX);
  EXPECT_TRUE(becomes([&] { return is_readable(get.layer_fd()); }));
  EXPECT_TRUE(get.wait());
  EXPECT_EQ(get.layers_ready(), 4u);
}

TEST_F(LayersTest, OfManyBlocksTravelWithinAWindow) {
  start(1);
  Chain& all = stored(64);
  std::vector<uint32_t> ends;
  for (uint32_t end = 100; end <= 5000; end += 100)
    ends.push_back(end);
  Transfer get = space->get_kv(all.reads(), layered(ends));
  for (uint32_t layer = 0; layer < ends.size(); ++layer) {
    ASSERT_TRUE(get.wait_layer(layer));
    ASSERT_TRUE(has_first(ends[layer])) << layer;
  }
  EXPECT_TRUE(get.wait());
  EXPECT_TRUE(get.all_ok());
  EXPECT_TRUE(all.is_whole());
}

// A block of which a piece is gone tells no later layer, and its outcome says why.
TEST_F(LayersTest, EndWithTheFirstBlockThatFails) {
  start(1);
  Chain& all = stored(4);
  cluster->server(0).hold_pieces_from(2500);
  Transfer get = space->get_kv(all.reads(), layered());
  ASSERT_TRUE(get.wait_layer(1));
  cluster->server(0).judge("a-2", Code::not_found);
  cluster->server(0).hold_pieces_from(UINT32_MAX);
  const auto failed = get.wait_layer(2);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().outcome, Outcome::miss);
  EXPECT_THAT(failed.error().message, HasSubstr("items[2]"));
  EXPECT_TRUE(get.wait());
  EXPECT_EQ(get.layers_ready(), 2u);
  EXPECT_EQ(get.outcomes()[2].outcome, Outcome::miss);
  EXPECT_EQ(get.outcomes()[1].outcome, Outcome::ok);
}

// The server's memory is damaged: each piece is as it was sent, the whole is not what was put.
TEST_F(LayersTest, ADamagedBlockNeverTellsItsLastLayer) {
  start(1);
  Chain& all = stored(3);
  cluster->server(0).corrupt("a-1");
  Transfer get = space->get_kv(all.reads(), layered());
  const auto last = get.wait_layer(3);
  ASSERT_FALSE(last);
  EXPECT_EQ(last.error().outcome, Outcome::corrupt);
  EXPECT_TRUE(get.wait());
  EXPECT_LT(get.layers_ready(), 4u);
  EXPECT_EQ(get.outcomes()[1].outcome, Outcome::corrupt);
  EXPECT_EQ(get.outcomes()[1].bytes, 0u);
}

TEST_F(LayersTest, APieceDamagedOnTheWayComesFromTheOtherCopy) {
  start(2);
  Chain& all = stored(2);
  for (size_t i = 0; i < 2; ++i) {
    for (size_t server = 0; server < 2; ++server)
      cluster->server(server).copy(all.hashes[i], all.texts[i]);
  }
  fault::arm("link.corrupt_payload", {});
  Transfer get = space->get_kv(all.reads(), layered());
  EXPECT_TRUE(get.wait_layer(3));
  EXPECT_TRUE(get.wait());
  EXPECT_TRUE(get.all_ok());
  EXPECT_TRUE(all.is_whole());
}

// No get joins the pieces of two puts.
TEST_F(LayersTest, OfAnotherPutAreNotJoined) {
  start(2);
  Chain& all = stored(1);
  const size_t owner = cluster->server(0).has("a-0") ? 0 : 1;
  cluster->server(1 - owner).copy("a-0", std::string(5000, 'z'));
  cluster->server(owner).hold_pieces_from(1000);
  Transfer get = space->get_kv(all.reads(), layered());
  ASSERT_TRUE(get.wait_layer(0));
  cluster->server(owner).judge("a-0", Code::not_found);
  cluster->server(owner).hold_pieces_from(UINT32_MAX);
  EXPECT_EQ(get.wait_layer(1).error().outcome, Outcome::miss);
  EXPECT_TRUE(has_first(1000)) << "what was told is not written again";
}

TEST_F(LayersTest, OfAServerThatKnowsNoPiecesAreToldAtTheEnd) {
  start(1);
  cluster->server(0).know_no_pieces();
  Chain& all = stored(20);
  Transfer get = space->get_kv(all.reads(), layered());
  for (uint32_t layer = 0; layer < 4; ++layer)
    EXPECT_TRUE(get.wait_layer(layer));
  EXPECT_TRUE(get.wait());
  EXPECT_TRUE(get.all_ok());
  EXPECT_TRUE(all.is_whole());
  EXPECT_EQ(get.outcomes()[7].bytes, 5000u);
  EXPECT_EQ(cluster->server(0).piece_requests(), 0u);
  EXPECT_GT(cluster->server(0).block_requests(), 0u);
}

TEST_F(LayersTest, OfOldAndNewServersTogether) {
  start(2);
  cluster->server(0).know_no_pieces();
  Chain& all = stored(12);
  Transfer get = space->get_kv(all.reads(), layered());
  EXPECT_TRUE(get.wait_layer(3));
  EXPECT_TRUE(get.wait());
  EXPECT_TRUE(get.all_ok());
  EXPECT_TRUE(all.is_whole());
}

TEST_F(LayersTest, AMissOfAnOldServerFailsTheBlock) {
  start(1);
  cluster->server(0).know_no_pieces();
  Chain& all = stored(3);
  cluster->server(0).judge("a-1", Code::not_found);
  Transfer get = space->get_kv(all.reads(), layered());
  EXPECT_EQ(get.wait_layer(0).error().outcome, Outcome::miss);
  EXPECT_TRUE(get.wait());
  EXPECT_EQ(get.outcomes()[0].outcome, Outcome::ok);
  EXPECT_EQ(get.layers_ready(), 0u);
}

TEST_F(LayersTest, EndByTheDeadlineAndByACancel) {
  start(1);
  Chain& all = stored(3);
  cluster->server(0).hold_pieces_from(1000);
  CallOptions options = layered();
  options.timeout_ms = 200;
  Transfer late = space->get_kv(all.reads(), options);
  EXPECT_TRUE(late.wait_layer(0));
  EXPECT_EQ(late.wait_layer(1).error().outcome, Outcome::deadline_exceeded);
  EXPECT_TRUE(late.wait());
  Transfer unwanted = space->get_kv(all.reads(), layered());
  EXPECT_TRUE(unwanted.wait_layer(0));
  unwanted.cancel();
  EXPECT_EQ(unwanted.wait_layer(1).error().outcome, Outcome::cancelled);
  EXPECT_TRUE(unwanted.wait());
}

TEST_F(LayersTest, ThatMakeNoSenseAreRefusedByName) {
  start(1);
  Chain& all = stored(2);
  struct Case {
    std::vector<uint32_t> ends;
    const char* words;
  };
  for (const Case& each :
       {Case{{0, 5000}, "options.layer_ends: must rise"},
        Case{{1000, 1000, 5000}, "options.layer_ends: must rise"},
        Case{{1000, 4999}, "slices: 5000 bytes, and the last layer ends at 4999"},
        Case{std::vector<uint32_t>(1025, 1), "more than 1024"}}) {
    Transfer get = space->get_kv(all.reads(), layered(each.ends));
    EXPECT_TRUE(get.wait());
    EXPECT_EQ(get.outcomes()[0].outcome, Outcome::invalid_argument);
    EXPECT_THAT(get.outcomes()[0].message, HasSubstr(each.words));
    EXPECT_EQ(get.layers_ready(), 0u);
  }
  Transfer get = space->get_kv(all.reads(), layered());
  EXPECT_EQ(get.wait_layer(4).error().outcome, Outcome::invalid_argument);
  Transfer plain = space->get_kv(all.reads());
  EXPECT_EQ(plain.wait_layer(0).error().outcome, Outcome::invalid_argument);
  EXPECT_EQ(plain.layer_fd(), -1);
  Transfer nothing = space->get_kv({}, layered());
  EXPECT_TRUE(nothing.wait_layer(3));
  EXPECT_EQ(nothing.layers_ready(), 4u);
}

TEST_F(LayersTest, OfABlockOfAnotherSizeTellItsSize) {
  start(1);
  stored(1);
  cluster->server(0).copy("a-0", std::string(6000, 'x'));
  Transfer get = space->get_kv(chain->reads(), layered());
  EXPECT_EQ(get.wait_layer(0).error().outcome, Outcome::invalid_argument);
  EXPECT_TRUE(get.wait());
  EXPECT_EQ(get.outcomes()[0].bytes, 6000u);
}

TEST_F(LayersTest, WithoutADescriptorLeftAreOverloaded) {
  start(1);
  Chain& all = stored(2);
  fault::arm("sdk.transfer_fd", {});
  Transfer get = space->get_kv(all.reads(), layered());
  EXPECT_EQ(get.wait_layer(0).error().outcome, Outcome::overloaded);
  EXPECT_EQ(get.layer_fd(), -1);
}

// Pieces in any order, with failures, against a reference that counts by hand.
TEST(LayerBookTest, TellsWhatAModelTells) {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    const size_t blocks = random() % 5 + 1;
    const std::string text(60, 'q');
    const std::vector<uint32_t> ends{10, 11, 40, 60};
    LayerBook book(ends, blocks);
    std::vector<std::pair<uint32_t, uint32_t>> pieces;
    for (uint32_t block = 0; block < blocks; ++block)
      for (uint32_t layer = 0; layer < ends.size(); ++layer)
        pieces.emplace_back(block, layer);
    std::shuffle(pieces.begin(), pieces.end(), random);
    std::vector<std::vector<bool>> landed(ends.size(), std::vector<bool>(blocks));
    const uint32_t whole = block::crc32c(0, text.data(), text.size());
    for (const auto& [block, layer] : pieces) {
      const bool fails = random() % 20 == 0;
      if (book.failure(block) != Code::ok) continue;
      const uint32_t crc =
          block::crc32c(0, text.data() + book.offset_of(layer), book.bytes_of(layer));
      const Code code =
          fails ? Code::unavailable : book.land({block, layer, crc, book.block_bytes(), whole});
      EXPECT_EQ(code, fails ? Code::unavailable : Code::ok) << seed;
      book.settle(block, layer, code);
      landed[layer][block] = !fails;
      uint32_t ready = 0;
      while (ready < ends.size() &&
             std::count(landed[ready].begin(), landed[ready].end(), false) == 0)
        ++ready;
      ASSERT_EQ(book.ready(), ready) << seed;
    }
  }
}

TEST(LayerBookTest, TheLastPieceIsJudgedWithAllOthers) {
  const std::string text = "0123456789";
  const auto crc = [&](size_t at, size_t bytes) { return block::crc32c(0, &text[at], bytes); };
  LayerBook book({4, 10}, 1);
  EXPECT_EQ(book.land({0, 1, crc(4, 6), 10, crc(0, 10)}), Code::ok);
  EXPECT_EQ(book.land({0, 0, crc(0, 4), 10, 1}), Code::not_found) << "of another put";
  EXPECT_EQ(book.land({0, 0, crc(0, 4), 11, crc(0, 10)}), Code::invalid_argument);
  EXPECT_EQ(book.land({0, 0, crc(0, 4) ^ 1, 10, crc(0, 10)}), Code::corrupt);
}

TEST(LayerBookTest, TakesABlockWholeOnlyBeforeItsFirstPiece) {
  LayerBook book({4, 10}, 3);
  book.begin_piece(0, 4);
  EXPECT_EQ(book.take_whole(0), nullptr) << "a piece is on its way";
  EXPECT_NE(book.take_whole(1), nullptr);
  EXPECT_TRUE(book.is_whole(1));
  EXPECT_TRUE(book.settle(1, 2, Code::ok));
  EXPECT_EQ(book.ready(), 0u);
  book.end_piece(0, 4);
  EXPECT_NE(book.take_whole(0), nullptr);
}

TEST(LayerBookTest, KeepsWithinItsWindow) {
  LayerBook book({4, 10}, 400);
  for (size_t i = 0; i < kPiecesMost; ++i) {
    EXPECT_FALSE(book.is_full());
    book.begin_piece(0, 4);
  }
  EXPECT_TRUE(book.is_full());
  for (size_t i = 0; i < kPiecesMost / 2; ++i) {
    EXPECT_FALSE(book.has_room());
    book.end_piece(0, 4);
  }
  EXPECT_TRUE(book.has_room());
  book.begin_piece(0, kPieceBytesMost);
  EXPECT_TRUE(book.is_full());
}

}  // namespace
}  // namespace tarn::sdk
