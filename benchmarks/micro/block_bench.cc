#include <benchmark/benchmark.h>

#include <cstring>
#include <vector>

#include "common/block/checksum.h"

namespace tarn::micro {
namespace {

// Larger than any cache when cold, one block of it when hot.
constexpr size_t kColdBytes = size_t{256} << 20;

void set_bytes(benchmark::State& state, size_t bytes) {
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(bytes));
}

void crc32c_cold(benchmark::State& state) {
  const auto bytes = static_cast<size_t>(state.range(0));
  std::vector<std::byte> memory(kColdBytes, std::byte{1});
  size_t at = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(block::crc32c(0, memory.data() + at, bytes));
    at = (at + bytes) % (kColdBytes - bytes);
  }
  set_bytes(state, bytes);
}
BENCHMARK(crc32c_cold)->Arg(4 << 10)->Arg(256 << 10)->Arg(2 << 20);

void crc32c_hot(benchmark::State& state) {
  const std::vector<std::byte> memory(static_cast<size_t>(state.range(0)), std::byte{1});
  for (auto _ : state)
    benchmark::DoNotOptimize(block::crc32c(0, memory.data(), memory.size()));
  set_bytes(state, memory.size());
}
BENCHMARK(crc32c_hot)->Arg(4 << 10)->Arg(256 << 10);

void copy_cold(benchmark::State& state) {
  const auto bytes = static_cast<size_t>(state.range(0));
  const bool has_crc = state.range(1) != 0;
  std::vector<std::byte> from(kColdBytes, std::byte{1});
  std::vector<std::byte> to(kColdBytes, std::byte{2});
  size_t at = 0;
  for (auto _ : state) {
    if (has_crc) {
      benchmark::DoNotOptimize(block::crc32c_copy(to.data() + at, from.data() + at, bytes));
    } else {
      std::memcpy(to.data() + at, from.data() + at, bytes);
    }
    at = (at + bytes) % (kColdBytes - bytes);
  }
  set_bytes(state, bytes);
}
BENCHMARK(copy_cold)->ArgNames({"bytes", "crc"})->ArgsProduct({{256 << 10, 2 << 20}, {0, 1}});

}  // namespace
}  // namespace tarn::micro
