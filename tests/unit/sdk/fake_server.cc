#include <grpcpp/server_builder.h>

#include <algorithm>
#include <future>

#include "common/block/checksum.h"
#include "common/fabric/ucx_settings.h"
#include "common/wire/seal.h"
#include "tests/unit/sdk/fake_cluster.h"

namespace tarn::sdk {

struct FakeServer::Lane {
  struct Peer {
    wire::GuardedPeer guarded;
    std::unique_ptr<fabric::Connection> connection;
  };
  uint16_t number = 0;
  std::vector<std::unique_ptr<fabric::Port>> ports;
  std::map<uint64_t, std::unique_ptr<Peer>> peers;
  std::unique_ptr<wire::RequestGuard> guard;
};

struct FakeControl : v1::StorageControl::Service {
  explicit FakeControl(FakeServer& s) : server(s) {}
  grpc::Status Connect(grpc::ServerContext*, const v1::ConnectRequest* request,
                       v1::ConnectResponse* answer) override {
    if (server.x_stopped) return {grpc::StatusCode::UNAVAILABLE, "stopped"};
    auto done = std::make_shared<std::promise<void>>();
    auto future = done->get_future();
    auto filled = std::make_shared<v1::ConnectResponse>();
    {
      const std::lock_guard lock(server.x_mutex);
      server.x_jobs.push_back([this, done, filled, copy = *request] {
        server.connect(copy, *filled);
        done->set_value();
      });
    }
    if (future.wait_for(std::chrono::seconds(3)) != std::future_status::ready) {
      return {grpc::StatusCode::UNAVAILABLE, "hangs"};
    }
    *answer = *filled;
    return grpc::Status::OK;
  }
  grpc::Status Disconnect(grpc::ServerContext*, const v1::DisconnectRequest*,
                          v1::DisconnectResponse*) override {
    ++server.x_disconnects;
    return grpc::Status::OK;
  }
  FakeServer& server;
};

FakeServer::FakeServer(Options options) : x_options(std::move(options)) {
  x_bulk = std::make_unique<fabric::GrpcBulkService>();
  x_control = std::make_unique<FakeControl>(*this);
  std::shared_ptr<fabric::UcxContext> ucx;
  if (x_options.has_ucx) ucx = fabric::UcxContext::open({}).value();
  for (uint32_t i = 0; i < x_options.lanes; ++i) {
    auto lane = std::make_unique<Lane>();
    lane->number = static_cast<uint16_t>(i);
    lane->ports.push_back(fabric::GrpcPort::open_lane(x_bulk->streams(), i).value());
    if (ucx != nullptr) {
      fabric::UcxPort::Options port;
      port.context = ucx;
      lane->ports.push_back(fabric::UcxPort::open(std::move(port)).value());
    }
    Lane* const raw = lane.get();
    lane->guard = std::make_unique<wire::RequestGuard>(lane->number, [raw](uint64_t id) {
      const auto found = raw->peers.find(id);
      return found == raw->peers.end() ? nullptr : &found->second->guarded;
    });
    for (auto& port : lane->ports) {
      port->set_handler([this, raw](uint64_t, fabric::Bytes header, fabric::Payload& payload) {
        serve(*raw, raw->guard->check(header, payload.size()), payload);
      });
    }
    x_lanes.push_back(std::move(lane));
  }
  grpc::ServerBuilder builder;
  fabric::set_bulk_limits(builder);
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &x_port);
  builder.RegisterService(x_bulk.get());
  builder.RegisterService(x_control.get());
  x_server = builder.BuildAndStart();
  x_thread = std::thread([this] { run(); });
}

FakeServer::~FakeServer() {
  stop();
}

void FakeServer::stop() {
  if (x_stopped.exchange(true)) return;
  x_thread.join();
  x_bulk->close_all();
  x_server->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(100));
  for (auto& lane : x_lanes) {
    lane->peers.clear();
    for (int i = 0; i < 1000; ++i)
      for (auto& port : lane->ports)
        port->progress();
  }
  x_lanes.clear();
}

void FakeServer::run() {
  while (!x_stopped) {
    if (x_hangs) {
      std::this_thread::yield();
      continue;
    }
    std::deque<std::function<void()>> jobs;
    {
      const std::lock_guard lock(x_mutex);
      jobs.swap(x_jobs);
    }
    for (auto& job : jobs)
      job();
    size_t work = jobs.size();
    for (auto& lane : x_lanes)
      for (auto& port : lane->ports)
        work += port->progress();
    if (work == 0) std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

void FakeServer::connect(const v1::ConnectRequest& request, v1::ConnectResponse& answer) {
  ++x_connects;
  const uint64_t id = x_next_connection++;
  answer.set_connection_id(id);
  answer.set_nonce(std::string(16, 'n'));
  answer.set_incarnation(7);
  answer.set_lanes(x_options.lanes);
  answer.set_credits(32);
  answer.set_credit_bytes(64 * kMiB);
  for (const v1::FabricOffer& offer : request.offers()) {
    const bool is_ucx = offer.kind() == v1::FABRIC_KIND_UCX;
    if (is_ucx && !x_options.has_ucx) {
      answer.set_refused_offers("ucx: switched off");
      continue;
    }
    answer.set_fabric(offer.kind());
    for (auto& lane : x_lanes) {
      auto& port = lane->ports.at(is_ucx ? 1 : 0);
      answer.set_transport(port->transport());
      if (is_ucx) answer.add_lane_addresses(port->address());
      fabric::ConnectOptions options;
      options.peer_address = offer.address();
      options.link = id;
      options.on_lost = [](Status) {};
      auto mac = auth::RequestMac::open(
          std::string(32, 'k'),
          {Incarnation{7},
           {'n', 'n', 'n', 'n', 'n', 'n', 'n', 'n', 'n', 'n', 'n', 'n', 'n', 'n', 'n', 'n'}});
      auto connection = port->connect(std::move(options));
      if (!connection) continue;
      lane->peers[id] = std::unique_ptr<Lane::Peer>(
          new Lane::Peer{{std::move(mac).value(), {}}, std::move(connection).value()});
    }
    return;
  }
}

bool FakeServer::take_refusal() {
  uint32_t left = refusals_left.load();
  if (left == 0) return false;
  refusals_left.store(left - 1);
  return true;
}

void FakeServer::refuse(Code code, uint32_t times) {
  x_refusal = code;
  refusals_left = times;
}

void FakeServer::serve(Lane& lane, const wire::Admitted& admitted, fabric::Payload& payload) {
  if (admitted.refusal != wire::Refusal::none) return;
  if (std::holds_alternative<wire::Ping>(*admitted.request)) {
    return send(lane, admitted.route, wire::Pong{Epoch{1}});
  }
  if (take_refusal()) {
    return send(lane, admitted.route,
                wire::ErrorReply{Epoch{1}, x_refusal.load(), wire::make_text("as the test says")});
  }
  if (const auto* p = std::get_if<wire::PutRequest>(admitted.request)) {
    put(lane, admitted.route, *p, payload);
  } else if (const auto* g = std::get_if<wire::GetRequest>(admitted.request)) {
    get(lane, admitted.route, *g);
  } else if (const auto* e = std::get_if<wire::ExistsRequest>(admitted.request)) {
    exists(lane, admitted.route, *e);
  }
}

std::string FakeServer::key_of(const wire::BlockItem& item) const {
  return std::to_string(item.shard.value) + "/" + std::string(item.hash.view());
}

void FakeServer::put(Lane& lane, wire::Route route, const wire::PutRequest& put,
                     fabric::Payload& payload) {
  const std::string key = key_of({put.shard, put.hash});
  {
    const std::lock_guard lock(x_mutex);
    if (x_blocks.contains(key))
      return send(lane, route, wire::PutReply{Epoch{1}, Code::exists, 1, {}});
    const Status seat =
        x_extents.admit({{}, put.head.space, put.anchor}, {put.index, put.hash, put.extent_blocks});
    if (!seat.is_ok()) return send(lane, route, wire::PutReply{Epoch{1}, seat.code(), 0, {}});
  }
  auto bytes = std::make_shared<std::string>(put.payload_bytes, '\0');
  const fabric::MutableBytes into = std::as_writable_bytes(std::span(*bytes));
  payload.receive({&into, 1}, [this, &lane, route, bytes, key, put](Code code, uint32_t crc) {
    if (code != Code::ok || crc != put.payload_crc) {
      return send(lane, route, wire::PutReply{Epoch{1}, Code::corrupt, 0, {}});
    }
    {
      const std::lock_guard lock(x_mutex);
      x_blocks[key] = {*bytes, std::string(put.anchor.view()), crc};
    }
    send(lane, route, wire::PutReply{Epoch{1}, Code::ok, put.copies, {}});
  });
}

void FakeServer::get(Lane& lane, wire::Route route, const wire::GetRequest& get) {
  for (uint16_t i = 0; i < get.items.size(); ++i) {
    const std::lock_guard lock(x_mutex);
    const auto found = x_blocks.find(key_of({get.items[i].shard, get.items[i].hash}));
    wire::GetReply reply{Epoch{1}, i, 1, Code::not_found, {}, 0, 0};
    if (found == x_blocks.end()) {
      send(lane, route, reply);
      continue;
    }
    reply.code = Code::ok;
    reply.payload_bytes = found->second.bytes.size();
    reply.payload_crc = found->second.crc;
    send(lane, route, reply, std::as_bytes(std::span(found->second.bytes)));
  }
}

void FakeServer::exists(Lane& lane, wire::Route route, const wire::ExistsRequest& exists) {
  wire::ExistsReply reply{Epoch{1}, {}};
  for (const wire::BlockItem& item : exists.items) {
    const std::lock_guard lock(x_mutex);
    reply.codes.push_back(x_blocks.contains(key_of(item)) ? Code::ok : Code::not_found);
  }
  send(lane, route, reply);
}

template <typename Message>
void FakeServer::send(Lane& lane, wire::Route route, const Message& message,
                      fabric::Bytes payload) {
  const auto found = lane.peers.find(route.connection_id);
  if (found == lane.peers.end()) return;
  wire::HeaderBuffer header;
  wire::encode(route, message, header);
  wire::sign(header, found->second->guarded.mac);
  const std::span<const fabric::Bytes> parts(&payload, payload.empty() ? 0 : 1);
  (void)found->second->connection->send(header.view(), parts, [](Code) {});
}

ring::Member FakeServer::member(uint32_t id) const {
  ring::Member member;
  member.id = ServerId{id};
  member.name = x_options.name;
  member.control_endpoint = "127.0.0.1:" + std::to_string(x_port);
  member.incarnation = Incarnation{7};
  member.state = ring::MemberState::up;
  member.lanes = x_options.lanes;
  return member;
}

size_t FakeServer::block_count() const {
  const std::lock_guard lock(x_mutex);
  return x_blocks.size();
}

bool FakeServer::has(const std::string& hash) const {
  const std::lock_guard lock(x_mutex);
  return x_blocks.contains("0/" + hash);
}

void FakeServer::corrupt(const std::string& hash) {
  const std::lock_guard lock(x_mutex);
  x_blocks.at("0/" + hash).bytes[0] ^= 1;
}

std::string FakeServer::anchor_of(const std::string& hash) const {
  const std::lock_guard lock(x_mutex);
  return x_blocks.at("0/" + hash).anchor;
}

}  // namespace tarn::sdk
