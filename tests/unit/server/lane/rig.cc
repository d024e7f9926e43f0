#include "tests/unit/server/lane/rig.h"

#include <cstring>

#include <gtest/gtest.h>

#include "common/base/check.h"
#include "common/block/checksum.h"

namespace tarn::lane {
namespace {

constexpr SpaceId kSpace{{5}};

}  // namespace

block::BlockHash test_hash(uint64_t number) {
  return *block::BlockHash::from(std::string_view(reinterpret_cast<const char*>(&number), 8));
}

std::vector<std::byte> test_payload(uint64_t hash, uint64_t bytes) {
  std::vector<std::byte> made(bytes);
  for (uint64_t i = 0; i < bytes; ++i)
    made[i] = static_cast<std::byte>(hash * 31 + i * 7 + (i >> 8));
  return made;
}

ring::ClusterConfig make_config(uint64_t epoch, uint32_t servers,
                                const std::vector<std::string>& domains) {
  ring::ClusterConfig config;
  config.epoch = {epoch};
  config.cluster = "test";
  for (uint32_t i = 1; i <= servers; ++i) {
    ring::Member member;
    member.id = {i};
    member.name = "s" + std::to_string(i);
    member.incarnation = {i};
    member.control_endpoint = "127.0.0.1:" + std::to_string(7000 + i);
    member.domain = i <= domains.size() ? domains[i - 1] : "d" + std::to_string(i);
    member.state = ring::MemberState::up;
    config.members.push_back(member);
  }
  return config;
}

LaneRig::LaneRig(fabric::LoopHub& hub, const Clock& c, std::string n, WireUp wire_up)
    : LaneRig(hub, c, std::move(n), std::move(wire_up), Memory()) {}

LaneRig::LaneRig(fabric::LoopHub& hub, const Clock& c, std::string n, WireUp wire_up, Memory memory)
    : clock(c), name(std::move(n)), events(memory.events_max) {
  pool = std::move(*memory::SlabPool::open(
      {.shelves = {{memory::kMixedSlabBytes, 2}, {memory::kClassSlabBytes, 2}},
       .prefault = false}));
  TARN_CHECK(pool->wait_until_full(Millis(10'000)).is_ok());
  port = fabric::LoopPort::open(hub, name).value();
  store::DramTierOptions options;
  options.memory.pool = pool.get();
  options.memory.cap_bytes = memory.cap_bytes;
  options.on_change = [this](const store::BlockChange& change) {
    events.append(change);
    if (change.removed) service->on_gone(change.header);
  };
  tier = std::make_unique<store::DramTier>(options);
  desk = std::make_unique<Desk>(Desk::Place{}, clock, *tier, metrics);
  backups = std::make_unique<Backups>(*desk, std::move(wire_up));
  service = std::make_unique<BlockService>(*desk, *backups);
  backups->add_port(*port);
  port->set_handler([this](uint64_t link, fabric::Bytes header, fabric::Payload& payload) {
    service->on_message(link, header, payload);
  });
}

LaneRig::~LaneRig() {
  service->close_all();
  backups->close();
  for (int i = 0; i < 1000 && !(service->is_idle() && backups->is_idle()); ++i)
    turn();
  service.reset();
  backups.reset();
  desk.reset();
  port.reset();
}

void LaneRig::set_config(const ring::ClusterConfig& config) {
  auto view = make_view(config, name);
  ASSERT_TRUE(view.has_value()) << view.error().to_string();
  service->set_view(*view);
}

Status LaneRig::add_peer(const PeerSpec& spec) {
  fabric::ConnectOptions options;
  options.peer_address = spec.address;
  options.link = spec.connection_id;
  options.on_lost = [this, id = spec.connection_id](Status) { service->remove_peer(id); };
  TARN_ASSIGN_OR_RETURN(auto connection, port->connect(std::move(options)));
  return service->add_peer(spec, std::move(connection));
}

void LaneRig::turn() {
  port->progress();
  backups->tick(clock.now());
  service->tick(clock.now());
}

std::map<std::string, uint64_t> LaneRig::refusals() const {
  std::map<std::string, uint64_t> found;
  for (const auto& family : registry.collect()) {
    if (family.name != "tarn_refused_total") continue;
    for (const auto& sample : family.samples) {
      const uint64_t count = std::get<uint64_t>(sample.value);
      if (count > 0) found[sample.labels.at("cause")] += count;
    }
  }
  return found;
}

uint64_t LaneRig::refused(const std::string& cause) const {
  return refusals()[cause];
}

ClientRig::ClientRig(fabric::LoopHub& hub, LaneRig& l, Options o) : lane(l), options(std::move(o)) {
  binding.incarnation = {77};
  binding.nonce[3] = static_cast<uint8_t>(options.connection_id);
  mac = std::make_unique<auth::RequestMac>(*auth::RequestMac::open(key, binding));
  port = fabric::LoopPort::open(hub, options.name).value();
  PeerSpec spec;
  spec.connection_id = options.connection_id;
  spec.ticket.holder = *auth::make_identity(auth::Role::tenant, options.tenant);
  spec.ticket.rights = options.rights;
  spec.ticket.spaces = options.spaces;
  spec.ticket.expires_ms = lane.clock.unix_ms() + options.life_ms;
  spec.client_key = key;
  spec.binding = binding;
  spec.fabric = options.fabric;
  spec.address = options.name;
  TARN_CHECK(lane.add_peer(spec).is_ok());
  fabric::LinkOptions made;
  made.identity.connection_id = options.connection_id;
  made.identity.nonce = binding.nonce;
  made.identity.incarnation = binding.incarnation;
  made.identity.credits = options.credits;
  made.identity.pieces = true;
  made.client_key = key;
  made.clock = &lane.clock;
  made.connection = port->connect({.peer_address = lane.name,
                                   .link = 1,
                                   .on_lost = [this](Status why) { link->lost(why); }})
                        .value();
  link = fabric::Link::open(std::move(made)).value();
  links.add(1, *link);
  raw = port->connect({.peer_address = lane.name, .link = 2, .on_lost = {}}).value();
  port->set_handler([this](uint64_t, fabric::Bytes header, fabric::Payload& payload) {
    wire::Envelope envelope;
    ASSERT_EQ(wire::decode_envelope(header, envelope), wire::Refusal::none);
    if (envelope.route.sequence < 500 || envelope.route.sequence >= x_next_raw) {
      links.on_message(1, header, payload);
      return;
    }
    RawReply reply;
    std::vector<std::byte> copy(header.begin(), header.end());
    ASSERT_EQ(wire::decode_reply(copy, envelope, reply.reply), wire::Refusal::none);
    reply.payload_bytes = payload.size();
    replies[envelope.route.sequence].push_back(reply);
  });
}

ClientRig::~ClientRig() {
  links.remove(1);
  link->lost(unavailable("the test ends"));
  for (int i = 0; i < 1000 && !link->is_idle(); ++i)
    turn();
  link.reset();
  raw.reset();
  port.reset();
}

void ClientRig::turn() {
  port->progress();
  link->expire(lane.clock.now());
  lane.turn();
  if (also_turn) also_turn();
}

bool ClientRig::until(const std::function<bool()>& condition) {
  for (int i = 0; i < 100'000; ++i) {
    if (condition()) return true;
    turn();
  }
  return false;
}

wire::PutRequest ClientRig::request_of(const Block& block) const {
  wire::PutRequest request;
  request.head.epoch = {block.epoch};
  request.head.deadline_us = 1'000'000;
  request.head.space = kSpace;
  request.hash = test_hash(block.hash);
  request.anchor = test_hash(block.anchor == 0 ? block.hash : block.anchor);
  request.index = block.index;
  if (block.parent != 0) request.parent = test_hash(block.parent);
  request.extent_blocks = 32;
  request.copies = block.copies;
  request.allow_less = block.allow_less;
  const auto payload = test_payload(block.hash, block.bytes);
  request.payload_bytes = payload.size();
  request.payload_crc = block::crc32c(0, payload.data(), payload.size());
  return request;
}

Status ClientRig::begin_put(fabric::PutOp& op, const Block& block, bool& ended) {
  op.request = request_of(block);
  op.head = op.request.head;
  op.deadline = lane.clock.now() + std::chrono::seconds(2);
  op.on_end = [&ended](fabric::LinkOp&) { ended = true; };
  return link->submit(op);
}

Code ClientRig::put(const Block& block, std::string* message) {
  while (true) {
    fabric::PutOp op;
    bool ended = false;
    const auto bytes = test_payload(block.hash, block.bytes);
    const fabric::Bytes part(bytes);
    op.payload = std::span(&part, 1);
    EXPECT_TRUE(begin_put(op, block, ended).is_ok());
    if (!until([&] { return ended; })) return Code::internal;
    const std::string words(wire::view(op.message));
    if (message != nullptr) *message = words;
    if (words.find("prepared") == std::string::npos) return op.code;
    EXPECT_TRUE(lane.pool->wait_until_full(Millis(10'000)).is_ok());
  }
}

Code ClientRig::put_sampled(const Block& block, uint64_t sent) {
  fabric::PutOp op;
  bool ended = false;
  const auto meant = test_payload(block.hash, block.bytes);
  const auto bytes = test_payload(sent, block.bytes);
  const fabric::Bytes part(bytes);
  op.payload = std::span(&part, 1);
  op.request = request_of(block);
  op.request.sampled = true;
  op.request.payload_crc = block::sample_crc32c(meant.data(), meant.size());
  op.head = op.request.head;
  op.deadline = lane.clock.now() + std::chrono::seconds(2);
  op.on_end = [&ended](fabric::LinkOp&) { ended = true; };
  EXPECT_TRUE(link->submit(op).is_ok());
  return until([&] { return ended; }) ? op.code : Code::internal;
}

Code ClientRig::get(const Block& block) {
  const auto expected = test_payload(block.hash, block.bytes);
  std::vector<std::byte> into(block.bytes);
  const fabric::MutableBytes part(into);
  fabric::GetTarget target;
  target.hash = test_hash(block.hash);
  target.into = std::span(&part, 1);
  fabric::GetOp op;
  op.head.epoch = {block.epoch};
  op.head.space = kSpace;
  op.deadline = lane.clock.now() + std::chrono::seconds(2);
  op.targets = std::span(&target, 1);
  bool ended = false;
  op.on_end = [&ended](fabric::LinkOp&) { ended = true; };
  EXPECT_TRUE(link->submit(op).is_ok());
  if (!until([&] { return ended; })) return Code::internal;
  if (op.code != Code::ok) return op.code;
  if (target.code == Code::ok && into != expected) return Code::corrupt;
  return target.code;
}

namespace {

Code ask(ClientRig& client, fabric::KeysOp& op, const ClientRig::Block& block) {
  const wire::BlockItem item{{}, test_hash(block.hash)};
  Code code = Code::internal;
  op.head.epoch = {block.epoch};
  op.head.space = kSpace;
  op.deadline = client.lane.clock.now() + std::chrono::seconds(2);
  op.items = std::span(&item, 1);
  op.codes = std::span(&code, 1);
  bool ended = false;
  op.on_end = [&ended](fabric::LinkOp&) { ended = true; };
  EXPECT_TRUE(client.link->submit(op).is_ok());
  if (!client.until([&] { return ended; })) return Code::internal;
  return op.code == Code::ok ? code : op.code;
}

}  // namespace

Code ClientRig::exists(const Block& block) {
  fabric::KeysOp op(fabric::LinkOp::Kind::exists);
  return ask(*this, op, block);
}

Code ClientRig::remove(const Block& block) {
  fabric::KeysOp op(fabric::LinkOp::Kind::remove);
  return ask(*this, op, block);
}

wire::Route ClientRig::next_route() {
  return {options.connection_id, x_next_raw++};
}

void ClientRig::send_raw(const wire::HeaderBuffer& header, fabric::Bytes payload) {
  ASSERT_TRUE(raw->send(header.view(), std::span(&payload, payload.empty() ? 0 : 1), {}).is_ok());
}

}  // namespace tarn::lane
