#include <benchmark/benchmark.h>

#include <memory>

#include "benchmarks/micro/samples.h"
#include "common/base/check.h"
#include "common/base/units.h"
#include "common/wire/decode.h"
#include "common/wire/encode.h"

namespace tarn::micro {
namespace {

constexpr wire::Route kRoute{0x1122334455667788, 77};

wire::GetRequest get_of(int64_t items) {
  wire::GetRequest request{};
  request.head.epoch = Epoch{7};
  for (int64_t i = 0; i < items; ++i)
    request.items.push_back({Shard{0}, 2 * kMiB, hash_of(static_cast<uint64_t>(i))});
  return request;
}

void encode_get(benchmark::State& state) {
  const wire::GetRequest request = get_of(state.range(0));
  const auto header = std::make_unique<wire::HeaderBuffer>();
  for (auto _ : state) {
    wire::encode(kRoute, request, *header);
    benchmark::DoNotOptimize(header->bytes.data());
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(encode_get)->Arg(1)->Arg(64);

void decode_get(benchmark::State& state) {
  const auto header = std::make_unique<wire::HeaderBuffer>();
  wire::encode(kRoute, get_of(state.range(0)), *header);
  const auto request = std::make_unique<wire::Request>();
  for (auto _ : state) {
    wire::Envelope envelope;
    TARN_CHECK(wire::decode_envelope(header->view(), envelope) == wire::Refusal::none);
    TARN_CHECK(wire::decode_request(header->view(), envelope, *request) == wire::Refusal::none);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(decode_get)->Arg(1)->Arg(64);

}  // namespace
}  // namespace tarn::micro
