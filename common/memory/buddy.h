#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <vector>

namespace tarn::memory {

// Hands out runs of units, each a power of two long and aligned to its length, and joins freed
// neighbours again. One-thread. Invariant: no two free runs that could be one run.
class Buddy {
 public:
  // Precondition: unit_count >= 1; it need not be a power of two.
  explicit Buddy(uint32_t unit_count);

  // The first unit of a free run of at least `units` units; nothing when there is none.
  std::optional<uint32_t> allocate(uint32_t units);

  // Precondition: `first` came from allocate and was not freed since.
  void release(uint32_t first);

  uint32_t free_units() const { return x_free_units; }
  bool is_empty() const { return x_free_units == x_unit_count; }

 private:
  // Splits the run at `first` of `order` until it is of `wanted` order.
  void split(uint32_t first, uint32_t order, uint32_t wanted);

  uint32_t x_unit_count;
  uint32_t x_free_units = 0;
  std::vector<std::set<uint32_t>> x_free;  // by order: first units, lowest first
  std::vector<uint8_t> x_order;            // of the run that is allocated at a unit
};

}  // namespace tarn::memory
