#include "server/wiring.h"

#include <gtest/gtest.h>

#include <fstream>

#include "common/base/fault_point.h"
#include "common/ring/position.h"
#include "common/ring/ring.h"
#include "proto/tarn/v1/sessions.grpc.pb.h"
#include "tests/unit/server/rpc/server_rig.h"

namespace tarn::server {
namespace {

v1::FabricKind name_of(fabric::Kind kind) {
  if (kind == fabric::Kind::local) return v1::FABRIC_KIND_LOCAL;
  return kind == fabric::Kind::ucx ? v1::FABRIC_KIND_UCX : v1::FABRIC_KIND_GRPC;
}

class OverFabric : public ServerTest, public testing::WithParamInterface<fabric::Kind> {};

TEST_P(OverFabric, PutsAndGets) {
  Server& server = start_settled(options("s1"));
  TestClient client(x_router, server.advertised(), GetParam());
  const Status connected = client.connect(client.ticket("acme"));
  ASSERT_TRUE(connected.is_ok()) << connected.to_string();
  EXPECT_EQ(client.answer.fabric(), name_of(GetParam()));
  uint64_t hash = 1;
  for (const size_t bytes : {100, 16'384, 2 << 20}) {
    EXPECT_EQ(client.put_in_time(hash, bytes), Code::ok) << bytes << client.message;
    EXPECT_EQ(client.get(hash, bytes), Code::ok);
    EXPECT_EQ(client.put(hash, bytes), Code::exists);
    ++hash;
  }
  EXPECT_EQ(client.get(999, 100), Code::not_found);
}

TEST_P(OverFabric, ReplicatesToAnotherDomain) {
  Server& a = start(options("s1"));
  Server& b = start(options("s2", GetParam() == fabric::Kind::ucx ? "lo" : ""));
  ASSERT_TRUE(runs_config(a) && runs_config(b));
  TestClient client(x_router, a.advertised(), GetParam());
  ASSERT_TRUE(client.connect(client.ticket("acme")).is_ok());
  const auto ring = ring::Ring::build(x_router.config()).value();
  uint64_t hash = 1;
  const auto position = [](uint64_t h) {
    return ring::position_of(block::tenant_id("acme"), kSpace, hash_of(h));
  };
  while (x_router.config().members[ring.owners(position(hash), 1).front().value - 1].name != "s1")
    ++hash;
  EXPECT_EQ(client.put_in_time(hash, 300'000, 2), Code::ok) << client.message;
  TestClient other(x_router, b.advertised(), GetParam());
  ASSERT_TRUE(other.connect(other.ticket("acme")).is_ok());
  EXPECT_EQ(other.get(hash, 300'000), Code::ok);
}

INSTANTIATE_TEST_SUITE_P(Kinds, OverFabric,
                         testing::Values(fabric::Kind::grpc, fabric::Kind::ucx,
                                         fabric::Kind::local));

TEST_F(ServerTest, ForeignForgedAndOldTicketsAreRefused) {
  Server& server = start_settled(options("s1", ""));
  TestClient client(x_router, server.advertised(), fabric::Kind::grpc);
  auto forged = client.ticket("acme");
  forged.bytes.back() = static_cast<char>(forged.bytes.back() ^ 1);
  struct {
    const char* name;
    auth::SealedTicket ticket;
    Code code;
    uint64_t counted;  // of this code, by then
  } const cases[] = {
      {"of another tenant", client.ticket("evil"), Code::permission_denied, 1},
      {"expired", client.ticket("acme", -3'600'000), Code::unauthenticated, 1},
      {"forged", forged, Code::unauthenticated, 2},
  };
  for (const auto& each : cases) {
    EXPECT_EQ(client.connect(each.ticket).code(), each.code) << each.name;
    EXPECT_EQ(refused_connections(server, each.code), each.counted) << each.name;
  }
  fault::arm("server.connect", {});
  EXPECT_EQ(client.connect(client.ticket("acme")).code(), Code::unavailable);
  EXPECT_EQ(refused_connections(server, Code::unavailable), 1u);
  EXPECT_TRUE(client.connect(client.ticket("acme")).is_ok());
  EXPECT_EQ(refused_connections(server, Code::permission_denied), 1u);
  EXPECT_EQ(refused_connections(server, Code::unauthenticated), 2u);
  EXPECT_EQ(refused_connections(server, Code::ok), 0u);
}

TEST_F(ServerTest, AnOfferThatDoesNotFitIsRefusedInWordsAndFallsBack) {
  Server& server = start_settled(options("s1"));
  TestClient client(x_router, server.advertised(), fabric::Kind::ucx);
  client.x_version = "9.99";
  ASSERT_TRUE(client.connect(client.ticket("acme")).is_ok());
  EXPECT_EQ(client.answer.fabric(), v1::FABRIC_KIND_GRPC);
  EXPECT_NE(client.answer.refused_offers().find("9.99"), std::string::npos);
  EXPECT_EQ(client.put_in_time(1, 1000), Code::ok);
}

TEST_F(ServerTest, SharedMemoryIsForTheSameHostAndVersion) {
  Server& server = start(options("s1", ""));
  EXPECT_TRUE(until([&] { return server.epoch() > 0; }));
  TestClient client(x_router, server.advertised(), fabric::Kind::local);
  client.x_version = "9.99";
  ASSERT_TRUE(client.connect(client.ticket("acme")).is_ok());
  EXPECT_EQ(client.answer.fabric(), v1::FABRIC_KIND_GRPC);
  EXPECT_NE(client.answer.refused_offers().find("9.99"), std::string::npos);
  TestClient far(x_router, server.advertised(), fabric::Kind::local);
  far.x_host = "elsewhere";
  ASSERT_TRUE(far.connect(far.ticket("acme")).is_ok());
  EXPECT_EQ(far.answer.fabric(), v1::FABRIC_KIND_GRPC);
  EXPECT_NE(far.answer.refused_offers().find("another host"), std::string::npos);
}

// Slabs that somebody has mapped for reading only: clients, as the server writes to its own.
int slabs_mapped_by_clients() {
  std::ifstream file("/proc/self/maps");
  int count = 0;
  for (std::string line; std::getline(file, line);) {
    const bool is_slab = line.find("/memfd:tarn-slab") != std::string::npos;
    count += is_slab && line.find(" r--s ") != std::string::npos ? 1 : 0;
  }
  return count;
}

// A slab holds blocks of all spaces of a tenant: who may read one of them sees copies.
TEST_F(ServerTest, OnlyATicketForAllOfATenantMapsItsMemory) {
  Server& server = start_settled(options("s1", ""));
  TestClient narrow(x_router, server.advertised(), fabric::Kind::local);
  ASSERT_TRUE(narrow.connect(narrow.ticket("acme", 3'600'000, {kSpace})).is_ok());
  ASSERT_EQ(narrow.answer.fabric(), v1::FABRIC_KIND_LOCAL);
  EXPECT_EQ(narrow.put_in_time(1, 300'000), Code::ok) << narrow.message;
  EXPECT_EQ(narrow.get(1, 300'000), Code::ok);
  EXPECT_EQ(slabs_mapped_by_clients(), 0);
  TestClient whole(x_router, server.advertised(), fabric::Kind::local);
  ASSERT_TRUE(whole.connect(whole.ticket("acme")).is_ok());
  EXPECT_EQ(whole.get(1, 300'000), Code::ok);
  EXPECT_EQ(slabs_mapped_by_clients(), 1);
}

TEST_F(ServerTest, AServerWithoutALocalFolderIsReachedOtherwise) {
  ServerOptions without = options("s1", "");
  without.local_dir = "";
  Server& server = start(without);
  EXPECT_TRUE(until([&] { return server.epoch() > 0; }));
  TestClient client(x_router, server.advertised(), fabric::Kind::local);
  ASSERT_TRUE(client.connect(client.ticket("acme")).is_ok());
  EXPECT_EQ(client.answer.fabric(), v1::FABRIC_KIND_GRPC);
}

// Its sockets are an aid; no state of a folder keeps a server from serving over the network.
TEST_F(ServerTest, AFolderThatTakesNoSocketsCostsOnlySharedMemory) {
  const std::string deep = x_data + "/" + std::string(100, 'd');
  ServerOptions made = options("s1", "");
  made.local_dir = deep;
  Server& server = start_settled(made);
  EXPECT_TRUE(std::filesystem::is_directory(deep)) << "it is there, but too long for a socket";
  TestClient client(x_router, server.advertised(), fabric::Kind::local);
  ASSERT_TRUE(client.connect(client.ticket("acme")).is_ok());
  EXPECT_EQ(client.answer.fabric(), v1::FABRIC_KIND_GRPC);
  EXPECT_NE(client.answer.refused_offers().find("not served here"), std::string::npos);
  EXPECT_EQ(client.put_in_time(1, 1000), Code::ok) << client.message;
}

TEST_F(ServerTest, RoutersWatchAndTakeInventoryAndTenantsDoNot) {
  Server& server = start_settled(options("s1", ""));
  TestClient client(x_router, server.advertised(), fabric::Kind::grpc);
  ASSERT_TRUE(client.connect(client.ticket("acme")).is_ok());
  for (uint64_t hash = 1; hash <= 5; ++hash)
    ASSERT_EQ(client.put_in_time(hash, 1000), Code::ok);
  const auto channel = rpc::open_channel(server.advertised(), auth::Role::server,
                                         material_of(auth::Role::router, "r1"))
                           .value();
  const auto stub = v1::StorageControl::NewStub(channel);
  v1::InventoryRequest all;
  all.set_last_position(UINT64_MAX);
  v1::InventoryChunk chunk;
  {
    grpc::ClientContext context;
    rpc::set_timeout(context, Millis(5000));
    const auto reader = stub->Inventory(&context, all);
    int blocks = 0;
    while (reader->Read(&chunk))
      blocks += chunk.blocks_size();
    EXPECT_TRUE(reader->Finish().ok());
    EXPECT_EQ(blocks, 5);
    EXPECT_TRUE(chunk.done());
  }
  grpc::ClientContext watching;
  rpc::set_timeout(watching, Millis(5000));
  v1::WatchBlocksRequest from;
  from.set_incarnation(chunk.incarnation());
  from.set_after_sequence(chunk.sequence() - 2);
  const auto events = stub->WatchBlocks(&watching, from);
  v1::BlockEvents batch;
  ASSERT_TRUE(events->Read(&batch));
  EXPECT_FALSE(batch.gap());
  EXPECT_EQ(batch.events_size(), 2);
  EXPECT_EQ(batch.first_sequence(), chunk.sequence() - 1);
  ASSERT_EQ(client.put_in_time(6, 1000), Code::ok);
  ASSERT_TRUE(events->Read(&batch));
  EXPECT_EQ(batch.events(0).block().bytes(), 1000u);
  watching.TryCancel();
  v1::GetStatsResponse stats;
  {
    grpc::ClientContext context;
    EXPECT_TRUE(stub->GetStats(&context, {}, &stats).ok());
    EXPECT_EQ(stats.name(), "s1");
    EXPECT_EQ(stats.counters().at("tarn_put_blocks_total"), 6u);
  }
  const auto tenant_channel = rpc::open_channel(server.advertised(), auth::Role::server,
                                                material_of(auth::Role::tenant, "acme"))
                                  .value();
  const auto tenant_stub = v1::StorageControl::NewStub(tenant_channel);
  grpc::ClientContext context;
  EXPECT_EQ(rpc::from_grpc(tenant_stub->GetStats(&context, {}, &stats)).code(),
            Code::permission_denied);
  grpc::ClientContext inventory;
  const auto reader = tenant_stub->Inventory(&inventory, all);
  EXPECT_FALSE(reader->Read(&chunk));
  EXPECT_EQ(rpc::from_grpc(reader->Finish()).code(), Code::permission_denied);
}

TEST_F(ServerTest, GoesOnWithoutRoutersAndDrainsWithThem) {
  Server& server = start_settled(options("s1", ""));
  server.drain();
  EXPECT_TRUE(until([&] { return x_router.is_draining("s1"); }));
  x_router.change(
      [](ring::ClusterConfig& config) { config.members[0].state = ring::MemberState::draining; });
  EXPECT_TRUE(until([&] { return server.is_drained(); }));
  x_router.change(
      [](ring::ClusterConfig& config) { config.members[0].state = ring::MemberState::up; });
  TestClient client(x_router, server.advertised(), fabric::Kind::grpc);
  ASSERT_TRUE(client.connect(client.ticket("acme")).is_ok());
  ASSERT_EQ(client.put_in_time(1, 1000), Code::ok);
  x_router.stop();
  EXPECT_EQ(client.put(2, 1000), Code::ok);
  EXPECT_EQ(client.get(1, 1000), Code::ok);
  TestClient late(x_router, server.advertised(), fabric::Kind::grpc);
  EXPECT_TRUE(late.connect(late.ticket("acme")).is_ok());
  EXPECT_EQ(late.get(1, 1000), Code::ok);
}

// It went on beating, so it kept its slots, in which nothing could be acknowledged any more.
TEST_F(ServerTest, LeavesTheClusterWhenItsSessionLogFailsAnFsync) {
  Server& server = start(options("s1", ""));
  EXPECT_TRUE(server.failure().is_ok());
  const auto channel = rpc::open_channel(server.advertised(), auth::Role::server,
                                         material_of(auth::Role::server, "s2"));
  const auto stub = v1::SessionStore::NewStub(channel.value());
  v1::ReadLogRequest ask;
  ask.set_epoch(9);
  v1::ReadLogResponse answer;
  grpc::ClientContext context;
  rpc::set_timeout(context, Millis(5000));
  fault::arm("session.log_fsync", {});
  ASSERT_TRUE(stub->ReadLog(&context, ask, &answer).ok());
  EXPECT_EQ(answer.outcome(), v1::OUTCOME_UNAVAILABLE);
  EXPECT_NE(server.failure().message().find("fsync"), std::string::npos);
  EXPECT_TRUE(x_router.wait_for_silence("s1"));
}

TEST_F(ServerTest, SaysWhatIsWrongWithItsOptions) {
  auto made = options("s1");
  made.dram_bytes = 64 * kMiB;
  EXPECT_NE(Server::open(made).error().message().find("dram_bytes"), std::string::npos);
  made = options("nobody");
  EXPECT_EQ(Server::open(made).error().code(), Code::not_found);
  made = options("s1");
  made.listen = "256.1.1.1:99999";
  EXPECT_EQ(Server::open(made).error().code(), Code::unavailable);
}

}  // namespace
}  // namespace tarn::server
