// What becomes of a block's copies: a backup that fails in each of its stages, races for the first
// copy, evictions and removals.
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "common/base/fault_point.h"
#include "common/block/checksum.h"
#include "tests/unit/server/lane/cluster_rig.h"

namespace tarn::lane {
namespace {

class Copies : public Replication {
 protected:
  // Runs a put to its end while time goes on.
  Code put_in_time(ClientRig& client, const ClientRig::Block& block, std::string* words = nullptr) {
    fabric::PutOp op;
    bool ended = false;
    const auto bytes = test_payload(block.hash, block.bytes);
    const fabric::Bytes part(bytes);
    op.payload = std::span(&part, 1);
    EXPECT_TRUE(client.begin_put(op, block, ended).is_ok());
    for (int i = 0; i < 2000 && !ended; ++i) {
      client.turn();
      x_clock.advance(std::chrono::milliseconds(2));
    }
    EXPECT_TRUE(ended) << "every call ends";
    if (words != nullptr) *words = wire::view(op.message);
    return op.code;
  }

  // Another block with the same owners, in order.
  uint64_t sibling_of(uint64_t hash) {
    uint64_t other = hash + 1;
    while (owners(other) != owners(hash))
      ++other;
    return other;
  }

  void settle(ClientRig& client) {
    for (int i = 0; i < 60; ++i)
      client.turn();
  }
};

struct BackupFailure {
  const char* name;
  const char* point;  // passes the primary, then strikes its backup
  uint32_t times;     // 0: for ever
  Code code;          // of a put with two copies
  Code less;          // of one that allows fewer
};

class BackupFails : public Copies, public testing::WithParamInterface<BackupFailure> {};

TEST_P(BackupFails, ThePutSaysSoAndARepetitionMendsIt) {
  ClientRig& client = client_of(1);
  ASSERT_EQ(client.put({.hash = 1, .copies = 2}), Code::ok) << "connected";
  const uint64_t hash = sibling_of(1);
  const uint64_t other = sibling_of(hash);
  fault::arm(GetParam().point, {.skip = 1, .times = GetParam().times});
  std::string words;
  EXPECT_EQ(put_in_time(client, {.hash = hash, .copies = 2}, &words), GetParam().code) << words;
  EXPECT_EQ(client.get({.hash = hash}), Code::ok) << "the primary has it";
  if (GetParam().code != Code::ok) {
    EXPECT_NE(words.find("backup"), std::string::npos) << words;
    EXPECT_FALSE(holds(owners(hash)[1], hash));
  }
  fault::arm(GetParam().point, {.skip = 1, .times = GetParam().times});
  EXPECT_EQ(put_in_time(client, {.hash = other, .copies = 2, .allow_less = true}), GetParam().less);
  fault::disarm_all();
  for (const uint64_t each : {hash, other}) {
    EXPECT_EQ(put_in_time(client, {.hash = each, .copies = 2}), Code::exists);
    EXPECT_TRUE(holds(owners(each)[1], each)) << "acknowledged means kept";
  }
}

INSTANTIATE_TEST_SUITE_P(
    Stages, BackupFails,
    testing::Values(BackupFailure{"full", "store.reserve", 0, Code::unavailable, Code::kept_less},
                    BackupFailure{"full_for_a_moment", "store.reserve", 2, Code::ok, Code::ok},
                    BackupFailure{"payload_lost", "store.put_receive", 0, Code::unavailable,
                                  Code::kept_less},
                    BackupFailure{"payload_lost_once", "store.put_receive", 1, Code::ok, Code::ok},
                    BackupFailure{"not_made_visible", "store.put_visible", 0, Code::unavailable,
                                  Code::kept_less}),
    [](const auto& tested) { return std::string(tested.param.name); });

TEST_F(Copies, ABackupThatHangsEndsWithThePutsDeadlineAndHoldsNothing) {
  ClientRig& client = client_of(1);
  ASSERT_EQ(client.put({.hash = 1, .copies = 2}), Code::ok);
  const uint64_t hash = sibling_of(1);
  const std::string backup = lane(owners(1)[1]).name;
  x_hub.set_path(client.lane.name, backup, fabric::LoopHub::Path::hold);
  EXPECT_EQ(put_in_time(client, {.hash = hash, .copies = 2, .allow_less = true}), Code::kept_less);
  EXPECT_EQ(client.get({.hash = hash}), Code::ok);
  x_hub.set_path(client.lane.name, backup, fabric::LoopHub::Path::pass);
  EXPECT_EQ(put_in_time(client, {.hash = hash, .copies = 2}), Code::exists);
  settle(client);
  EXPECT_TRUE(client.lane.service->is_idle());
}

TEST_F(Copies, PutsWithoutBackupsAreServedWhileABackupHangs) {
  ClientRig& client = client_of(1);
  ASSERT_EQ(client.put({.hash = 1, .copies = 2}), Code::ok);
  x_hub.set_path(client.lane.name, lane(owners(1)[1]).name, fabric::LoopHub::Path::hold);
  std::vector<std::unique_ptr<fabric::PutOp>> waiting;
  std::vector<std::vector<std::byte>> payloads;
  std::vector<fabric::Bytes> parts(20);
  bool ended = false;
  uint64_t hash = 1;
  for (size_t i = 0; i < parts.size(); ++i) {
    hash = sibling_of(hash);
    payloads.push_back(test_payload(hash, 1000));
    parts[i] = payloads.back();
    waiting.push_back(std::make_unique<fabric::PutOp>());
    waiting.back()->payload = std::span(&parts[i], 1);
    ASSERT_TRUE(client.begin_put(*waiting.back(), {.hash = hash, .copies = 2, .bytes = 1000}, ended)
                    .is_ok());
  }
  settle(client);
  EXPECT_FALSE(ended);
  EXPECT_EQ(client.put({.hash = sibling_of(hash)}), Code::ok);
  x_hub.set_path(client.lane.name, lane(owners(1)[1]).name, fabric::LoopHub::Path::pass);
  ASSERT_TRUE(client.until([&] { return client.link->is_idle(); }));
  for (const auto& op : waiting)
    EXPECT_EQ(op->code, Code::ok);
}

// Two workers computed the same block and their bytes differ: whoever was first wins everywhere.
TEST_F(Copies, TheFirstWholeCopyWinsOnAllOwners) {
  ClientRig& first = client_of(1);
  ASSERT_EQ(first.put({.hash = 1, .copies = 1}), Code::ok);
  fabric::PutOp second;
  bool ended = false;
  const auto bytes = test_payload(77, 10'000);
  const fabric::Bytes part(bytes);
  second.payload = std::span(&part, 1);
  second.request = first.request_of({.hash = 1, .copies = 3});
  second.request.payload_crc = block::crc32c(0, bytes.data(), bytes.size());
  second.head = second.request.head;
  second.deadline = x_clock.now() + std::chrono::seconds(2);
  second.on_end = [&ended](fabric::LinkOp&) { ended = true; };
  ASSERT_TRUE(first.link->submit(second).is_ok());
  ASSERT_TRUE(first.until([&] { return ended; }));
  EXPECT_EQ(second.code, Code::exists) << "acknowledged: three copies exist";
  const auto expected = test_payload(1, 10'000);
  for (const ServerId id : owners(1)) {
    const block::BlockKey key{block::tenant_id("acme"), SpaceId{{5}}, {}, test_hash(1)};
    bool read = false;
    lane(id).tier->read(key, [&](Result<store::Pin> pin) {
      ASSERT_TRUE(pin) << id.value;
      read = std::equal(expected.begin(), expected.end(), pin->bytes().begin(), pin->bytes().end());
    });
    EXPECT_TRUE(read) << "server " << id.value << " has the first copy's bytes";
  }
}

TEST_F(Copies, ABackupsEvictionIsSaidInItsEventsAndTheNextPutFeedsItAgain) {
  ClientRig& client = client_of(1);
  ASSERT_EQ(client.put({.hash = 1, .copies = 2}), Code::ok);
  LaneRig& backup = lane(owners(1)[1]);
  const uint64_t before = backup.events.last_sequence();
  const block::BlockKey key{block::tenant_id("acme"), SpaceId{{5}}, {}, test_hash(1)};
  ASSERT_TRUE(backup.tier->remove(key).is_ok());
  const auto heard = backup.events.after(before, 10, Nanos(0));
  ASSERT_EQ(heard.changes.size(), 1u);
  EXPECT_TRUE(heard.changes[0].removed);
  settle(client);
  EXPECT_EQ(client.get({.hash = 1}), Code::ok) << "the primary's copy stays";
  EXPECT_EQ(client.put({.hash = 1, .copies = 2}), Code::exists);
  EXPECT_TRUE(holds(owners(1)[1], 1));
}

// A primary without memory of what an earlier one fed.
TEST_F(Copies, ARemovalThatWasAskedForReachesCopiesThatAnotherPrimaryFed) {
  ClientRig& client = client_of(1);
  ASSERT_EQ(client.put({.hash = 1, .copies = 3}), Code::ok);
  const ServerId dead = owners(1)[0];
  const ServerId successor = owners(1)[1];
  const ServerId third = owners(1)[2];
  x_client.reset();
  auto config = x_config;
  config.epoch = {2};
  config.members[dead.value - 1].state = ring::MemberState::down;
  set_config(config);
  ASSERT_EQ(owners(1)[0], successor);
  ClientRig& next = client_of(1);
  EXPECT_EQ(next.remove({.hash = 1, .epoch = 2}), Code::ok);
  settle(next);
  EXPECT_FALSE(holds(successor, 1));
  EXPECT_FALSE(holds(third, 1)) << "it had never been connected to it";
}

TEST_F(Copies, AnEvictionByAServerThatIsNoLongerPrimaryLeavesTheCopiesOfOthers) {
  ClientRig& client = client_of(1);
  ASSERT_EQ(client.put({.hash = 1, .copies = 3}), Code::ok);
  const ServerId former = owners(1)[0];
  const ServerId primary = owners(1)[1];
  auto config = x_config;
  config.epoch = {2};
  config.members[former.value - 1].weight = 0;
  set_config(config);
  ASSERT_EQ(owners(1)[0], primary);
  const block::BlockKey key{block::tenant_id("acme"), SpaceId{{5}}, {}, test_hash(1)};
  ASSERT_TRUE(lane(former).tier->remove(key).is_ok());
  settle(client);
  EXPECT_TRUE(holds(primary, 1));
}

// The removal comes while the block is on its way to its backups.
TEST_F(Copies, ABlockRemovedWhileItIsFedLeavesNoCopies) {
  ClientRig& client = client_of(1);
  ASSERT_EQ(client.put({.hash = 1, .copies = 2}), Code::ok);
  const uint64_t hash = sibling_of(1);
  const std::string backup = lane(owners(1)[1]).name;
  // The backup has it, its answer waits.
  x_hub.set_path(backup, client.lane.name, fabric::LoopHub::Path::hold);
  fabric::PutOp op;
  bool ended = false;
  const auto bytes = test_payload(hash, 10'000);
  const fabric::Bytes part(bytes);
  op.payload = std::span(&part, 1);
  ASSERT_TRUE(client.begin_put(op, {.hash = hash, .copies = 2}, ended).is_ok());
  ASSERT_TRUE(client.until([&] { return holds(owners(hash)[1], hash); }));
  const block::BlockKey key{block::tenant_id("acme"), SpaceId{{5}}, {}, test_hash(hash)};
  ASSERT_TRUE(client.lane.tier->remove(key).is_ok());
  x_hub.set_path(backup, client.lane.name, fabric::LoopHub::Path::pass);
  ASSERT_TRUE(client.until([&] { return ended; }));
  settle(client);
  EXPECT_FALSE(holds(owners(hash)[1], hash));
}

TEST_F(Copies, RemovalsToABackupThatCannotBeReachedAreGivenUpInTime) {
  ClientRig& client = client_of(1);
  ASSERT_EQ(client.put({.hash = 1, .copies = 2}), Code::ok);
  x_hub.set_path(client.lane.name, lane(owners(1)[1]).name, fabric::LoopHub::Path::drop);
  ASSERT_EQ(client.remove({.hash = 1}), Code::ok) << "nobody waits for it";
  for (int i = 0; i < 40; ++i) {
    client.turn();
    x_clock.advance(std::chrono::milliseconds(50));
  }
  client.lane.backups->close();
  EXPECT_TRUE(client.until([&] { return client.lane.backups->is_idle(); }));
}

// Races of many clients for the same blocks, one winner each.
TEST_F(Copies, OfManyPutsOfOneBlockAtOnceOneBringsTheBytes) {
  LaneRig& primary = lane(owners(1)[0]);
  std::vector<std::unique_ptr<ClientRig>> clients;
  for (uint64_t i = 0; i < 6; ++i) {
    clients.push_back(std::make_unique<ClientRig>(
        x_hub, primary,
        ClientRig::Options{.name = "racer" + std::to_string(i), .connection_id = 5000 + i}));
    clients.back()->also_turn = [this] { turn_all(); };
  }
  ASSERT_EQ(clients[0]->put({.hash = 1, .copies = 2}), Code::ok);
  const uint64_t hash = sibling_of(1);
  const uint64_t put_before = primary.metrics.put_blocks.value();
  std::vector<fabric::PutOp> ops(clients.size());
  const auto bytes = test_payload(hash, 10'000);
  const fabric::Bytes part(bytes);
  std::vector<std::unique_ptr<bool>> flags;
  for (size_t i = 0; i < clients.size(); ++i) {
    flags.push_back(std::make_unique<bool>(false));
    ops[i].payload = std::span(&part, 1);
    ASSERT_TRUE(clients[i]->begin_put(ops[i], {.hash = hash, .copies = 2}, *flags[i]).is_ok());
  }
  ASSERT_TRUE(clients[0]->until([&] {
    for (auto& client : clients)
      client->turn();
    return std::all_of(flags.begin(), flags.end(), [](const auto& flag) { return *flag; });
  }));
  int winners = 0;
  for (const auto& op : ops) {
    winners += op.code == Code::ok;
    EXPECT_TRUE(op.code == Code::ok || op.code == Code::exists || op.code == Code::overloaded)
        << code_name(op.code);
  }
  EXPECT_EQ(winners, 1);
  EXPECT_EQ(primary.metrics.put_blocks.value(), put_before + 1);
  EXPECT_TRUE(holds(owners(hash)[1], hash));
}

}  // namespace
}  // namespace tarn::lane
