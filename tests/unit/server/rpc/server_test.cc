#include "server/wiring.h"

#include <cstdlib>
#include <cstring>
#include <filesystem>

#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include "common/base/fault_point.h"
#include "common/block/checksum.h"
#include "common/fabric/grpc_port.h"
#include "common/fabric/link.h"
#include "common/fabric/link_table.h"
#include "common/fabric/ucx_port.h"
#include "common/fabric/ucx_settings.h"
#include "common/ring/position.h"
#include "common/ring/ring.h"
#include "common/rpc/status.h"
#include "proto/tarn/v1/sessions.grpc.pb.h"
#include "proto/tarn/v1/storage.grpc.pb.h"
#include "tests/unit/server/rpc/fake_router.h"

namespace tarn::server {
namespace {

constexpr SpaceId kSpace{{5}};

auth::Identity identity(auth::Role role, const std::string& name) {
  return *auth::make_identity(role, name);
}

// Certificates, made once for all tests.
const std::string& secrets_dir() {
  static const std::string dir = [] {
    char name[] = "/tmp/tarn-server-test-XXXXXX";
    const std::string made = std::string(::mkdtemp(name)) + "/secrets";
    auth::SecretsOptions options;
    options.identities = {
        identity(auth::Role::router, "r1"),   identity(auth::Role::server, "s1"),
        identity(auth::Role::server, "s2"),   identity(auth::Role::admin, "op"),
        identity(auth::Role::tenant, "acme"), identity(auth::Role::tenant, "evil")};
    EXPECT_TRUE(auth::SecretsDir::create_all(made, options).has_value());
    return made;
  }();
  return dir;
}

rpc::TlsMaterial material_of(auth::Role role, const std::string& name) {
  const auto secrets = auth::SecretsDir::open(secrets_dir()).value();
  const auto pair = secrets.certificate(identity(role, name)).value();
  return {.ca_pem = secrets.ca_pem().value(),
          .certificate_pem = pair.certificate_pem,
          .key_pem = pair.key_pem,
          .token = {}};
}

std::vector<std::byte> payload_of(uint64_t hash, size_t bytes) {
  std::vector<std::byte> made(bytes);
  for (size_t i = 0; i < bytes; ++i)
    made[i] = static_cast<std::byte>(hash + i * 3 + (i >> 9));
  return made;
}

block::BlockHash hash_of(uint64_t number) {
  return *block::BlockHash::from(std::string_view(reinterpret_cast<const char*>(&number), 8));
}

// What the SDK does, in short: a ticket, Connect, one Link per lane.
class TestClient {
 public:
  TestClient(FakeRouter& router, const std::string& endpoint, fabric::Kind kind,
             std::string tenant = "acme")
      : x_router(router), x_kind(kind), x_tenant(std::move(tenant)) {
    x_channel =
        rpc::open_channel(endpoint, auth::Role::server, material_of(auth::Role::tenant, x_tenant))
            .value();
    x_stub = v1::StorageControl::NewStub(x_channel);
  }

  ~TestClient() {
    for (size_t lane = 0; lane < x_links.size(); ++lane) {
      x_table.remove(lane + 1);
      x_links[lane]->lost(unavailable("the test ends"));
    }
    const Instant end = system_clock().now() + std::chrono::seconds(2);
    const auto idle = [this] {
      return std::all_of(x_links.begin(), x_links.end(), [](auto& l) { return l->is_idle(); });
    };
    while (!idle() && system_clock().now() < end)
      turn();
    x_links.clear();
    while (x_port != nullptr && !x_port->idle() && system_clock().now() < end)
      turn();
  }

  auth::SealedTicket ticket(const std::string& holder, int64_t life_ms = 3'600'000) {
    auth::Ticket made;
    made.holder = identity(auth::Role::tenant, holder);
    made.rights = auth::right::kRead | auth::right::kWrite;
    made.issued_ms = system_clock().unix_ms() - 7'200'000;
    made.expires_ms = system_clock().unix_ms() + life_ms;
    return auth::seal_ticket(made, x_router.config().ticket_keys[0]).value();
  }

  Status connect(const auth::SealedTicket& ticket) {
    v1::ConnectRequest request;
    request.set_ticket(ticket.bytes);
    v1::FabricOffer* offer = request.add_offers();
    if (x_kind == fabric::Kind::ucx) {
      auto context = fabric::UcxContext::open({x_kind, "lo"}).value();
      x_port = fabric::UcxPort::open({.context = context}).value();
      offer->set_kind(v1::FABRIC_KIND_UCX);
      offer->set_version(x_version.empty() ? fabric::ucx_version() : x_version);
      offer->set_settings(fabric::settings_fingerprint(x_kind, "lo"));
      offer->set_address(x_port->address());
    }
    auto grpc_port = fabric::GrpcPort::open_client(x_channel).value();
    v1::FabricOffer* fallback = x_kind == fabric::Kind::ucx ? request.add_offers() : offer;
    fallback->set_kind(v1::FABRIC_KIND_GRPC);
    fallback->set_address(grpc_port->address());
    grpc::ClientContext context;
    rpc::set_timeout(context, Millis(5000));
    TARN_RETURN_IF_ERROR(rpc::from_grpc(x_stub->Connect(&context, request, &answer)));
    if (answer.fabric() == v1::FABRIC_KIND_GRPC) x_port = std::move(grpc_port);
    x_port->set_handler([this](uint64_t number, fabric::Bytes header, fabric::Payload& payload) {
      x_table.on_message(number, header, payload);
    });
    for (uint32_t lane = 0; lane < answer.lanes(); ++lane)
      TARN_RETURN_IF_ERROR(open_link(lane, ticket));
    return Status::ok();
  }

  Code put(uint64_t hash, size_t bytes, uint8_t copies = 1) {
    fabric::PutOp op;
    const auto payload = payload_of(hash, bytes);
    const fabric::Bytes part(payload);
    op.head.space = kSpace;
    op.head.epoch = x_router.config().epoch;
    op.request.hash = op.request.anchor = hash_of(hash);
    op.request.extent_blocks = 32;
    op.request.copies = copies;
    op.request.payload_bytes = bytes;
    op.request.payload_crc = block::crc32c(0, payload.data(), payload.size());
    op.payload = std::span(&part, 1);
    finish(op, hash);
    message = std::string(wire::view(op.message));
    return op.code;
  }

  // Repeats while the server is behind on the epoch, or on slabs.
  Code put_in_time(uint64_t hash, size_t bytes, uint8_t copies = 1) {
    const Instant end = system_clock().now() + std::chrono::seconds(10);
    while (true) {
      const Code code = put(hash, bytes, copies);
      const bool again =
          code == Code::stale_epoch || code == Code::overloaded || code == Code::unavailable;
      if (!again || system_clock().now() > end) return code;
    }
  }

  Code get(uint64_t hash, size_t bytes) {
    std::vector<std::byte> into(bytes);
    const fabric::MutableBytes part(into);
    fabric::GetTarget target;
    target.hash = hash_of(hash);
    target.into = std::span(&part, 1);
    fabric::GetOp op;
    op.head.space = kSpace;
    op.targets = std::span(&target, 1);
    finish(op, hash);
    if (op.code != Code::ok) return op.code;
    if (target.code == Code::ok && into != payload_of(hash, bytes)) return Code::corrupt;
    return target.code;
  }

  v1::ConnectResponse answer;
  std::string message;
  std::string x_version;

 private:
  Status open_link(uint32_t lane, const auth::SealedTicket& ticket) {
    fabric::LinkOptions options;
    options.identity.connection_id = answer.connection_id();
    std::memcpy(options.identity.nonce.data(), answer.nonce().data(), 16);
    options.identity.incarnation = {answer.incarnation()};
    options.identity.lane = static_cast<uint16_t>(lane);
    options.identity.credits = answer.credits();
    options.identity.credit_bytes = answer.credit_bytes();
    options.client_key = ticket.client_key;
    const std::string address = answer.lane_addresses().empty()
                                    ? std::to_string(lane)
                                    : answer.lane_addresses(static_cast<int>(lane));
    TARN_ASSIGN_OR_RETURN(options.connection, x_port->connect({.peer_address = address,
                                                               .link = lane + 1,
                                                               .on_lost = [this, lane](Status why) {
                                                                 if (lane < x_links.size())
                                                                   x_links[lane]->lost(why);
                                                               }}));
    TARN_ASSIGN_OR_RETURN(auto link, fabric::Link::open(std::move(options)));
    x_table.add(lane + 1, *link);
    x_links.push_back(std::move(link));
    return Status::ok();
  }

  template <typename Op>
  void finish(Op& op, uint64_t hash) {
    bool ended = false;
    op.deadline = system_clock().now() + std::chrono::seconds(5);
    op.on_end = [&ended](fabric::LinkOp&) { ended = true; };
    const auto position = ring::position_of(block::tenant_id(x_tenant), kSpace, hash_of(hash));
    const auto lane = ring::lane_of(position, static_cast<uint32_t>(x_links.size()));
    const Status begun = x_links[lane]->submit(op);
    if (!begun.is_ok()) {
      op.code = begun.code();
      return;
    }
    while (!ended)
      turn();
  }

  void turn() {
    x_port->progress();
    for (auto& link : x_links)
      link->expire(system_clock().now());
  }

  FakeRouter& x_router;
  const fabric::Kind x_kind;
  const std::string x_tenant;
  std::shared_ptr<grpc::Channel> x_channel;
  std::unique_ptr<v1::StorageControl::Stub> x_stub;
  std::unique_ptr<fabric::Port> x_port;
  fabric::LinkTable x_table;
  std::vector<std::unique_ptr<fabric::Link>> x_links;
};

class ServerTest : public testing::Test {
 protected:
  void TearDown() override {
    fault::disarm_all();
    for (auto& server : x_servers)
      server->close();
    x_servers.clear();
    std::filesystem::remove_all(x_data);
  }

  ServerOptions options(const std::string& name, const std::string& device = "lo") {
    ServerOptions made;
    made.name = name;
    made.routers = {x_router.endpoint()};
    made.dram_bytes = 128 * kMiB;
    made.lanes = 2;
    made.data_dir = x_data + "/" + name;
    made.secrets_dir = secrets_dir();
    made.fabric_device = device;
    made.spin = Micros(0);
    return made;
  }

  Server& start(const ServerOptions& made) {
    auto server = Server::open(made);
    EXPECT_TRUE(server.has_value()) << server.error().to_string();
    x_servers.push_back(std::move(*server));
    EXPECT_TRUE(x_router.wait_for_members(x_servers.size()));
    return *x_servers.back();
  }

  static std::string make_data() {
    char name[] = "/tmp/tarn-server-data-XXXXXX";
    return ::mkdtemp(name);
  }

  std::string x_data = make_data();
  FakeRouter x_router{secrets_dir(), "r1"};
  std::vector<std::unique_ptr<Server>> x_servers;
};

class OverFabric : public ServerTest, public testing::WithParamInterface<fabric::Kind> {};

TEST_P(OverFabric, PutsAndGets) {
  Server& server = start(options("s1"));
  TestClient client(x_router, server.advertised(), GetParam());
  Status connected = client.connect(client.ticket("acme"));
  const Instant end = system_clock().now() + std::chrono::seconds(10);
  while (connected.code() == Code::unavailable && system_clock().now() < end)
    connected = client.connect(client.ticket("acme"));
  ASSERT_TRUE(connected.is_ok()) << connected.to_string();
  EXPECT_EQ(client.answer.fabric(),
            GetParam() == fabric::Kind::ucx ? v1::FABRIC_KIND_UCX : v1::FABRIC_KIND_GRPC);
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
  const Instant end = system_clock().now() + std::chrono::seconds(10);
  while ((a.epoch() < x_router.config().epoch.value || b.epoch() < x_router.config().epoch.value) &&
         system_clock().now() < end) {
  }
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

INSTANTIATE_TEST_SUITE_P(Kinds, OverFabric, testing::Values(fabric::Kind::grpc, fabric::Kind::ucx));

TEST_F(ServerTest, ForeignForgedAndOldTicketsAreRefused) {
  Server& server = start(options("s1", ""));
  TestClient client(x_router, server.advertised(), fabric::Kind::grpc);
  const Instant end = system_clock().now() + std::chrono::seconds(10);
  while (server.epoch() == 0 && system_clock().now() < end) {
  }
  EXPECT_EQ(client.connect(client.ticket("evil")).code(), Code::permission_denied);
  EXPECT_EQ(client.connect(client.ticket("acme", -3'600'000)).code(), Code::unauthenticated);
  auto forged = client.ticket("acme");
  forged.bytes.back() = static_cast<char>(forged.bytes.back() ^ 1);
  EXPECT_EQ(client.connect(forged).code(), Code::unauthenticated);
  fault::arm("server.connect", {});
  EXPECT_EQ(client.connect(client.ticket("acme")).code(), Code::unavailable);
  EXPECT_TRUE(client.connect(client.ticket("acme")).is_ok());
}

TEST_F(ServerTest, AnOfferThatDoesNotFitIsRefusedInWordsAndFallsBack) {
  Server& server = start(options("s1"));
  const Instant end = system_clock().now() + std::chrono::seconds(10);
  while (server.epoch() == 0 && system_clock().now() < end) {
  }
  TestClient client(x_router, server.advertised(), fabric::Kind::ucx);
  client.x_version = "9.99";
  ASSERT_TRUE(client.connect(client.ticket("acme")).is_ok());
  EXPECT_EQ(client.answer.fabric(), v1::FABRIC_KIND_GRPC);
  EXPECT_NE(client.answer.refused_offers().find("9.99"), std::string::npos);
  EXPECT_EQ(client.put_in_time(1, 1000), Code::ok);
}

TEST_F(ServerTest, RoutersWatchAndTakeInventoryAndTenantsDoNot) {
  Server& server = start(options("s1", ""));
  const Instant end = system_clock().now() + std::chrono::seconds(10);
  while (server.epoch() == 0 && system_clock().now() < end) {
  }
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
  Server& server = start(options("s1", ""));
  const Instant end = system_clock().now() + std::chrono::seconds(10);
  while (server.epoch() == 0 && system_clock().now() < end) {
  }
  server.drain();
  while (!x_router.is_draining("s1") && system_clock().now() < end) {
  }
  EXPECT_TRUE(x_router.is_draining("s1"));
  x_router.change(
      [](ring::ClusterConfig& config) { config.members[0].state = ring::MemberState::draining; });
  while (!server.is_drained() && system_clock().now() < end) {
  }
  EXPECT_TRUE(server.is_drained());
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
