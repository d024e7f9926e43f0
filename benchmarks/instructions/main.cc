// Takes hot paths of the data path so often that callgrind can count what one step costs:
//   tarn-instructions PATH
// Only those steps are counted, none of what prepares them (--instr-atstart=no). Prints how many
// they were, and of which processor and compiler the code is. scripts/instructions does that for
// all paths and compares with benchmarks/instructions/counts.json.
#include <valgrind/callgrind.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "benchmarks/micro/data_path.h"
#include "benchmarks/micro/samples.h"
#include "common/auth/ticket.h"
#include "common/base/check.h"
#include "common/base/units.h"
#include "common/fabric/local_area.h"
#include "common/ring/position.h"
#include "common/wire/decode.h"
#include "common/wire/encode.h"
#include "router/index/index.h"

namespace tarn::micro {
namespace {

constexpr uint64_t kBlockBytes = 4096;
constexpr uint64_t kBlocks = 4096;
constexpr uint32_t kChain = 8192;
constexpr uint32_t kExtentBlocks = 32;
constexpr uint32_t kAsked = 1024;
constexpr uint32_t kEvents = 1024;
constexpr uint32_t kMessageItems = 64;

constexpr uint64_t kSteps = 256;       // of those that take microseconds
constexpr uint64_t kLongSteps = 16;    // and of those that take a millisecond
constexpr uint64_t kWarmFraction = 4;  // a step for so many is not counted

using Step = std::function<void(uint64_t)>;

std::shared_ptr<DataPath> data_path(fabric::Kind kind = fabric::Kind::loop) {
  return std::make_shared<DataPath>(kBlockBytes, kind);
}

// What a router seals and a server opens once a connection.
Step open_ticket() {
  const auto key = std::make_shared<const TicketKey>(auth::make_ticket_key(1, INT64_MAX).value());
  auth::Ticket ticket;
  ticket.holder = auth::make_identity(auth::Role::tenant, "bench").value();
  ticket.rights = auth::right::kRead;
  ticket.issued_ms = 1;
  ticket.expires_ms = 1000;
  return [key, bytes = auth::seal_ticket(ticket, *key).value().bytes](uint64_t) {
    auth::TicketRules rules;
    rules.keys = {key.get(), 1};
    rules.now_ms = 10;
    TARN_CHECK(auth::open_ticket(bytes, rules).has_value());
  };
}

Step mac() {
  auto opened = auth::RequestMac::open(std::string(32, 'k'), {Incarnation{7}, {}});
  TARN_CHECK(opened.has_value());
  const auto made = std::make_shared<auth::RequestMac>(std::move(opened).value());
  return [made, header = std::string(128, 'h')](uint64_t i) { (void)made->compute(i + 1, header); };
}

Step admit() {
  const auto path = data_path();
  path->make_request(1);
  return [path](uint64_t) { TARN_CHECK(path->admit()); };
}

Step index() {
  const auto path = data_path();
  path->fill(0, kBlocks);
  return [path](uint64_t i) { TARN_CHECK(path->find(i * 37 % kBlocks)); };
}

// The header of a get of many blocks.
Step encode() {
  auto request = std::make_shared<wire::GetRequest>();
  for (uint64_t i = 0; i < kMessageItems; ++i)
    TARN_CHECK(request->items.push_back({Shard{0}, kBlockBytes, hash_of(i)}));
  const auto header = std::make_shared<wire::HeaderBuffer>();
  return [request, header](uint64_t i) { wire::encode({7, i}, *request, *header); };
}

Step decode() {
  const auto header = std::make_shared<wire::HeaderBuffer>();
  wire::GetRequest full{};
  for (uint64_t i = 0; i < kMessageItems; ++i)
    TARN_CHECK(full.items.push_back({Shard{0}, kBlockBytes, hash_of(i)}));
  wire::encode({7, 1}, full, *header);
  const auto request = std::make_shared<wire::Request>();
  return [header, request](uint64_t) {
    wire::Envelope envelope;
    TARN_CHECK(wire::decode_envelope(header->view(), envelope) == wire::Refusal::none);
    TARN_CHECK(wire::decode_request(header->view(), envelope, *request) == wire::Refusal::none);
  };
}

Step position() {
  return [](uint64_t i) {
    const Position found = ring::position_of(TenantId{{1}}, SpaceId{{2}}, hash_of(i));
    TARN_CHECK(found.value != 0);
  };
}

Step idle_turn() {
  const auto path = data_path();
  return [path](uint64_t) { path->turn_lane(); };
}

// One record with a header of the usual size, there and taken.
Step ring_record() {
  const auto area = fabric::LocalArea::map(fabric::LocalArea::make().value().fd).value();
  struct Ends {
    fabric::LocalWriter writer;
    fabric::LocalReader reader;
  };
  const auto ends = std::make_shared<Ends>(
      Ends{fabric::LocalWriter(area->to_server()), fabric::LocalReader(area->to_server())});
  return [area, ends, header = std::array<std::byte, 128>{}](uint64_t) {
    TARN_CHECK(ends->writer.has_room(header.size()));
    fabric::LocalRecord record;
    record.type = fabric::LocalRecord::Type::message;
    record.header_bytes = static_cast<uint16_t>(header.size());
    ends->writer.write(record, header);
    std::array<std::byte, fabric::kHeaderBytesMax> taken;
    TARN_CHECK(ends->reader.take(record, taken.data()) == fabric::LocalReader::Take::record);
    ends->reader.publish();
  };
}

Step serve() {
  const auto path = data_path();
  path->fill(0, 64);
  return [path](uint64_t i) { path->serve(i % 64); };
}

Step make_transfer() {
  const auto path = data_path();
  return [path](uint64_t) { path->make_transfer(); };
}

Step link_get() {
  const auto path = data_path();
  path->fill(0, 64);
  return [path](uint64_t i) { TARN_CHECK(path->link_get(i % 64) == Code::ok); };
}

Step link_put() {
  const auto path = data_path();
  return [path](uint64_t i) { TARN_CHECK(path->link_put(i) == Code::ok); };
}

template <fabric::Kind kind>
Step get() {
  const auto path = data_path(kind);
  path->fill(0, 64);
  return [path](uint64_t i) { TARN_CHECK(path->get(i % 64) == Outcome::ok); };
}

template <fabric::Kind kind>
Step get_batch() {
  const auto path = data_path(kind);
  path->fill(0, DataPath::kBatch);
  return [path](uint64_t) { TARN_CHECK(path->get(0, DataPath::kBatch) == Outcome::ok); };
}

template <fabric::Kind kind>
Step put() {
  const auto path = data_path(kind);
  return [path](uint64_t i) { TARN_CHECK(path->put(i) == Outcome::ok); };
}

template <fabric::Kind kind>
Step exists() {
  const auto path = data_path(kind);
  path->fill(0, kAsked);
  return [path](uint64_t) { TARN_CHECK(path->exists(0, kAsked) == Outcome::ok); };
}

std::vector<index::BlockEvent> events(uint64_t first, uint32_t count) {
  std::vector<index::BlockEvent> events(count);
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t number = first + i;
    index::StoredBlock& block = events[i].block;
    block.tenant = TenantId{{1}};
    block.space = SpaceId{{7}};
    block.hash = hash_of(number);
    block.anchor = hash_of(number / kExtentBlocks * kExtentBlocks);
    block.index = static_cast<uint32_t>(number % kExtentBlocks);
    block.bytes = 1 << 20;
  }
  return events;
}

Step match() {
  const auto index = std::make_shared<index::Index>(42);
  index->apply(index->attach(ServerId{1}), events(0, 2 * kChain));
  return [index, hashes = hashes_of(kChain / 2, kChain)](uint64_t) {
    const index::MatchAnswer answer = index->match({TenantId{{1}}, SpaceId{{7}}, hashes, {}});
    TARN_CHECK(answer.matched == kChain);
  };
}

Step apply_events() {
  const auto index = std::make_shared<index::Index>(42);
  const index::Handle handle = index->attach(ServerId{1});
  const uint64_t steps = kLongSteps + kLongSteps / kWarmFraction;
  const auto all = std::make_shared<const std::vector<index::BlockEvent>>(
      events(0, static_cast<uint32_t>(steps * kEvents)));
  return [index, handle, all](uint64_t i) {
    index->apply(handle, std::span(*all).subspan(i * kEvents, kEvents));
  };
}

struct Path {
  Step (*make)();
  uint64_t steps = kSteps;
};

constexpr auto kLoop = fabric::Kind::loop;
constexpr auto kLocal = fabric::Kind::local;

const std::map<std::string, Path> kPaths = {
    {"open_ticket", {open_ticket}},
    {"mac_128", {mac}},
    {"admit", {admit}},
    {"index_probe", {index}},
    {"serve", {serve}},
    {"encode_get_64", {encode}},
    {"decode_get_64", {decode}},
    {"position", {position}},
    {"idle_turn", {idle_turn}},
    {"make_transfer", {make_transfer}},
    {"link_get", {link_get}},
    {"link_put", {link_put}},
    {"sdk_get", {get<kLoop>}},
    {"sdk_get_64", {get_batch<kLoop>, kLongSteps}},
    {"sdk_put", {put<kLoop>}},
    {"sdk_exists_1024", {exists<kLoop>, kLongSteps}},
    {"local_record", {ring_record}},
    {"local_get", {get<kLocal>}},
    {"local_get_64", {get_batch<kLocal>, kLongSteps}},
    {"local_put", {put<kLocal>}},
    {"local_exists_1024", {exists<kLocal>, kLongSteps}},
    {"index_match_8192", {match, kLongSteps}},
    {"index_events_1024", {apply_events, kLongSteps}},
};

void tell(uint64_t steps) {
  const auto has = [](bool is_there) { return is_there ? "true" : "false"; };
  std::printf("{\"steps\": %llu, \"compiler\": \"%s\", \"avx2\": %s, \"avx512\": %s}\n",
              static_cast<unsigned long long>(steps), __VERSION__,
              has(__builtin_cpu_supports("avx2")), has(__builtin_cpu_supports("avx512f")));
}

}  // namespace
}  // namespace tarn::micro

int main(int argc, char** argv) {
  using tarn::micro::kPaths;
  const auto found = argc == 2 ? kPaths.find(argv[1]) : kPaths.end();
  if (found == kPaths.end()) {
    for (const auto& [name, path] : kPaths)
      std::puts(name.c_str());
    return argc == 1 ? 0 : 64;
  }
  const tarn::micro::Step step = found->second.make();
  const uint64_t steps = found->second.steps;
  const uint64_t warm = steps / tarn::micro::kWarmFraction;
  for (uint64_t i = 0; i < warm; ++i)
    step(i);
  CALLGRIND_START_INSTRUMENTATION;
  for (uint64_t i = warm; i < warm + steps; ++i)
    step(i);
  CALLGRIND_STOP_INSTRUMENTATION;
  tarn::micro::tell(steps);
  return 0;
}
