#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include "common/base/fault_point.h"
#include "common/block/checksum.h"
#include "common/fabric/grpc_port.h"
#include "common/fabric/link.h"
#include "common/fabric/link_table.h"
#include "common/fabric/local_port.h"
#include "common/fabric/ucx_port.h"
#include "common/fabric/ucx_settings.h"
#include "common/ring/position.h"
#include "common/rpc/status.h"
#include "proto/tarn/v1/storage.grpc.pb.h"
#include "server/wiring.h"
#include "tests/unit/server/rpc/fake_router.h"
#include "tests/unit/until.h"

namespace tarn::server {

inline constexpr SpaceId kSpace{{5}};

inline auth::Identity identity(auth::Role role, const std::string& name) {
  return *auth::make_identity(role, name);
}

// Certificates, made once for all tests.
inline const std::string& secrets_dir() {
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

// Where servers and clients of this process meet for shared memory.
inline const fabric::LocalFolder& local_folder() {
  static const fabric::LocalFolder folder = [] {
    char name[] = "/tmp/tarn-server-local-XXXXXX";
    return fabric::LocalFolder::open(::mkdtemp(name), false).value();
  }();
  return folder;
}

inline rpc::TlsMaterial material_of(auth::Role role, const std::string& name) {
  const auto secrets = auth::SecretsDir::open(secrets_dir()).value();
  const auto pair = secrets.certificate(identity(role, name)).value();
  return {.ca_pem = secrets.ca_pem().value(),
          .certificate_pem = pair.certificate_pem,
          .key_pem = pair.key_pem,
          .token = {}};
}

// Knows the cluster's CA, and has nothing to show.
inline rpc::TlsMaterial nothing_to_show() {
  rpc::TlsMaterial tls;
  tls.ca_pem = auth::SecretsDir::open(secrets_dir()).value().ca_pem().value();
  return tls;
}

inline std::vector<std::byte> payload_of(uint64_t hash, size_t bytes) {
  std::vector<std::byte> made(bytes);
  for (size_t i = 0; i < bytes; ++i)
    made[i] = static_cast<std::byte>(hash + i * 3 + (i >> 9));
  return made;
}

inline block::BlockHash hash_of(uint64_t number) {
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

  auth::SealedTicket ticket(const std::string& holder, int64_t life_ms = 3'600'000,
                            std::vector<SpaceId> spaces = {}) {
    auth::Ticket made;
    made.spaces = std::move(spaces);
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
    if (x_kind == fabric::Kind::local) {
      x_port = fabric::LocalPort::open({.folder = local_folder()}).value();
      offer->set_kind(v1::FABRIC_KIND_LOCAL);
      offer->set_version(x_version.empty() ? fabric::local_version() : x_version);
      offer->set_settings(local_folder().fingerprint);
      offer->set_host(x_host.empty() ? fabric::local_host() : x_host);
      offer->set_address(x_port->address());
    }
    auto grpc_port = fabric::GrpcPort::open_client(x_channel).value();
    v1::FabricOffer* fallback = x_kind == fabric::Kind::grpc ? offer : request.add_offers();
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
    op.request.on_flash = on_flash;
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
  bool on_flash = false;  // of the next puts
  std::string x_version;
  std::string x_host;

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
    made.local_dir = local_folder().path;
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

  // The same, and waits until it runs the config.
  Server& start_settled(const ServerOptions& made) {
    Server& server = start(made);
    EXPECT_TRUE(runs_config(server));
    return server;
  }

  bool runs_config(const Server& server) {
    return until([&] { return server.epoch() >= x_router.config().epoch.value; });
  }

  // What the server says it has counted, by "name" or "name:cause"; 0 for what never happened.
  static uint64_t counted(const Server& server, const std::string& name) {
    const auto channel = rpc::open_channel(server.advertised(), auth::Role::server,
                                           material_of(auth::Role::admin, "op"));
    grpc::ClientContext context;
    rpc::set_timeout(context, Millis(5000));
    v1::GetStatsResponse stats;
    const auto stub = v1::StorageControl::NewStub(channel.value());
    EXPECT_TRUE(stub->GetStats(&context, {}, &stats).ok());
    return (*stats.mutable_counters())[name];
  }
  static uint64_t refused_connections(const Server& server, Code cause) {
    return counted(server, "tarn_connections_refused_total:" + std::string(code_name(cause)));
  }

  static std::string make_data() {
    char name[] = "/tmp/tarn-server-data-XXXXXX";
    return ::mkdtemp(name);
  }

  std::string x_data = make_data();
  FakeRouter x_router{secrets_dir(), "r1"};
  std::vector<std::unique_ptr<Server>> x_servers;
};

}  // namespace tarn::server
