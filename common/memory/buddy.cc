#include "common/memory/buddy.h"

#include <bit>

#include "common/base/check.h"

namespace tarn::memory {
namespace {

constexpr uint8_t kNotAllocated = 0xff;

}  // namespace

Buddy::Buddy(uint32_t unit_count) : x_unit_count(unit_count), x_order(unit_count, kNotAllocated) {
  TARN_CHECK(unit_count >= 1);
  x_free.resize(static_cast<size_t>(std::bit_width(unit_count)));
  uint32_t first = 0;
  for (uint32_t order = static_cast<uint32_t>(x_free.size()); order-- > 0;) {
    if ((unit_count & (1u << order)) == 0) continue;
    x_free[order].insert(first);
    first += 1u << order;
  }
  x_free_units = unit_count;
}

std::optional<uint32_t> Buddy::allocate(uint32_t units) {
  TARN_CHECK(units >= 1);
  const auto wanted = static_cast<uint32_t>(std::bit_width(units - 1));
  for (uint32_t order = wanted; order < x_free.size(); ++order) {
    if (x_free[order].empty()) continue;
    const uint32_t first = *x_free[order].begin();
    x_free[order].erase(x_free[order].begin());
    split(first, order, wanted);
    x_order[first] = static_cast<uint8_t>(wanted);
    x_free_units -= 1u << wanted;
    return first;
  }
  return std::nullopt;
}

void Buddy::split(uint32_t first, uint32_t order, uint32_t wanted) {
  while (order > wanted) {
    --order;
    x_free[order].insert(first + (1u << order));
  }
}

void Buddy::release(uint32_t first) {
  TARN_CHECK(first < x_unit_count && x_order[first] != kNotAllocated);
  uint32_t order = x_order[first];
  x_order[first] = kNotAllocated;
  x_free_units += 1u << order;
  for (; order + 1 < x_free.size(); ++order) {
    const uint32_t neighbour = first ^ (1u << order);
    if (x_free[order].erase(neighbour) == 0) break;
    first &= ~(1u << order);
  }
  x_free[order].insert(first);
}

}  // namespace tarn::memory
