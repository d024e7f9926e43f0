#include "benchmarks/load/pattern.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <random>

namespace tarn::load {
namespace {

// splitmix64: one word from another, all bits mixed.
uint64_t mixed(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

uint64_t word_of(uint64_t seed, size_t at) {
  return seed + at * 0x9e3779b97f4a7c15;
}

}  // namespace

void fill(std::span<std::byte> block, uint64_t number) {
  const uint64_t seed = mixed(number);
  for (size_t at = 0; at < block.size(); at += sizeof(uint64_t)) {
    const uint64_t word = word_of(seed, at);
    std::memcpy(block.data() + at, &word, std::min(sizeof(word), block.size() - at));
  }
}

bool is_filled(std::span<const std::byte> block, uint64_t number) {
  const uint64_t seed = mixed(number);
  for (size_t at = 0; at < block.size(); at += sizeof(uint64_t)) {
    const uint64_t word = word_of(seed, at);
    const size_t bytes = std::min(sizeof(word), block.size() - at);
    if (std::memcmp(block.data() + at, &word, bytes) != 0) return false;
  }
  return true;
}

BlockHash hash_of(uint64_t run, uint64_t number) {
  std::array<uint64_t, 4> words{run, number, mixed(run ^ number), mixed(number + 1)};
  return BlockHash(reinterpret_cast<const char*>(words.data()), sizeof(words));
}

SpaceSpec bench_space(const std::string& purpose) {
  SpaceSpec spec;
  spec.model = "tarn-bench";
  spec.revision = purpose;
  spec.dtype = "bytes";
  spec.layout = "bytes";
  spec.hash_scheme = "tarn-bench";
  return spec;
}

uint64_t fresh_run() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

}  // namespace tarn::load
