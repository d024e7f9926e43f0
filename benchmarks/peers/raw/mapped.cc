#include <sys/mman.h>

#include <cstring>

#include "benchmarks/peers/raw/store.h"

namespace tarn::peers {

Mapped::~Mapped() {
  for (const std::span<std::byte> map : x_maps)
    munmap(map.data(), map.size());
}

Result<std::span<std::byte>> Mapped::allocate(size_t bytes) {
  void* const at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) return overloaded("no memory for payloads");
  madvise(at, bytes, MADV_HUGEPAGE);
  std::memset(at, 0, bytes);
  return x_maps.emplace_back(static_cast<std::byte*>(at), bytes);
}

}  // namespace tarn::peers
