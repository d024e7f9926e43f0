// Who may call what on a storage server, over real gRPC and TLS; and what streams show.
#include <map>
#include <set>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "common/ring/position.h"
#include "proto/tarn/v1/sessions.grpc.pb.h"
#include "server/rpc/connections.h"
#include "tests/unit/server/rpc/server_rig.h"

namespace tarn::server {
namespace {

// A caller with the certificate of one identity.
struct Caller {
  explicit Caller(const std::string& endpoint, auth::Role role, const std::string& name)
      : channel(rpc::open_channel(endpoint, auth::Role::server, material_of(role, name)).value()),
        storage(v1::StorageControl::NewStub(channel)),
        sessions(v1::SessionStore::NewStub(channel)) {}

  template <typename Call>
  Status run(Call call) {
    grpc::ClientContext context;
    rpc::set_timeout(context, Millis(5000));
    return rpc::from_grpc(call(context));
  }

  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::StorageControl::Stub> storage;
  std::unique_ptr<v1::SessionStore::Stub> sessions;
};

using Method = std::function<grpc::Status(Caller&, grpc::ClientContext&)>;

template <typename Request, typename Response, typename Stub>
Method unary(std::unique_ptr<Stub> Caller::*stub,
             grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*)) {
  return [stub, method](Caller& caller, grpc::ClientContext& context) {
    Request request;
    Response response;
    return ((*(caller.*stub)).*method)(&context, request, &response);
  };
}

grpc::Status inventory(Caller& caller, grpc::ClientContext& context) {
  const auto reader = caller.storage->Inventory(&context, {});
  v1::InventoryChunk chunk;
  while (reader->Read(&chunk)) {
  }
  return reader->Finish();
}

grpc::Status watch(Caller& caller, grpc::ClientContext& context) {
  const auto reader = caller.storage->WatchBlocks(&context, {});
  v1::BlockEvents events;
  if (!reader->Read(&events)) return reader->Finish();
  context.TryCancel();
  (void)reader->Finish();
  return grpc::Status::OK;
}

struct Rule {
  const char* name;
  Method method;
  std::set<auth::Role> allowed;
};

std::vector<Rule> rules() {
  using Storage = v1::StorageControl::Stub;
  using Sessions = v1::SessionStore::Stub;
  using enum auth::Role;
  return {
      {"Inventory", inventory, {router}},
      {"WatchBlocks", watch, {router}},
      {"GetStats", unary(&Caller::storage, &Storage::GetStats), {router, admin, server}},
      {"Execute", unary(&Caller::sessions, &Sessions::Execute), {router}},
      {"List", unary(&Caller::sessions, &Sessions::List), {router}},
      {"Replicate", unary(&Caller::sessions, &Sessions::Replicate), {server}},
      {"Confirm", unary(&Caller::sessions, &Sessions::Confirm), {server}},
      {"ReadLog", unary(&Caller::sessions, &Sessions::ReadLog), {server}},
      {"Drain", unary(&Caller::storage, &Storage::Drain), {router, admin}},
  };
}

class Roles : public ServerTest {
 protected:
  Server& start_settled() { return ServerTest::start_settled(options("s1", "")); }
};

TEST_F(Roles, EachMethodIsForItsRolesAlone) {
  Server& server = start_settled();
  const struct {
    auth::Role role;
    const char* name;
  } callers[] = {{auth::Role::tenant, "acme"},
                 {auth::Role::server, "s2"},
                 {auth::Role::router, "r1"},
                 {auth::Role::admin, "op"}};
  for (const auto& who : callers) {
    Caller caller(server.advertised(), who.role, who.name);
    for (const Rule& rule : rules()) {
      const Status status = caller.run([&](auto& context) { return rule.method(caller, context); });
      const bool is_denied = status.code() == Code::permission_denied;
      EXPECT_EQ(is_denied, !rule.allowed.contains(who.role))
          << rule.name << " by " << auth::role_name(who.role) << ": " << status.to_string();
      if (is_denied) {
        EXPECT_NE(status.message().find(auth::role_name(who.role)), std::string::npos)
            << rule.name << " says to whom it said no: " << status.message();
      }
    }
  }
}

TEST_F(Roles, ACallerWithoutACertificateIsNobody) {
  Server& server = start_settled();
  auto material = material_of(auth::Role::router, "r1");
  material.certificate_pem.clear();
  material.key_pem.clear();
  const auto channel = rpc::open_channel(server.advertised(), auth::Role::server, material);
  if (!channel.has_value()) return;  // refused before a byte was sent
  grpc::ClientContext context;
  rpc::set_timeout(context, Millis(2000));
  v1::GetStatsResponse stats;
  const auto status = v1::StorageControl::NewStub(*channel)->GetStats(&context, {}, &stats);
  EXPECT_FALSE(status.ok());
  EXPECT_TRUE(stats.name().empty());
}

TEST_F(Roles, AMalformedConnectIsToldWhatIsWrong) {
  Server& server = start_settled();
  Caller caller(server.advertised(), auth::Role::tenant, "acme");
  std::map<Code, uint64_t> refused;
  const auto connect = [&](const v1::ConnectRequest& request) {
    v1::ConnectResponse answer;
    Status status = caller.run(
        [&](auto& context) { return caller.storage->Connect(&context, request, &answer); });
    EXPECT_EQ(refused_connections(server, status.code()), ++refused[status.code()])
        << "not counted: " << status.to_string();
    return status;
  };
  TestClient helper(x_router, server.advertised(), fabric::Kind::grpc);
  v1::ConnectRequest request;
  EXPECT_EQ(connect(request).code(), Code::invalid_argument) << "no offers";
  EXPECT_NE(connect(request).message().find("offers"), std::string::npos);
  for (size_t i = 0; i <= Connections::kOffersMax; ++i)
    request.add_offers()->set_kind(v1::FABRIC_KIND_GRPC);
  EXPECT_EQ(connect(request).code(), Code::invalid_argument) << "one too many";
  request.mutable_offers()->DeleteSubrange(1, static_cast<int>(Connections::kOffersMax));
  EXPECT_EQ(connect(request).code(), Code::unauthenticated) << "no ticket";
  request.set_ticket(std::string(10'000, 'x'));
  EXPECT_EQ(connect(request).code(), Code::unauthenticated);
  request.set_ticket(helper.ticket("acme").bytes);
  const Status none = connect(request);
  EXPECT_EQ(none.code(), Code::unsupported);
  EXPECT_NE(none.message().find("no address"), std::string::npos) << none.message();
  struct {
    v1::FabricKind kind;
    const char* says;
  } const offers[] = {{v1::FABRIC_KIND_LOCAL, "version , here 2"},
                      {v1::FABRIC_KIND_UCX, "this server has none"},
                      {v1::FABRIC_KIND_UCX_SHM, "not trusted"}};
  for (const auto& offer : offers) {
    request.mutable_offers(0)->set_kind(offer.kind);
    request.mutable_offers(0)->set_address("somewhere");
    EXPECT_NE(connect(request).message().find(offer.says), std::string::npos)
        << connect(request).message();
  }
}

TEST_F(Roles, OnlyTheHolderEndsAConnection) {
  Server& server = start_settled();
  TestClient client(x_router, server.advertised(), fabric::Kind::grpc);
  ASSERT_TRUE(client.connect(client.ticket("acme")).is_ok());
  ASSERT_EQ(client.put_in_time(1, 1000), Code::ok);
  v1::DisconnectRequest request;
  request.set_connection_id(client.answer.connection_id());
  v1::DisconnectResponse response;
  Caller evil(server.advertised(), auth::Role::tenant, "evil");
  EXPECT_EQ(evil.run([&](auto& context) {
                  return evil.storage->Disconnect(&context, request, &response);
                })
                .code(),
            Code::not_found)
      << "as if there were none";
  EXPECT_EQ(client.get(1, 1000), Code::ok);
  Caller holder(server.advertised(), auth::Role::tenant, "acme");
  const auto disconnect = [&](auto& context) {
    return holder.storage->Disconnect(&context, request, &response);
  };
  EXPECT_TRUE(holder.run(disconnect).is_ok());
  EXPECT_EQ(holder.run(disconnect).code(), Code::not_found);
}

class Streams : public Roles {
 protected:
  void SetUp() override {
    x_server = &start_settled();
    x_client = std::make_unique<TestClient>(x_router, x_server->advertised(), fabric::Kind::grpc);
    ASSERT_TRUE(x_client->connect(x_client->ticket("acme")).is_ok());
    x_watcher = std::make_unique<Caller>(x_server->advertised(), auth::Role::router, "r1");
  }
  void TearDown() override {
    x_client.reset();
    ServerTest::TearDown();
  }

  v1::InventoryChunk take_inventory(uint64_t first, uint64_t last, std::multiset<uint64_t>& found) {
    v1::InventoryRequest request;
    request.set_first_position(first);
    request.set_last_position(last);
    grpc::ClientContext context;
    rpc::set_timeout(context, Millis(5000));
    const auto reader = x_watcher->storage->Inventory(&context, request);
    v1::InventoryChunk chunk;
    while (reader->Read(&chunk)) {
      for (const auto& block : chunk.blocks()) {
        uint64_t number = 0;
        std::memcpy(&number, block.hash().data(), sizeof(number));
        found.insert(number);
      }
    }
    EXPECT_TRUE(reader->Finish().ok());
    EXPECT_TRUE(chunk.done());
    return chunk;
  }

  Server* x_server = nullptr;
  std::unique_ptr<TestClient> x_client;
  std::unique_ptr<Caller> x_watcher;
};

TEST_F(Streams, AnInventoryShowsItsRangeAndNothingElse) {
  std::multiset<uint64_t> low, high, all;
  constexpr uint64_t kMiddle = uint64_t{1} << 63;
  for (uint64_t hash = 1; hash <= 40; ++hash) {
    ASSERT_EQ(x_client->put_in_time(hash, 1000), Code::ok);
    const auto position = ring::position_of(block::tenant_id("acme"), kSpace, hash_of(hash));
    (position.value < kMiddle ? low : high).insert(hash);
  }
  std::multiset<uint64_t> found;
  take_inventory(0, kMiddle - 1, found);
  EXPECT_EQ(found, low);
  found.clear();
  take_inventory(kMiddle, UINT64_MAX, found);
  EXPECT_EQ(found, high);
  found.clear();
  take_inventory(kMiddle, 0, found);
  EXPECT_TRUE(found.empty()) << "an empty range";
}

TEST_F(Streams, AWatchBeginsWithAGapWhereItCannotGoOn) {
  ASSERT_EQ(x_client->put_in_time(1, 1000), Code::ok);
  std::multiset<uint64_t> found;
  const v1::InventoryChunk now = take_inventory(0, UINT64_MAX, found);
  struct {
    const char* name;
    uint64_t incarnation;
    uint64_t after;
    bool gap;
  } const cases[] = {{"goes on", now.incarnation(), now.sequence() - 1, false},
                     {"another life", now.incarnation() + 1, now.sequence() - 1, true},
                     {"no life", 0, 0, true},
                     {"from the future", now.incarnation(), now.sequence() + 100, true},
                     {"long ago", now.incarnation(), 5, true}};
  for (const auto& each : cases) {
    v1::WatchBlocksRequest request;
    request.set_incarnation(each.incarnation);
    request.set_after_sequence(each.after);
    grpc::ClientContext context;
    rpc::set_timeout(context, Millis(5000));
    const auto reader = x_watcher->storage->WatchBlocks(&context, request);
    v1::BlockEvents events;
    ASSERT_TRUE(reader->Read(&events)) << each.name;
    EXPECT_EQ(events.gap(), each.gap) << each.name;
    EXPECT_EQ(events.incarnation(), now.incarnation()) << each.name;
    context.TryCancel();
    (void)reader->Finish();
  }
}

TEST_F(Streams, ChangesThatComeCloseTogetherShareAMessage) {
  ASSERT_EQ(x_client->put_in_time(1, 1000), Code::ok);
  std::multiset<uint64_t> found;
  const v1::InventoryChunk now = take_inventory(0, UINT64_MAX, found);
  v1::WatchBlocksRequest request;
  request.set_incarnation(now.incarnation());
  request.set_after_sequence(now.sequence() - 1);
  grpc::ClientContext context;
  rpc::set_timeout(context, Millis(20'000));
  const auto reader = x_watcher->storage->WatchBlocks(&context, request);
  v1::BlockEvents events;
  ASSERT_TRUE(reader->Read(&events));
  constexpr int kPuts = 400;
  int messages = 0;
  int changes = 0;
  const Instant began = system_clock().now();
  std::thread putter([&] {
    for (uint64_t hash = 2; hash < 2 + kPuts; ++hash)
      EXPECT_EQ(x_client->put_in_time(hash, 1000), Code::ok);
  });
  while (changes < kPuts && reader->Read(&events)) {
    ++messages;
    changes += events.events_size();
  }
  const auto took = std::chrono::duration_cast<Millis>(system_clock().now() - began);
  putter.join();
  context.TryCancel();
  (void)reader->Finish();
  EXPECT_EQ(changes, kPuts);
  EXPECT_LE(messages, took.count() + 2) << "at most one each millisecond";
}

TEST_F(Streams, ARemovalIsWatchedWithTheGenerationOfItsBlock) {
  ASSERT_EQ(x_client->put_in_time(1, 1000), Code::ok);
  std::multiset<uint64_t> found;
  const v1::InventoryChunk now = take_inventory(0, UINT64_MAX, found);
  // The tenant's floor removes all that it has.
  x_router.change([](ring::ClusterConfig& config) {
    config.floors.push_back({block::tenant_id("acme"), {}, {config.epoch.value + 1}});
  });
  v1::WatchBlocksRequest request;
  request.set_incarnation(now.incarnation());
  request.set_after_sequence(now.sequence() - 1);
  grpc::ClientContext context;
  rpc::set_timeout(context, Millis(5000));
  const auto reader = x_watcher->storage->WatchBlocks(&context, request);
  std::vector<v1::BlockEvent> seen;
  v1::BlockEvents events;
  while (seen.size() < 2 && reader->Read(&events))
    seen.insert(seen.end(), events.events().begin(), events.events().end());
  context.TryCancel();
  (void)reader->Finish();
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_FALSE(seen[0].removed());
  EXPECT_TRUE(seen[1].removed());
  EXPECT_EQ(seen[0].block().generation(), seen[1].block().generation());
  EXPECT_EQ(seen[0].block().hash(), seen[1].block().hash());
  found.clear();
  take_inventory(0, UINT64_MAX, found);
  EXPECT_TRUE(found.empty());
}

}  // namespace
}  // namespace tarn::server
