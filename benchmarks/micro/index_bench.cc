#include <benchmark/benchmark.h>

#include "benchmarks/micro/samples.h"
#include "common/base/check.h"
#include "router/index/index.h"

namespace tarn::micro {
namespace {

constexpr TenantId kTenant{{1}};
constexpr SpaceId kSpace{{7}};
constexpr uint32_t kExtentBlocks = 32;
constexpr uint32_t kBatch = 1024;

index::BlockEvent event_of(uint32_t number) {
  index::BlockEvent event;
  event.block.tenant = kTenant;
  event.block.space = kSpace;
  event.block.hash = hash_of(number);
  event.block.anchor = hash_of(number / kExtentBlocks * kExtentBlocks);
  event.block.index = number % kExtentBlocks;
  event.block.bytes = 1 << 20;
  return event;
}

void fill(index::Index& index, uint32_t blocks) {
  const index::Handle handle = index.attach(ServerId{1});
  std::vector<index::BlockEvent> events;
  for (uint32_t number = 0; number < blocks; ++number) {
    events.push_back(event_of(number));
    if (events.size() < kBatch && number + 1 < blocks) continue;
    index.apply(handle, events);
    events.clear();
  }
}

// A whole chain that is there, among so many blocks.
void match(benchmark::State& state) {
  index::Index index(42);
  fill(index, static_cast<uint32_t>(state.range(0)));
  const auto count = static_cast<uint32_t>(state.range(1));
  const std::vector<block::BlockHash> hashes = hashes_of(4096, count);
  for (auto _ : state) {
    const index::MatchAnswer answer = index.match({kTenant, kSpace, hashes, {}});
    TARN_CHECK(answer.matched == count);
  }
  state.SetItemsProcessed(state.iterations() * count);
}
BENCHMARK(match)->ArgNames({"blocks", "hashes"})->ArgsProduct({{100'000, 1'000'000}, {128, 8192}});

void apply_event(benchmark::State& state) {
  index::Index index(42);
  const index::Handle handle = index.attach(ServerId{1});
  uint32_t number = 0;
  for (auto _ : state) {
    const index::BlockEvent event = event_of(number++);
    index.apply(handle, {&event, 1});
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(apply_event)->Iterations(500'000);

}  // namespace
}  // namespace tarn::micro
