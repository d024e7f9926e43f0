#include <gtest/gtest.h>

#include "common/base/fault_point.h"
#include "common/block/checksum.h"
#include "tests/unit/server/lane/cluster_rig.h"

namespace tarn::lane {
namespace {

TEST_F(Replication, AnAcknowledgedBlockIsOnAllItsOwners) {
  ClientRig& client = client_of(1);
  EXPECT_EQ(client.put({.hash = 1, .copies = 2, .bytes = 300'000}), Code::ok);
  EXPECT_TRUE(holds(owners(1)[0], 1));
  EXPECT_TRUE(holds(owners(1)[1], 1));
  EXPECT_FALSE(holds(owners(1)[2], 1));
  EXPECT_EQ(client.put({.hash = 1, .copies = 3, .bytes = 300'000}), Code::exists);
  EXPECT_TRUE(holds(owners(1)[2], 1));
  EXPECT_EQ(x_wired, 2);
}

TEST_F(Replication, BackupsVerifyTheChecksumThatThePrimaryMade) {
  const ServerId primary = owners(1)[0];
  ClientRig client(x_hub, lane(primary),
                   {.name = "near", .connection_id = 56, .fabric = fabric::Kind::local});
  client.also_turn = [this] { turn_all(); };
  EXPECT_EQ(client.put_sampled({.hash = 1, .copies = 2, .bytes = 300'000}, 1), Code::ok);
  ASSERT_TRUE(holds(owners(1)[1], 1));
  const auto payload = test_payload(1, 300'000);
  const block::BlockKey key{block::tenant_id("acme"), SpaceId{{5}}, {}, test_hash(1)};
  for (const ServerId id : {primary, owners(1)[1]})
    EXPECT_EQ(lane(id).tier->find(key)->payload_crc,
              block::crc32c(0, payload.data(), payload.size()));
}

TEST_F(Replication, OnlyThePrimaryTakesPuts) {
  ClientRig client(x_hub, lane(owners(1)[1]), {.name = "elsewhere", .connection_id = 55});
  client.also_turn = [this] { turn_all(); };
  EXPECT_EQ(client.put({.hash = 1}), Code::stale_epoch);
}

TEST_F(Replication, ALostBackupIsARefusalNotASilentlyLowerClass) {
  fault::arm("replicate.backup_lost", {.times = 0});
  ClientRig& client = client_of(1);
  std::string words;
  EXPECT_EQ(client.put({.hash = 1, .copies = 2}, &words), Code::unavailable);
  EXPECT_NE(words.find("backup"), std::string::npos);
  EXPECT_EQ(client.put({.hash = 1, .copies = 2, .allow_less = true}), Code::kept_less);
  fault::disarm_all();
  EXPECT_EQ(client.put({.hash = 1, .copies = 2}), Code::exists);
  EXPECT_TRUE(holds(owners(1)[1], 1));
}

TEST_F(Replication, ADeadBackupEndsByTheDeadline) {
  ClientRig& client = client_of(1);
  ASSERT_EQ(client.put({.hash = 1, .copies = 2}), Code::ok);
  const ServerId dead = owners(1)[1];
  x_lanes[dead.value - 1].reset();
  uint64_t hash = 2;
  while (owners(hash)[0] != owners(1)[0] || owners(hash)[1] != dead)
    ++hash;
  fabric::PutOp op;
  bool ended = false;
  const auto bytes = test_payload(hash, 10'000);
  const fabric::Bytes part(bytes);
  op.payload = std::span(&part, 1);
  ASSERT_TRUE(client.begin_put(op, {.hash = hash, .copies = 2}, ended).is_ok());
  for (int i = 0; i < 300 && !ended; ++i) {
    client.turn();
    x_clock.advance(std::chrono::milliseconds(10));
  }
  ASSERT_TRUE(ended);
  EXPECT_EQ(op.code, Code::unavailable);
  EXPECT_TRUE(client.lane.backups->is_idle() || x_wired > 1);
}

TEST_F(Replication, ABackupThatIsDownIsNotWaitedFor) {
  ClientRig& client = client_of(1);
  auto config = make_config(1, 3);
  config.members[owners(1)[1].value - 1].state = ring::MemberState::down;
  fabric::PutOp op;
  bool ended = false;
  const auto bytes = test_payload(1, 10'000);
  const fabric::Bytes part(bytes);
  op.payload = std::span(&part, 1);
  x_hub.set_path("s" + std::to_string(owners(1)[0].value), "s" + std::to_string(owners(1)[1].value),
                 fabric::LoopHub::Path::hold);
  ASSERT_TRUE(client.begin_put(op, {.hash = 1, .copies = 2}, ended).is_ok());
  for (int i = 0; i < 50; ++i)
    client.turn();
  EXPECT_FALSE(ended);
  x_hub.lose("s" + std::to_string(owners(1)[0].value), "s" + std::to_string(owners(1)[1].value));
  client.lane.set_config(config);
  for (int i = 0; i < 20 && !ended; ++i) {
    client.turn();
    x_clock.advance(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(ended);
  EXPECT_EQ(op.code, Code::unavailable);
}

TEST_F(Replication, AStoppedBackupEndsWithTheConfigThatSaysSo) {
  ClientRig& client = client_of(1);
  ASSERT_EQ(client.put({.hash = 1, .copies = 3}), Code::ok);
  uint64_t hash = 2;
  while (owners(hash)[0] != owners(1)[0])
    ++hash;
  const ServerId stopped = owners(hash)[1];
  const std::string name = "s" + std::to_string(stopped.value);
  x_hub.set_path(name, client.lane.name, fabric::LoopHub::Path::hold);
  fabric::PutOp op;
  bool ended = false;
  const auto bytes = test_payload(hash, 10'000);
  const fabric::Bytes part(bytes);
  op.payload = std::span(&part, 1);
  ASSERT_TRUE(client.begin_put(op, {.hash = hash, .copies = 2}, ended).is_ok());
  for (int i = 0; i < 50; ++i)
    client.turn();
  ASSERT_FALSE(ended);
  auto config = make_config(2, 3);
  config.members[stopped.value - 1].state = ring::MemberState::down;
  set_config(config);
  for (int i = 0; i < 20 && !ended; ++i) {
    client.turn();
    x_clock.advance(std::chrono::milliseconds(10));
  }
  ASSERT_TRUE(ended);
  EXPECT_TRUE(op.code == Code::unavailable || op.code == Code::stale_epoch) << code_name(op.code);
  x_hub.set_path(name, client.lane.name, fabric::LoopHub::Path::pass);
  EXPECT_EQ(client.put({.hash = hash, .copies = 2, .epoch = 2}), Code::exists);
  EXPECT_TRUE(holds(owners(hash)[1], hash));
}

TEST_F(Replication, AnAnswerThatCameTooLateIsCountedAlsoWhenItsConnectionIsGone) {
  ClientRig& client = client_of(1);
  ASSERT_EQ(client.put({.hash = 1, .copies = 2}), Code::ok);
  const ServerId stopped = owners(1)[1];
  const std::string name = "s" + std::to_string(stopped.value);
  uint64_t hash = 2;
  while (owners(hash)[0] != owners(1)[0] || owners(hash)[1] != stopped)
    ++hash;
  x_hub.set_path(name, client.lane.name, fabric::LoopHub::Path::hold);
  fabric::PutOp op;
  bool ended = false;
  const auto bytes = test_payload(hash, 10'000);
  const fabric::Bytes part(bytes);
  op.payload = std::span(&part, 1);
  ASSERT_TRUE(client.begin_put(op, {.hash = hash, .copies = 2}, ended).is_ok());
  for (int i = 0; i < 1000 && !ended; ++i) {
    client.turn();
    x_clock.advance(std::chrono::milliseconds(10));
  }
  ASSERT_TRUE(ended);
  EXPECT_EQ(op.code, Code::unavailable);
  const fabric::LinkCounters& counters = client.lane.backups->link_counters();
  EXPECT_EQ(counters.late_replies, 0u);
  x_hub.set_path(name, client.lane.name, fabric::LoopHub::Path::pass);
  for (int i = 0; i < 10; ++i)
    client.turn();
  EXPECT_EQ(counters.late_replies, 1u);
  EXPECT_EQ(counters.deadlines, 1u);
  x_hub.lose(client.lane.name, name);
  for (int i = 0; i < 10; ++i)
    client.turn();
  client.also_turn = [this] {
    turn_all();
    x_clock.advance(std::chrono::microseconds(100));
  };
  EXPECT_EQ(client.put({.hash = hash, .copies = 2}), Code::exists);
  EXPECT_EQ(x_wired, 2) << "over another connection";
  EXPECT_EQ(counters.late_replies, 1u);
}

TEST_F(Replication, AnEpochThatReachesTheBackupFirstIsNoFailure) {
  ClientRig& client = client_of(1);
  const ServerId backup = owners(1)[1];
  lane(backup).set_config(make_config(2, 3));
  fabric::PutOp op;
  bool ended = false;
  const auto bytes = test_payload(1, 10'000);
  const fabric::Bytes part(bytes);
  op.payload = std::span(&part, 1);
  ASSERT_TRUE(client.begin_put(op, {.hash = 1, .copies = 2}, ended).is_ok());
  for (int i = 0; i < 20; ++i) {
    client.turn();
    x_clock.advance(std::chrono::milliseconds(5));
  }
  EXPECT_FALSE(ended);
  set_config(make_config(2, 3));
  for (int i = 0; i < 50 && !ended; ++i) {
    client.turn();
    x_clock.advance(std::chrono::milliseconds(5));
  }
  ASSERT_TRUE(ended);
  EXPECT_EQ(op.code, Code::ok);
  EXPECT_TRUE(holds(backup, 1));
}

TEST_F(Replication, ALostConnectionIsMadeAnew) {
  ClientRig& client = client_of(1);
  ASSERT_EQ(client.put({.hash = 1, .copies = 3}), Code::ok);
  const std::string primary = client.lane.name;
  for (const auto& other : x_lanes) {
    if (other->name != primary) x_hub.lose(primary, other->name);
  }
  for (int i = 0; i < 10; ++i)
    client.turn();
  uint64_t hash = 2;
  while (owners(hash)[0] != owners(1)[0])
    ++hash;
  client.also_turn = [this] {
    turn_all();
    x_clock.advance(std::chrono::microseconds(100));
  };
  EXPECT_EQ(client.put({.hash = hash, .copies = 3}), Code::ok);
  EXPECT_EQ(x_wired, 4);
}

TEST_F(Replication, RemovalReachesTheBackups) {
  ClientRig& client = client_of(1);
  ASSERT_EQ(client.put({.hash = 1, .copies = 3}), Code::ok);
  ASSERT_EQ(client.remove({.hash = 1}), Code::ok);
  for (int i = 0; i < 50; ++i)
    client.turn();
  EXPECT_FALSE(holds(owners(1)[1], 1));
  EXPECT_FALSE(holds(owners(1)[2], 1));
}

}  // namespace
}  // namespace tarn::lane
