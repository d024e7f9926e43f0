// Gets of pieces of blocks, as a lane serves them.
#include <gtest/gtest.h>

#include <algorithm>

#include "common/base/fault_point.h"
#include "common/block/checksum.h"
#include "common/block/crc_combine.h"
#include "common/wire/encode.h"
#include "common/wire/seal.h"
#include "server/lane/get_service.h"
#include "tests/unit/server/lane/rig.h"

namespace tarn::lane {
namespace {

constexpr uint64_t kBytes = 10'000;

class Pieces : public testing::Test {
 protected:
  void SetUp() override { x_lane.set_config(make_config(1, 1)); }
  void TearDown() override { fault::disarm_all(); }

  struct Wanted {
    uint64_t hash;
    uint32_t offset;
    uint32_t bytes;
  };
  // What became of each, in `targets`, and the order in which they ended.
  Code get(const std::vector<Wanted>& wanted) {
    begin(wanted);
    EXPECT_TRUE(x_client.until([&] { return x_ended; }));
    return x_op.code;
  }
  void begin(const std::vector<Wanted>& wanted) {
    memory.clear();
    parts.clear();
    order.clear();
    for (const Wanted& each : wanted)
      memory.emplace_back(each.bytes);
    parts.assign(memory.begin(), memory.end());
    targets.assign(wanted.size(), {});
    for (size_t i = 0; i < wanted.size(); ++i) {
      targets[i].hash = test_hash(wanted[i].hash);
      targets[i].offset = wanted[i].offset;
      targets[i].into = std::span(&parts[i], 1);
    }
    x_op.head.space = x_client.request_of({}).head.space;
    x_op.deadline = x_clock.now() + std::chrono::seconds(2);
    x_op.pieces = true;
    x_op.targets = targets;
    x_op.on_block = [this](fabric::GetOp&, size_t index) { order.push_back(index); };
    x_ended = false;
    x_op.on_end = [this](fabric::LinkOp&) { x_ended = true; };
    EXPECT_TRUE(x_client.link->submit(x_op).is_ok());
  }
  static std::vector<std::byte> part_of(uint64_t hash, uint32_t offset, uint32_t bytes) {
    const auto whole = test_payload(hash, kBytes);
    return {whole.begin() + offset, whole.begin() + offset + bytes};
  }

  fabric::LoopHub x_hub;
  ManualClock x_clock;
  LaneRig x_lane{x_hub, x_clock, "s1"};
  ClientRig x_client{x_hub, x_lane, {}};
  std::vector<std::vector<std::byte>> memory;
  std::vector<fabric::MutableBytes> parts;
  std::vector<fabric::GetTarget> targets;
  std::vector<size_t> order;
  fabric::GetOp x_op;
  bool x_ended = false;
};

TEST_F(Pieces, OfTwoBlocksComeInTheOrderAskedWithBothChecksums) {
  for (const uint64_t hash : {1, 2})
    ASSERT_EQ(x_client.put({.hash = hash}), Code::ok);
  EXPECT_EQ(get({{1, 0, 4000}, {2, 0, 4000}, {1, 4000, 6000}, {2, 4000, 6000}}), Code::ok);
  EXPECT_EQ(order, (std::vector<size_t>{0, 1, 2, 3}));
  const auto whole = test_payload(1, kBytes);
  const uint32_t crc = block::crc32c(0, whole.data(), whole.size());
  EXPECT_EQ(memory[0], part_of(1, 0, 4000));
  EXPECT_EQ(memory[3], part_of(2, 4000, 6000));
  for (const size_t piece : {0, 2}) {
    EXPECT_EQ(targets[piece].code, Code::ok);
    EXPECT_EQ(targets[piece].block_bytes, kBytes);
    EXPECT_EQ(targets[piece].block_crc, crc) << "the putter's";
  }
  EXPECT_EQ(block::CrcJoin(6000)(targets[0].payload_crc, targets[2].payload_crc), crc);
}

TEST_F(Pieces, EndWhereTheirBlockEnds) {
  ASSERT_EQ(x_client.put({.hash = 1}), Code::ok);
  get({{1, 9'999, 1}, {1, 9'999, 2}, {1, 10'000, 1}, {1, 0, 10'000}, {1, 0, 10'001}});
  EXPECT_EQ(targets[0].code, Code::ok);
  EXPECT_EQ(memory[0], part_of(1, 9'999, 1));
  EXPECT_EQ(targets[1].code, Code::invalid_argument);
  EXPECT_EQ(targets[2].code, Code::invalid_argument);
  EXPECT_EQ(targets[3].code, Code::ok);
  EXPECT_EQ(targets[4].code, Code::invalid_argument);
}

// Their checksums are made by the thread that serves everyone.
TEST_F(Pieces, LargeOnesAreSummedAFewATurn) {
  constexpr uint32_t kPiece = 4 << 20;
  constexpr size_t kPieces = 8;
  ASSERT_EQ(x_client.put({.hash = 1, .bytes = kPieces * kPiece}), Code::ok);
  std::vector<Wanted> wanted;
  for (uint32_t i = 0; i < kPieces; ++i)
    wanted.push_back({1, i * kPiece, kPiece});
  begin(wanted);
  size_t most = 0;
  for (size_t turns = 0; order.size() < kPieces && turns < 100; ++turns) {
    const size_t before = order.size();
    x_lane.turn();
    x_client.turn();
    most = std::max(most, order.size() - before);
  }
  EXPECT_EQ(order.size(), kPieces);
  // One turn's and what its last send made room for in the next.
  EXPECT_LE(most * kPiece, 2 * GetService::kSummedPerTurnMax);
  EXPECT_TRUE(x_client.until([&] { return x_ended; }));
  const auto whole = test_payload(1, kPieces * kPiece);
  EXPECT_TRUE(std::equal(memory[3].begin(), memory[3].end(), whole.begin() + 3 * kPiece));
}

// The fabric had no room when a piece's checksum was made; by the time it has, that block is gone.
TEST_F(Pieces, TheChecksumIsThatOfTheBytesThatLeave) {
  ASSERT_EQ(x_client.put({.hash = 1, .bytes = kBytes}), Code::ok);
  ASSERT_EQ(x_client.put({.hash = 2, .bytes = kBytes}), Code::ok);
  auto noise =
      x_lane.port->connect({.peer_address = x_client.port->address(), .link = 99, .on_lost = {}})
          .value();
  wire::HeaderBuffer forged;
  wire::encode(wire::Route{7, 1}, wire::Pong{}, forged);
  while (noise->send(forged.view(), {}, {}).is_ok()) {
  }
  begin({{1, 0, 4000}, {2, 0, 4000}});
  x_lane.turn();
  const block::BlockKey gone{block::tenant_id("acme"), x_op.head.space, 0, test_hash(1)};
  ASSERT_TRUE(x_lane.tier->remove(gone).is_ok());
  EXPECT_TRUE(x_client.until([&] { return x_ended; }));
  EXPECT_EQ(targets[0].code, Code::not_found);
  EXPECT_EQ(targets[1].code, Code::ok);
  EXPECT_EQ(memory[1], part_of(2, 0, 4000));
}

TEST_F(Pieces, OfAnAbsentAndOfAForeignBlockAreTheSameMiss) {
  ClientRig other(x_hub, x_lane, {.name = "other", .tenant = "evil", .connection_id = 8});
  ASSERT_EQ(other.put({.hash = 5}), Code::ok);
  get({{5, 0, 100}, {6, 0, 100}, {5, 100, 100}});
  for (const fabric::GetTarget& target : targets)
    EXPECT_EQ(target.code, Code::not_found);
}

// What is on its way lands, the rest is answered at once, and the credit is free for others.
TEST_F(Pieces, OfAGetThatIsCancelledAreNotSentAnyMore) {
  ASSERT_EQ(x_client.put({.hash = 1}), Code::ok);
  constexpr size_t kCount = 100;
  std::vector<std::byte> room(kCount * 100);
  targets.assign(kCount, {});
  for (size_t i = 0; i < kCount; ++i)
    parts.emplace_back(std::span(room).subspan(i * 100, 100));
  for (size_t i = 0; i < kCount; ++i) {
    targets[i].hash = test_hash(1);
    targets[i].offset = static_cast<uint32_t>(i * 100);
    targets[i].into = std::span(&parts[i], 1);
  }
  fabric::GetOp op;
  op.head.space = x_client.request_of({}).head.space;
  op.deadline = x_clock.now() + std::chrono::hours(1);
  op.pieces = true;
  op.targets = targets;
  bool ended = false;
  op.on_end = [&](fabric::LinkOp&) { ended = true; };
  ASSERT_TRUE(x_client.link->submit(op).is_ok());
  x_client.link->hasten(op, x_clock.now() + std::chrono::hours(1));
  ASSERT_TRUE(x_client.until([&] { return ended; }));
  const auto of = [&](Code code) {
    return std::count_if(targets.begin(), targets.end(),
                         [code](const fabric::GetTarget& target) { return target.code == code; });
  };
  EXPECT_EQ(of(Code::ok), static_cast<long>(GetService::kSendsPerGetMax));
  EXPECT_EQ(of(Code::cancelled), static_cast<long>(kCount - GetService::kSendsPerGetMax));
  EXPECT_EQ(x_client.get({.hash = 1}), Code::ok);
}

TEST_F(Pieces, OfNobodysGetAreCancelledWithoutEffect) {
  ASSERT_EQ(x_client.put({.hash = 1}), Code::ok);
  wire::HeaderBuffer header;
  wire::encode(x_client.next_route(), wire::Cancel{12345}, header);
  wire::sign(header, *x_client.mac);
  x_client.send_raw(header);
  EXPECT_EQ(x_client.get({.hash = 1}), Code::ok);
}

// More than a message holds, of blocks some of which are gone.
TEST_F(Pieces, ManyOfThemMissAndLandAsTheyShould) {
  for (uint64_t hash = 1; hash <= 40; hash += 2)
    ASSERT_EQ(x_client.put({.hash = hash}), Code::ok);
  std::vector<Wanted> wanted;
  for (uint32_t layer = 0; layer < 10; ++layer)
    for (uint64_t hash = 1; hash <= 40; ++hash)
      wanted.push_back({hash, layer * 1000, 1000});
  EXPECT_EQ(get(wanted), Code::ok);
  for (size_t i = 0; i < wanted.size(); ++i) {
    const bool is_there = wanted[i].hash % 2 == 1;
    ASSERT_EQ(targets[i].code, is_there ? Code::ok : Code::not_found) << i;
    if (!is_there) continue;
    ASSERT_EQ(memory[i], part_of(wanted[i].hash, wanted[i].offset, 1000)) << i;
  }
}

}  // namespace
}  // namespace tarn::lane
