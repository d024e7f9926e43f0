#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "tarn/tarn.h"

namespace tarn::load {

// Bytes that only the block of this number has.
void fill(std::span<std::byte> block, uint64_t number);
bool is_filled(std::span<const std::byte> block, uint64_t number);

// A 32-byte name of block `number` of run `run`.
BlockHash hash_of(uint64_t run, uint64_t number);

// The space of a benchmark for `purpose`.
SpaceSpec bench_space(const std::string& purpose);

// Differs from one call to the next and from one process to the next.
uint64_t fresh_run();

}  // namespace tarn::load
