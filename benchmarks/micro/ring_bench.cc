#include <benchmark/benchmark.h>

#include <string>

#include "benchmarks/micro/samples.h"
#include "common/ring/position.h"
#include "common/ring/ring.h"

namespace tarn::micro {
namespace {

ring::ClusterConfig cluster_of(uint32_t servers) {
  ring::ClusterConfig config;
  config.epoch = Epoch{1};
  config.cluster = "bench";
  for (uint32_t i = 1; i <= servers; ++i) {
    ring::Member member;
    member.id = ServerId{i};
    member.name = "s" + std::to_string(i);
    member.incarnation = Incarnation{i};
    member.state = ring::MemberState::up;
    config.members.push_back(member);
  }
  return config;
}

void owners(benchmark::State& state) {
  const auto ring = ring::Ring::build(cluster_of(static_cast<uint32_t>(state.range(0))));
  TARN_CHECK(ring.has_value());
  uint64_t position = 1;
  for (auto _ : state) {
    position *= 0x9e3779b97f4a7c15;
    benchmark::DoNotOptimize(ring.value().owners(Position{position}, 2));
  }
}
BENCHMARK(owners)->Arg(3)->Arg(32)->Arg(256);

void build_ring(benchmark::State& state) {
  const ring::ClusterConfig config = cluster_of(static_cast<uint32_t>(state.range(0)));
  for (auto _ : state)
    benchmark::DoNotOptimize(ring::Ring::build(config));
}
BENCHMARK(build_ring)->Arg(3)->Arg(32);

void position_of_anchor(benchmark::State& state) {
  const block::BlockHash anchor = hash_of(1);
  for (auto _ : state)
    benchmark::DoNotOptimize(ring::position_of(TenantId{{1}}, SpaceId{{2}}, anchor));
}
BENCHMARK(position_of_anchor);

}  // namespace
}  // namespace tarn::micro
