// The stages of a get and a put, each by itself, and the whole: the figures of docs/BUDGETS.md.
#include <benchmark/benchmark.h>

#include <memory>
#include <vector>

#include "benchmarks/micro/data_path.h"
#include "common/base/check.h"
#include "common/fabric/local_area.h"
#include "common/fabric/loop_port.h"

namespace tarn::micro {
namespace {

// As many blocks as a lane with some GiB has.
constexpr uint64_t kBlocks = 20'000;
constexpr uint64_t kSmallBlock = 4096;
// Of these so many are asked for in turn, so that the index is not always found in the cache.
constexpr uint64_t kStride = 7'919;
constexpr uint32_t kAsked = 1024;
constexpr auto kLoop = static_cast<int64_t>(fabric::Kind::loop);
constexpr auto kLocal = static_cast<int64_t>(fabric::Kind::local);

void stage_admit(benchmark::State& state) {
  DataPath path(kSmallBlock);
  path.make_request(1);
  for (auto _ : state)
    TARN_CHECK(path.admit());
}
BENCHMARK(stage_admit);

// A step for one of so many blocks after the other: few that were met just now, or many that were
// not.
template <typename Step>
void with_blocks(benchmark::State& state, Step step) {
  DataPath path(kSmallBlock);
  const auto blocks = static_cast<uint64_t>(state.range(0));
  path.fill(0, blocks);
  uint64_t number = 0;
  for (auto _ : state) {
    number = (number + kStride) % blocks;
    step(path, number);
  }
}

void stage_index(benchmark::State& state) {
  with_blocks(state, [](DataPath& path, uint64_t number) { TARN_CHECK(path.find(number)); });
}
BENCHMARK(stage_index)->Arg(16)->Arg(kBlocks);

void stage_idle_turn(benchmark::State& state) {
  DataPath path(kSmallBlock);
  for (auto _ : state)
    path.turn_lane();
}
BENCHMARK(stage_idle_turn);

// An admitted get of one block, until its answer has been handed to the fabric and was sent.
void stage_serve(benchmark::State& state) {
  with_blocks(state, [](DataPath& path, uint64_t number) { path.serve(number); });
}
BENCHMARK(stage_serve)->Arg(16)->Arg(kBlocks);

// One message of the loop fabric from port to port, its payload copied and summed, and the end of
// its send.
void stage_loop_message(benchmark::State& state) {
  const auto bytes = static_cast<size_t>(state.range(0));
  fabric::LoopHub hub;
  const auto from = fabric::LoopPort::open(hub, "from").value();
  const auto to = fabric::LoopPort::open(hub, "to").value();
  const auto connection = from->connect({.peer_address = "to", .link = 1, .on_lost = {}}).value();
  const std::vector<std::byte> header(128);
  const std::vector<std::byte> payload(bytes);
  std::vector<std::byte> taken(bytes);
  const fabric::Bytes part = payload;
  const fabric::MutableBytes into = taken;
  bool has_ended = false;
  to->set_handler([&](uint64_t, fabric::Bytes, fabric::Payload& arrived) {
    if (arrived.size() > 0) arrived.receive({&into, 1}, [](Code, uint32_t) {});
  });
  for (auto _ : state) {
    has_ended = false;
    const auto parts = std::span(&part, bytes > 0 ? 1 : 0);
    TARN_CHECK(connection->send(header, parts, [&](Code) { has_ended = true; }).is_ok());
    to->progress();
    from->progress();
    TARN_CHECK(has_ended);
  }
}
BENCHMARK(stage_loop_message)->Arg(0)->Arg(kSmallBlock);

// A record with a header of the usual size, there and taken.
void stage_ring_record(benchmark::State& state) {
  const auto area = fabric::LocalArea::map(fabric::LocalArea::make().value().fd).value();
  fabric::LocalWriter writer(area->to_server());
  fabric::LocalReader reader(area->to_server());
  const std::vector<std::byte> header(128);
  std::vector<std::byte> taken(fabric::kHeaderBytesMax);
  fabric::LocalRecord record;
  record.type = fabric::LocalRecord::Type::message;
  record.header_bytes = static_cast<uint16_t>(header.size());
  for (auto _ : state) {
    TARN_CHECK(writer.has_room(header.size()));
    writer.write(record, header);
    TARN_CHECK(reader.take(record, taken.data()) == fabric::LocalReader::Take::record);
    reader.publish();
  }
}
BENCHMARK(stage_ring_record);

// What the caller's thread makes for a call.
void stage_make_transfer(benchmark::State& state) {
  DataPath path(kSmallBlock);
  for (auto _ : state)
    path.make_transfer();
}
BENCHMARK(stage_make_transfer);

void whole_link_get(benchmark::State& state) {
  DataPath path(static_cast<uint64_t>(state.range(0)));
  path.fill(0, 16);
  uint64_t number = 0;
  for (auto _ : state)
    TARN_CHECK(path.link_get(number++ % 16) == Code::ok);
}
BENCHMARK(whole_link_get)->Arg(64)->Arg(4096)->Arg(256 << 10);

void whole_link_put(benchmark::State& state) {
  DataPath path(static_cast<uint64_t>(state.range(0)));
  uint64_t number = 0;
  for (auto _ : state)
    path.fill(number++, 1);
}
BENCHMARK(whole_link_put)->Arg(64)->Arg(4096)->Arg(256 << 10);

void whole_sdk_get(benchmark::State& state) {
  DataPath path(static_cast<uint64_t>(state.range(0)), static_cast<fabric::Kind>(state.range(1)));
  const auto count = static_cast<uint32_t>(state.range(2));
  path.fill(0, DataPath::kBatch);
  uint64_t number = 0;
  for (auto _ : state)
    TARN_CHECK(path.get(number++ % (DataPath::kBatch / count) * count, count) == Outcome::ok);
  state.SetItemsProcessed(state.iterations() * count);
}
BENCHMARK(whole_sdk_get)
    ->ArgNames({"bytes", "fabric", "blocks"})
    ->ArgsProduct({{64, 4096, 64 << 10}, {kLoop, kLocal}, {1, DataPath::kBatch}});

void whole_sdk_put(benchmark::State& state) {
  DataPath path(static_cast<uint64_t>(state.range(0)), static_cast<fabric::Kind>(state.range(1)));
  uint64_t number = 0;
  for (auto _ : state)
    TARN_CHECK(path.put(number++) == Outcome::ok);
}
BENCHMARK(whole_sdk_put)->ArgNames({"bytes", "fabric"})->ArgsProduct({{64, 4096}, {kLoop, kLocal}});

void whole_sdk_exists(benchmark::State& state) {
  DataPath path(kSmallBlock, static_cast<fabric::Kind>(state.range(0)));
  path.fill(0, kAsked);
  for (auto _ : state)
    TARN_CHECK(path.exists(0, kAsked) == Outcome::ok);
  state.SetItemsProcessed(state.iterations() * kAsked);
}
BENCHMARK(whole_sdk_exists)->ArgName("fabric")->Arg(kLoop)->Arg(kLocal);

}  // namespace
}  // namespace tarn::micro
