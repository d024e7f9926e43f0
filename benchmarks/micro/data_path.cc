#include "benchmarks/micro/data_path.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>

#include "benchmarks/micro/samples.h"
#include "common/base/check.h"
#include "common/block/checksum.h"
#include "common/fabric/link.h"
#include "common/fabric/local_port.h"
#include "common/fabric/loop_port.h"
#include "common/memory/slab.h"
#include "common/memory/slab_pool.h"
#include "common/wire/request_guard.h"
#include "common/wire/seal.h"
#include "sdk/cpp/src/io_loop.h"
#include "server/lane/block_service.h"
#include "server/lane/get_service.h"
#include "server/store/dram_tier.h"
#include "server/store/event_log.h"

namespace tarn::micro {
namespace {

constexpr SpaceId kSpace{{5}};
constexpr const char* kTenant = "bench";
constexpr const char* kLaneName = "lane";
constexpr Nanos kPatience = std::chrono::seconds(10);
constexpr uint64_t kSdkConnection = 1;
constexpr uint64_t kLinkConnection = 2;
constexpr uint64_t kStrangeConnection = 3;  // of requests that never travel
constexpr uint64_t kSinkConnection = 4;     // of answers that never do
const auth::ConnectionBinding kBinding{Incarnation{1}, {}};

std::string client_key() {
  return std::string(32, 'k');
}

ring::ClusterConfig one_server() {
  ring::Member member;
  member.id = ServerId{1};
  member.name = kLaneName;
  member.incarnation = kBinding.incarnation;
  member.control_endpoint = "127.0.0.1:1";
  member.state = ring::MemberState::up;
  ring::ClusterConfig config;
  config.epoch = Epoch{1};
  config.cluster = "bench";
  config.members.push_back(member);
  return config;
}

const TenantId& tenant() {
  static const TenantId id = block::tenant_id(kTenant);
  return id;
}

lane::PeerSpec spec_of(uint64_t connection_id) {
  lane::PeerSpec spec;
  spec.connection_id = connection_id;
  spec.ticket.holder = *auth::make_identity(auth::Role::tenant, kTenant);
  spec.ticket.rights = auth::right::kRead | auth::right::kWrite;
  spec.ticket.expires_ms = system_clock().unix_ms() + 3'600'000;
  spec.client_key = client_key();
  spec.binding = kBinding;
  return spec;
}

// How the ports of one fabric come about, all in this process.
class Road {
 public:
  explicit Road(fabric::Kind kind) : x_kind(kind) {
    TARN_CHECK(kind == fabric::Kind::loop || kind == fabric::Kind::local);
    if (kind == fabric::Kind::loop) return;
    std::string made = "/tmp/tarn-data-path-XXXXXX";
    x_folder = fabric::LocalFolder::open(mkdtemp(made.data()), false).value();
  }
  ~Road() {
    if (!x_folder.path.empty()) std::filesystem::remove_all(x_folder.path);
  }
  Road(const Road&) = delete;
  Road& operator=(const Road&) = delete;

  fabric::Kind kind() const { return x_kind; }

  std::unique_ptr<fabric::Port> open_server() { return open(kLaneName, true, server_memory); }
  std::unique_ptr<fabric::Port> open_client(const std::string& name) {
    return open(name, false, client_memory);
  }

  // A server's way to a client, which may map what is the tenant's.
  std::unique_ptr<fabric::Connection> connect(fabric::Port& server,
                                              fabric::ConnectOptions options) const {
    if (x_kind == fabric::Kind::loop) return server.connect(std::move(options)).value();
    auto& local = static_cast<fabric::LocalPort&>(server);
    return local.connect_showing(std::move(options), tenant().bytes, tenant().bytes).value();
  }

  const std::shared_ptr<fabric::LocalMemory> server_memory =
      std::make_shared<fabric::LocalMemory>();
  const std::shared_ptr<fabric::LocalMemory> client_memory =
      std::make_shared<fabric::LocalMemory>();

 private:
  std::unique_ptr<fabric::Port> open(const std::string& name, bool is_server,
                                     std::shared_ptr<fabric::LocalMemory> memory) {
    if (x_kind == fabric::Kind::loop) return fabric::LoopPort::open(x_hub, name).value();
    fabric::LocalPort::Options options;
    options.folder = x_folder;
    options.is_server = is_server;
    options.memory = std::move(memory);
    return fabric::LocalPort::open(std::move(options)).value();
  }

  const fabric::Kind x_kind;
  fabric::LoopHub x_hub;
  fabric::LocalFolder x_folder;
};

// Takes answers, which end when told.
class Sink : public fabric::Connection {
 public:
  explicit Sink(fabric::SendDone& done) : x_done(done) {}

  Status send(fabric::Bytes, std::span<const fabric::Bytes>, fabric::SendDone done) override {
    x_done = std::move(done);
    return Status::ok();
  }
  void close() override {}

 private:
  fabric::SendDone& x_done;
};

// The client's port, whose progress drives the server, too.
class DrivingPort : public fabric::Port {
 public:
  DrivingPort(std::unique_ptr<fabric::Port> port, std::function<void()> other)
      : x_port(std::move(port)), x_other(std::move(other)) {}

  fabric::Kind kind() const override { return x_port->kind(); }
  std::string address() const override { return x_port->address(); }
  std::string transport() const override { return x_port->transport(); }
  void set_handler(fabric::Handler handler) override { x_port->set_handler(std::move(handler)); }
  Result<std::unique_ptr<fabric::Connection>> connect(fabric::ConnectOptions options) override {
    return x_port->connect(std::move(options));
  }
  size_t progress() override {
    x_other();
    return x_port->progress();
  }
  bool arm() override { return false; }
  int event_fd() const override { return x_port->event_fd(); }
  bool idle() const override { return x_port->idle(); }

 private:
  const std::unique_ptr<fabric::Port> x_port;
  const std::function<void()> x_other;
};

}  // namespace

struct DataPath::Server {
  explicit Server(fabric::Kind kind) : road(kind) {
    memory::SlabPoolOptions slabs;
    slabs.shelves = {{memory::kMixedSlabBytes, 1}, {memory::kClassSlabBytes, 2}};
    pool = memory::SlabPool::open(slabs).value();
    TARN_CHECK(pool->wait_until_full(kPatience).is_ok());
    port = road.open_server();
    store::DramTierOptions options;
    options.memory.pool = pool.get();
    options.memory.cap_bytes = 128 * kMiB;
    options.memory.on_slab = [this](const memory::Slab& slab, const store::DomainId& domain) {
      road.server_memory->add({slab.id(), slab.memory(), slab.fd(), domain.bytes});
    };
    options.memory.on_slab_gone = [this](const memory::Slab& slab) {
      road.server_memory->remove(slab.id());
    };
    options.on_change = [this](const store::BlockChange& change) {
      events.append(change);
      if (change.removed) service->on_gone(change.header);
    };
    tier = std::make_unique<store::DramTier>(options);
    desk = std::make_unique<lane::Desk>(lane::Desk::Place{}, system_clock(), *tier, metrics);
    backups = std::make_unique<lane::Backups>(*desk, lane::WireUp());
    service = std::make_unique<lane::BlockService>(*desk, *backups);
    port->set_handler([this](uint64_t link, fabric::Bytes header, fabric::Payload& payload) {
      service->on_message(link, header, payload);
    });
    service->set_view(lane::make_view(one_server(), kLaneName).value());
    TARN_CHECK(service->add_peer(spec_of(kSinkConnection), std::make_unique<Sink>(sunk)).is_ok());
    gets = std::make_unique<lane::GetService>(*desk);
  }
  ~Server() {
    service->close_all();
    backups->close();
    while (!service->is_idle() || !backups->is_idle())
      turn();
    gets.reset();
    service.reset();
    backups.reset();
    desk.reset();
    port.reset();
  }

  void add_peer(uint64_t connection_id, const std::string& address) {
    auto connection =
        road.connect(*port, {.peer_address = address, .link = connection_id, .on_lost = {}});
    TARN_CHECK(service->add_peer(spec_of(connection_id), std::move(connection)).is_ok());
  }

  void turn() {
    port->progress();
    const Instant now = system_clock().now();
    backups->tick(now);
    service->tick(now);
  }

  Road road;
  std::unique_ptr<memory::SlabPool> pool;
  metrics::Registry registry;
  lane::LaneMetrics metrics{registry, 0};
  store::EventLog events{store::EventLog::kCapacityDefault};
  std::unique_ptr<lane::BlockService> service;
  std::unique_ptr<fabric::Port> port;
  std::unique_ptr<store::DramTier> tier;
  std::unique_ptr<lane::Desk> desk;
  std::unique_ptr<lane::Backups> backups;

  // What admit() checks, again and again.
  wire::GuardedPeer stranger{auth::RequestMac::open(client_key(), kBinding).value(), {}};
  wire::RequestGuard guard{0, [this](uint64_t) { return &stranger; }};
  wire::HeaderBuffer request;

  // What serve() asks, and the end of its answer's send.
  std::unique_ptr<lane::GetService> gets;
  wire::GetRequest wanted;
  fabric::SendDone sunk;
};

struct DataPath::SdkSide {
  explicit SdkSide(Server& server) {
    TARN_CHECK(cluster.offer(one_server()).has_value());
    auto port = server.road.open_client("sdk");
    const std::string address = port->address();
    sdk::IoLoop::Options options;
    options.ports.push_back(
        std::make_unique<DrivingPort>(std::move(port), [&server] { server.turn(); }));
    options.offers.resize(1);
    options.offers[0].kind = server.road.kind();
    options.bytes_in_flight_max = 64 * kMiB;
    options.cluster = &cluster;
    options.connect = [this, &server, address](const sdk::ConnectCall& call) {
      server.add_peer(kSdkConnection, address);
      io->on_connected(call.server, call.attempt, wireup(server));
      return Status::ok();
    };
    options.refresh_config = [] {};
    options.report_misses = [](const std::vector<sdk::MissedAt>&) {};
    options.ticket_end = [] { return int64_t{0}; };
    io = sdk::IoLoop::open(std::move(options)).value();
    block::SpaceSpec spec;
    spec.model = "bench";
    space = std::make_shared<sdk::SpaceState>(spec);
    space->id = kSpace;
    space->tenant = tenant();
  }

  static sdk::Wireup wireup(const Server& server) {
    sdk::Wireup wireup;
    wireup.connection_id = kSdkConnection;
    wireup.nonce = kBinding.nonce;
    wireup.incarnation = kBinding.incarnation;
    wireup.epoch = Epoch{1};
    wireup.fabric = server.road.kind();
    wireup.lane_addresses = {server.port->address()};
    wireup.credits = lane::kCreditsPromised;
    wireup.credit_bytes = 64 * kMiB;
    wireup.client_key = client_key();
    wireup.ticket_expires_unix_ms = system_clock().unix_ms() + 3'600'000;
    return wireup;
  }

  sdk::ClusterView cluster;
  std::unique_ptr<sdk::IoLoop> io;
  std::shared_ptr<sdk::SpaceState> space;
};

struct DataPath::LinkSide {
  explicit LinkSide(Server& s) : server(s) {
    port = server.road.open_client("link");
    server.add_peer(kLinkConnection, port->address());
    fabric::LinkOptions options;
    options.identity.connection_id = kLinkConnection;
    options.identity.nonce = kBinding.nonce;
    options.identity.incarnation = kBinding.incarnation;
    options.client_key = client_key();
    options.connection =
        port->connect({.peer_address = server.port->address(), .link = 1, .on_lost = {}}).value();
    link = fabric::Link::open(std::move(options)).value();
    port->set_handler([this](uint64_t, fabric::Bytes header, fabric::Payload& bytes) {
      link->on_message(header, bytes);
    });
    get.targets = {&target, 1};
    get.on_end = put.on_end = [this](fabric::LinkOp&) { has_ended = true; };
  }
  ~LinkSide() {
    link->lost(unavailable("the end"));
    while (!link->is_idle())
      turn();
  }

  void turn() {
    server.turn();
    port->progress();
  }

  template <typename Op>
  Code run(Op& op) {
    has_ended = false;
    op.head.epoch = Epoch{1};
    op.head.space = kSpace;
    op.deadline = system_clock().now() + kPatience;
    if (const Status begun = link->submit(op); !begun.is_ok()) return begun.code();
    while (!has_ended)
      turn();
    return op.code;
  }

  Server& server;
  std::unique_ptr<fabric::Port> port;
  std::unique_ptr<fabric::Link> link;
  fabric::GetTarget target;
  fabric::MutableBytes room;
  fabric::Bytes payload;
  fabric::GetOp get;
  fabric::PutOp put;
  bool has_ended = false;
};

DataPath::DataPath(uint64_t block_bytes, fabric::Kind kind)
    : x_block_bytes(block_bytes),
      x_source(memory::Slab::open({.bytes = memory::kSlabBytesMin}).value()),
      x_from(x_source->memory().first(block_bytes)),
      x_into(block_bytes * kBatch),
      x_server(std::make_unique<Server>(kind)) {
  std::fill(x_from.begin(), x_from.end(), std::byte{7});
  x_crc = block::crc32c(0, x_from.data(), x_from.size());
  // As a Buffer of the SDK: a server of this host reads it where it lies.
  x_server->road.client_memory->add({x_source->id(), x_source->memory(), x_source->fd(), {}});
  x_sdk = std::make_unique<SdkSide>(*x_server);
  x_link = std::make_unique<LinkSide>(*x_server);
  x_link->room = fabric::MutableBytes(x_into).first(block_bytes);
  x_link->payload = x_from;
  x_link->target.into = {&x_link->room, 1};
  x_link->put.payload = {&x_link->payload, 1};
}

DataPath::~DataPath() {
  x_link.reset();
  x_sdk.reset();
}

sdk::FlightItem DataPath::item_of(sdk::Flight::Kind kind, uint64_t number, uint32_t index) {
  sdk::FlightItem item;
  item.hash = hash_of(number);
  item.place = {item.hash, 0};
  item.index = index;
  if (kind == sdk::Flight::Kind::exists) {
    item.keys = {index, 1};
    return item;
  }
  item.bytes = x_block_bytes;
  if (kind == sdk::Flight::Kind::put) {
    item.from.emplace_back(x_from);
    item.payload_crc = x_crc;
  } else {
    item.into.push_back(fabric::MutableBytes(x_into).subspan(index * x_block_bytes, x_block_bytes));
  }
  return item;
}

Outcome DataPath::fly(sdk::Flight::Kind kind, uint64_t first, uint32_t count) {
  const Instant deadline = system_clock().now() + kPatience;
  sdk::Flight::Options options;
  options.kind = kind;
  options.space = x_sdk->space;
  options.state = sdk::TransferState::open(count, deadline);
  std::vector<sdk::FlightItem> items;
  items.reserve(count);
  for (uint32_t i = 0; i < count; ++i)
    items.push_back(item_of(kind, first + i, i));
  if (kind == sdk::Flight::Kind::exists) {
    std::vector<wire::BlockItem> keys;
    keys.reserve(count);
    for (const sdk::FlightItem& item : items)
      keys.push_back({item.shard, item.hash});
    options.asked = std::make_shared<sdk::KeyBatch>(std::move(keys));
  }
  auto flight = std::make_shared<sdk::Flight>(std::move(options));
  flight->items() = std::move(items);
  const auto state = flight->shared_state();
  TARN_CHECK(x_sdk->io->submit(std::move(flight)).is_ok());
  TARN_CHECK(x_sdk->io->wait_for({*state}, deadline));
  for (const BlockOutcome& each : state->outcomes()) {
    if (each.outcome != Outcome::ok) return each.outcome;
  }
  return Outcome::ok;
}

Outcome DataPath::put(uint64_t number) {
  return fly(sdk::Flight::Kind::put, number, 1);
}

Outcome DataPath::get(uint64_t first, uint32_t count) {
  TARN_CHECK(count <= kBatch);
  return fly(sdk::Flight::Kind::get, first, count);
}

Outcome DataPath::exists(uint64_t first, uint32_t count) {
  return fly(sdk::Flight::Kind::exists, first, count);
}

void DataPath::make_transfer() {
  const Instant deadline = system_clock().now() + kPatience;
  sdk::Flight::Options options;
  options.space = x_sdk->space;
  options.state = sdk::TransferState::open(1, deadline);
  const auto flight = std::make_shared<sdk::Flight>(std::move(options));
  flight->items().push_back(item_of(sdk::Flight::Kind::get, 1, 0));
  flight->state().end();
}

Code DataPath::link_put(uint64_t number) {
  wire::PutRequest& request = x_link->put.request;
  request.hash = request.anchor = hash_of(number);
  request.index = 0;
  request.extent_blocks = kExtentBlocksDefault;
  request.copies = 1;
  request.payload_bytes = x_block_bytes;
  request.payload_crc = x_crc;
  return x_link->run(x_link->put);
}

Code DataPath::link_get(uint64_t number) {
  x_link->target.hash = hash_of(number);
  const Code code = x_link->run(x_link->get);
  return code == Code::ok ? x_link->target.code : code;
}

void DataPath::fill(uint64_t first, uint64_t count) {
  for (uint64_t number = first; number < first + count; ++number) {
    Code code = link_put(number);
    // A slab is being made.
    for (const Instant end = system_clock().now() + kPatience;
         code == Code::overloaded && system_clock().now() < end; code = link_put(number)) {
      TARN_CHECK(x_server->pool->wait_until_full(kPatience).is_ok());
    }
    TARN_CHECK(code == Code::ok || code == Code::exists);
  }
}

void DataPath::make_request(uint64_t number) {
  wire::GetRequest request{};
  request.head.epoch = Epoch{1};
  request.head.space = kSpace;
  request.head.deadline_us = 1'000'000;
  TARN_CHECK(request.items.push_back({Shard{0}, x_block_bytes, hash_of(number)}));
  Server& server = *x_server;
  wire::encode({kStrangeConnection, wire::first_sequence(0)}, request, server.request);
  wire::sign(server.request, server.stranger.mac);
}

bool DataPath::admit() {
  Server& server = *x_server;
  server.stranger.window = {};
  return server.guard.check(server.request.view(), 0).refusal == wire::Refusal::none;
}

void DataPath::serve(uint64_t number) {
  Server& server = *x_server;
  server.wanted.head.space = kSpace;
  server.wanted.head.deadline_us = 1'000'000;
  server.wanted.items.clear();
  TARN_CHECK(server.wanted.items.push_back({Shard{0}, x_block_bytes, hash_of(number)}));
  lane::Peer* const peer = server.desk->peers.find(kSinkConnection);
  server.gets->begin(*peer, {kSinkConnection, 1}, server.wanted, tenant());
  TARN_CHECK(server.sunk != nullptr);
  std::exchange(server.sunk, nullptr)(Code::ok);
}

bool DataPath::find(uint64_t number) const {
  const block::BlockKey key{tenant(), kSpace, Shard{0}, hash_of(number)};
  return x_server->tier->find(key) != nullptr;
}

void DataPath::turn_lane() {
  x_server->turn();
}

}  // namespace tarn::micro
