#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <future>
#include <thread>

#include "common/block/checksum.h"
#include "common/fabric/grpc_bulk_service.h"
#include "common/fabric/grpc_port.h"
#include "common/fabric/ucx_port.h"
#include "common/fabric/ucx_settings.h"
#include "common/ring/extent.h"
#include "common/rpc/status.h"
#include "common/wire/request_guard.h"
#include "common/wire/seal.h"
#include "proto/tarn/v1/storage.grpc.pb.h"
#include "tests/unit/sdk/fake_cluster.h"

namespace tarn::sdk {

class FakeServer::Inside {
 public:
  explicit Inside(Options options);
  ~Inside();

  ring::Member member(uint32_t id) const;
  // Ends the process, as far as a client can tell.
  void stop();
  // Stops answering (and reading), as SIGSTOP does; and goes on.
  void hang(bool hangs) { x_hangs.store(hangs); }

  size_t block_count() const;
  bool has(const std::string& hash) const;
  void corrupt(const std::string& hash);
  // It has a block that nobody put here: another server's copy.
  void copy(const std::string& hash, const std::string& bytes);
  // The anchor that a block was put under.
  std::string anchor_of(const std::string& hash) const;
  uint32_t connects() const { return x_connects.load(); }
  // The ticket that was shown last.
  std::string last_ticket() const;
  // The next so many wire-ups are refused with this code.
  void refuse_connects(Code code, uint32_t times);
  uint32_t disconnects() const { return x_disconnects.load(); }

  // The next so many requests are answered with this code.
  void refuse(Code code, uint32_t times);
  // From now on the block is answered with this code, whatever there is.
  void judge(const std::string& hash, Code code);
  void know_no_pieces() { x_knows_pieces.store(false); }
  void hold_pieces_from(uint32_t offset) { x_hold_from.store(offset); }
  void hold_blocks(const std::vector<std::string>& hashes);
  uint32_t piece_requests() const { return x_piece_requests.load(); }
  uint32_t block_requests() const { return x_block_requests.load(); }

 private:
  struct Control;
  struct Lane;
  struct Block {
    std::string bytes;
    std::string anchor;
    uint32_t crc = 0;
  };

  void run();
  void connect(const v1::ConnectRequest& request, v1::ConnectResponse& answer);
  void serve(Lane& lane, const wire::Admitted& admitted, fabric::Payload& payload);
  void put(Lane& lane, wire::Route route, const wire::PutRequest& put, fabric::Payload& payload);
  void get(Lane& lane, wire::Route route, const wire::GetRequest& get);
  void get_item(Lane& lane, wire::Route route, const wire::GetRequest& get, uint16_t i);
  bool is_held(const wire::GetRequest& get, uint16_t i) const;
  size_t answer_held();
  void cancel_held(Lane& lane, uint64_t connection_id, uint64_t sequence);
  void exists(Lane& lane, wire::Route route, const wire::ExistsRequest& exists);
  template <typename Message>
  void send(Lane& lane, wire::Route route, const Message& message, fabric::Bytes payload = {});
  bool take_refusal();
  Code judged(const block::BlockHash& hash) const;
  std::string key_of(const wire::BlockItem& item) const;

  const Options x_options;
  std::atomic<bool> x_hangs{false};
  std::atomic<bool> x_stopped{false};
  std::atomic<uint32_t> x_connects{0};
  std::atomic<uint32_t> x_disconnects{0};
  std::atomic<Code> x_refusal{Code::ok};
  std::atomic<uint32_t> x_refusals_left{0};
  std::atomic<Code> x_connect_refusal{Code::ok};
  std::atomic<uint32_t> x_connect_refusals_left{0};
  mutable std::mutex x_mutex;
  std::deque<std::function<void()>> x_jobs;
  std::map<std::string, Block> x_blocks;
  std::map<std::string, Code> x_judged;  // by hash
  std::atomic<bool> x_knows_pieces{true};
  std::atomic<uint32_t> x_hold_from{UINT32_MAX};
  std::vector<std::string> x_held_hashes;
  std::atomic<uint32_t> x_piece_requests{0};
  std::atomic<uint32_t> x_block_requests{0};
  struct Held {
    Lane* lane;
    wire::Route route;
    wire::GetRequest get;
    uint16_t item;
  };
  std::deque<Held> x_held;  // the thread's own
  std::string x_last_ticket;
  ring::ExtentTable x_extents{1000};
  std::vector<std::unique_ptr<Lane>> x_lanes;
  std::unique_ptr<fabric::GrpcBulkService> x_bulk;
  std::unique_ptr<v1::StorageControl::Service> x_control;
  std::unique_ptr<grpc::Server> x_server;
  std::thread x_thread;
  int x_port = 0;
  uint64_t x_next_connection = 1;
};

struct FakeServer::Inside::Lane {
  struct Peer {
    wire::GuardedPeer guarded;
    std::unique_ptr<fabric::Connection> connection;
  };
  uint16_t number = 0;
  std::vector<std::unique_ptr<fabric::Port>> ports;
  std::map<uint64_t, std::unique_ptr<Peer>> peers;
  std::unique_ptr<wire::RequestGuard> guard;
};

struct FakeServer::Inside::Control : v1::StorageControl::Service {
  explicit Control(Inside& s) : server(s) {}
  grpc::Status Connect(grpc::ServerContext*, const v1::ConnectRequest* request,
                       v1::ConnectResponse* answer) override {
    if (server.x_stopped) return {grpc::StatusCode::UNAVAILABLE, "stopped"};
    {
      const std::lock_guard lock(server.x_mutex);
      server.x_last_ticket = request->ticket();
    }
    if (const uint32_t left = server.x_connect_refusals_left.load(); left > 0) {
      server.x_connect_refusals_left.store(left - 1);
      return rpc::to_grpc({server.x_connect_refusal.load(), "no wire-up, as the test says"});
    }
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
  Inside& server;
};

FakeServer::Inside::Inside(Options options) : x_options(std::move(options)) {
  x_bulk = std::make_unique<fabric::GrpcBulkService>();
  x_control = std::make_unique<Control>(*this);
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

FakeServer::Inside::~Inside() {
  stop();
}

void FakeServer::Inside::stop() {
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

void FakeServer::Inside::run() {
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
    size_t work = jobs.size() + answer_held();
    for (auto& lane : x_lanes)
      for (auto& port : lane->ports)
        work += port->progress();
    if (work == 0) std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

void FakeServer::Inside::connect(const v1::ConnectRequest& request, v1::ConnectResponse& answer) {
  ++x_connects;
  const uint64_t id = x_next_connection++;
  answer.set_connection_id(id);
  answer.set_nonce(std::string(16, 'n'));
  answer.set_incarnation(7);
  answer.set_lanes(x_options.lanes);
  answer.set_credits(32);
  answer.set_credit_bytes(64 * kMiB);
  answer.set_pieces(x_knows_pieces);
  for (const v1::FabricOffer& offer : request.offers()) {
    const bool is_ucx = offer.kind() == v1::FABRIC_KIND_UCX;
    if (offer.kind() != v1::FABRIC_KIND_GRPC && !(is_ucx && x_options.has_ucx)) {
      answer.set_refused_offers(is_ucx ? "ucx: switched off" : "shared memory: switched off");
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

bool FakeServer::Inside::take_refusal() {
  uint32_t left = x_refusals_left.load();
  if (left == 0) return false;
  x_refusals_left.store(left - 1);
  return true;
}

void FakeServer::Inside::refuse_connects(Code code, uint32_t times) {
  x_connect_refusal = code;
  x_connect_refusals_left = times;
}

std::string FakeServer::Inside::last_ticket() const {
  const std::lock_guard lock(x_mutex);
  return x_last_ticket;
}

void FakeServer::Inside::judge(const std::string& hash, Code code) {
  const std::lock_guard lock(x_mutex);
  x_judged[hash] = code;
}

// Precondition: x_mutex is held.
Code FakeServer::Inside::judged(const block::BlockHash& hash) const {
  const auto found = x_judged.find(std::string(hash.view()));
  return found == x_judged.end() ? Code::ok : found->second;
}

void FakeServer::Inside::refuse(Code code, uint32_t times) {
  x_refusal = code;
  x_refusals_left = times;
}

void FakeServer::Inside::serve(Lane& lane, const wire::Admitted& admitted,
                               fabric::Payload& payload) {
  if (admitted.refusal != wire::Refusal::none) return;
  if (std::holds_alternative<wire::Ping>(*admitted.request)) {
    return send(lane, admitted.route, wire::Pong{Epoch{1}});
  }
  if (const auto* cancel = std::get_if<wire::Cancel>(admitted.request)) {
    return cancel_held(lane, admitted.route.connection_id, cancel->sequence);
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

std::string FakeServer::Inside::key_of(const wire::BlockItem& item) const {
  return std::to_string(item.shard.value) + "/" + std::string(item.hash.view());
}

void FakeServer::Inside::put(Lane& lane, wire::Route route, const wire::PutRequest& put,
                             fabric::Payload& payload) {
  const std::string key = key_of({put.shard, put.hash});
  {
    const std::lock_guard lock(x_mutex);
    if (const Code code = judged(put.hash); code != Code::ok) {
      return send(lane, route,
                  wire::PutReply{Epoch{1}, code, 1, wire::make_text("the block is judged")});
    }
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

void FakeServer::Inside::get(Lane& lane, wire::Route route, const wire::GetRequest& get) {
  ++(get.pieces ? x_piece_requests : x_block_requests);
  for (uint16_t i = 0; i < get.items.size(); ++i) {
    if (is_held(get, i)) {
      x_held.push_back({&lane, route, get, i});
    } else {
      get_item(lane, route, get, i);
    }
  }
}

bool FakeServer::Inside::is_held(const wire::GetRequest& get, uint16_t i) const {
  if (get.pieces) return get.items[i].offset >= x_hold_from;
  const std::lock_guard lock(x_mutex);
  const auto held = [&](const std::string& hash) { return get.items[i].hash.view() == hash; };
  return std::any_of(x_held_hashes.begin(), x_held_hashes.end(), held);
}

void FakeServer::Inside::hold_blocks(const std::vector<std::string>& hashes) {
  const std::lock_guard lock(x_mutex);
  x_held_hashes = hashes;
}

size_t FakeServer::Inside::answer_held() {
  size_t count = 0;
  for (size_t left = x_held.size(); left > 0; --left) {
    const Held held = x_held.front();
    x_held.pop_front();
    if (is_held(held.get, held.item)) {
      x_held.push_back(held);
    } else {
      get_item(*held.lane, held.route, held.get, held.item);
      ++count;
    }
  }
  return count;
}

void FakeServer::Inside::cancel_held(Lane& lane, uint64_t connection_id, uint64_t sequence) {
  std::erase_if(x_held, [&](const Held& held) {
    if (held.route != wire::Route{connection_id, sequence}) return false;
    send(lane, held.route, wire::GetReply{Epoch{1}, held.item, 1, Code::cancelled, {}, 0, 0});
    return true;
  });
}

void FakeServer::Inside::get_item(Lane& lane, wire::Route route, const wire::GetRequest& get,
                                  uint16_t i) {
  const std::lock_guard lock(x_mutex);
  const wire::GetItem& item = get.items[i];
  const auto found = x_blocks.find(key_of({item.shard, item.hash}));
  wire::GetReply reply{Epoch{1}, i, 1, Code::not_found, {}, 0, 0};
  if (const Code code = judged(item.hash); code != Code::ok) {
    reply.code = code;
    return send(lane, route, reply);
  }
  if (found == x_blocks.end()) return send(lane, route, reply);
  const Block& block = found->second;
  auto bytes = std::as_bytes(std::span(block.bytes));
  reply.code = Code::ok;
  reply.payload_crc = block.crc;
  if (get.pieces) {
    if (item.offset + item.bytes_max > bytes.size()) {
      reply.code = Code::invalid_argument;
      reply.payload_crc = 0;
      return send(lane, route, reply);
    }
    bytes = bytes.subspan(item.offset, item.bytes_max);
    reply.is_piece = true;
    reply.payload_crc = block::crc32c(0, bytes.data(), bytes.size());
    reply.block_bytes = static_cast<uint32_t>(block.bytes.size());
    reply.block_crc = block.crc;
  }
  reply.payload_bytes = bytes.size();
  send(lane, route, reply, bytes);
}

void FakeServer::Inside::exists(Lane& lane, wire::Route route, const wire::ExistsRequest& exists) {
  wire::ExistsReply reply{Epoch{1}, {}};
  for (const wire::BlockItem& item : exists.items) {
    const std::lock_guard lock(x_mutex);
    const Code code = judged(item.hash);
    const bool is_there = x_blocks.contains(key_of(item));
    reply.codes.push_back(code != Code::ok ? code : is_there ? Code::ok : Code::not_found);
  }
  send(lane, route, reply);
}

template <typename Message>
void FakeServer::Inside::send(Lane& lane, wire::Route route, const Message& message,
                              fabric::Bytes payload) {
  const auto found = lane.peers.find(route.connection_id);
  if (found == lane.peers.end()) return;
  wire::HeaderBuffer header;
  wire::encode(route, message, header);
  wire::sign(header, found->second->guarded.mac);
  const std::span<const fabric::Bytes> parts(&payload, payload.empty() ? 0 : 1);
  (void)found->second->connection->send(header.view(), parts, [](Code) {});
}

ring::Member FakeServer::Inside::member(uint32_t id) const {
  ring::Member member;
  member.id = ServerId{id};
  member.name = x_options.name;
  member.control_endpoint = "127.0.0.1:" + std::to_string(x_port);
  member.incarnation = Incarnation{7};
  member.state = ring::MemberState::up;
  member.lanes = x_options.lanes;
  return member;
}

size_t FakeServer::Inside::block_count() const {
  const std::lock_guard lock(x_mutex);
  return x_blocks.size();
}

bool FakeServer::Inside::has(const std::string& hash) const {
  const std::lock_guard lock(x_mutex);
  return x_blocks.contains("0/" + hash);
}

void FakeServer::Inside::corrupt(const std::string& hash) {
  const std::lock_guard lock(x_mutex);
  x_blocks.at("0/" + hash).bytes[0] ^= 1;
}

void FakeServer::Inside::copy(const std::string& hash, const std::string& bytes) {
  const std::lock_guard lock(x_mutex);
  x_blocks["0/" + hash] = {bytes, hash, block::crc32c(0, bytes.data(), bytes.size())};
}

std::string FakeServer::Inside::anchor_of(const std::string& hash) const {
  const std::lock_guard lock(x_mutex);
  return x_blocks.at("0/" + hash).anchor;
}

FakeServer::FakeServer(Options options) : x_inside(std::make_unique<Inside>(std::move(options))) {}

FakeServer::~FakeServer() = default;

ring::Member FakeServer::member(uint32_t id) const {
  return x_inside->member(id);
}

void FakeServer::stop() {
  x_inside->stop();
}

void FakeServer::hang(bool hangs) {
  x_inside->hang(hangs);
}

size_t FakeServer::block_count() const {
  return x_inside->block_count();
}

bool FakeServer::has(const std::string& hash) const {
  return x_inside->has(hash);
}

void FakeServer::corrupt(const std::string& hash) {
  x_inside->corrupt(hash);
}

void FakeServer::copy(const std::string& hash, const std::string& bytes) {
  x_inside->copy(hash, bytes);
}

std::string FakeServer::anchor_of(const std::string& hash) const {
  return x_inside->anchor_of(hash);
}

uint32_t FakeServer::connects() const {
  return x_inside->connects();
}

uint32_t FakeServer::disconnects() const {
  return x_inside->disconnects();
}

std::string FakeServer::last_ticket() const {
  return x_inside->last_ticket();
}

void FakeServer::refuse_connects(Code code, uint32_t times) {
  x_inside->refuse_connects(code, times);
}

void FakeServer::refuse(Code code, uint32_t times) {
  x_inside->refuse(code, times);
}

void FakeServer::judge(const std::string& hash, Code code) {
  x_inside->judge(hash, code);
}

void FakeServer::know_no_pieces() {
  x_inside->know_no_pieces();
}

void FakeServer::hold_blocks(const std::vector<std::string>& hashes) {
  x_inside->hold_blocks(hashes);
}

void FakeServer::hold_pieces_from(uint32_t offset) {
  x_inside->hold_pieces_from(offset);
}

uint32_t FakeServer::piece_requests() const {
  return x_inside->piece_requests();
}

uint32_t FakeServer::block_requests() const {
  return x_inside->block_requests();
}

}  // namespace tarn::sdk
