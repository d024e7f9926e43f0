#include "server/io/registered_memory.h"

#include <string>

#include "common/base/check.h"

namespace tarn::io {
namespace {

uintptr_t address_of(const std::byte* memory) {
  return reinterpret_cast<uintptr_t>(memory);
}

}  // namespace

RegisteredMemory::RegisteredMemory(uint32_t ranges_max) {
  for (uint32_t number = ranges_max; number > 0; --number)
    x_free.push_back(number - 1);
}

Result<uint32_t> RegisteredMemory::add(std::span<std::byte> memory) {
  if (memory.empty()) return invalid_argument("registered memory: empty");
  const uintptr_t begin = address_of(memory.data());
  const auto after = x_ranges.lower_bound(begin);
  const bool meets_next = after != x_ranges.end() && after->first < begin + memory.size();
  bool meets_previous = false;
  if (after != x_ranges.begin()) {
    const auto before = std::prev(after);
    meets_previous = before->first + before->second.bytes > begin;
  }
  if (meets_next || meets_previous)
    return invalid_argument("registered memory: overlaps what is registered already");
  if (x_free.empty())
    return overloaded("registered memory: all " + std::to_string(x_ranges.size()) +
                      " places are taken");
  const uint32_t number = x_free.back();
  x_free.pop_back();
  x_ranges.emplace(begin, Range{memory.size(), number});
  return number;
}

uint32_t RegisteredMemory::remove(std::span<std::byte> memory) {
  const auto range = x_ranges.find(address_of(memory.data()));
  TARN_CHECK(range != x_ranges.end() && range->second.bytes == memory.size());
  const uint32_t number = range->second.number;
  x_ranges.erase(range);
  x_free.push_back(number);
  return number;
}

int RegisteredMemory::find(const std::byte* memory, uint64_t bytes) const {
  const uintptr_t begin = address_of(memory);
  auto range = x_ranges.upper_bound(begin);
  if (range == x_ranges.begin()) return -1;
  --range;
  const bool holds = begin + bytes <= range->first + range->second.bytes;
  return holds ? static_cast<int>(range->second.number) : -1;
}

}  // namespace tarn::io
