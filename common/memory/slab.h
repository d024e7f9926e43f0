#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "common/base/result.h"

namespace tarn::memory {

// Where bytes lie. Numbers travel in configuration words only.
enum class MemoryKind : uint8_t { host = 0, cuda = 1 };

std::string_view memory_kind_name(MemoryKind kind);

// Returns: ok; unsupported where this build or machine cannot hold memory of that kind.
Status check_memory_kind(MemoryKind kind);

// Returns: ok; invalid_argument for a size that no slab has.
Status check_slab_bytes(uint64_t bytes);

struct SlabOptions {
  uint64_t bytes = 0;  // kSlabBytesMin to kSlabBytesMax, a multiple of 2 MiB
  MemoryKind kind = MemoryKind::host;
  bool prefault = true;
};

// A sealed memfd of fixed size, mapped writable here and mappable by others for reading only. It
// serves one domain for its whole life: its memory is never given to another one, only back to the
// system. Immutable after open but for its bytes, which their owner guards. Life: open, destroy
// (mappings of other processes keep the pages).
class Slab {
 public:
  // Blocks while the kernel prepares the pages: about a second for 4 GiB.
  // Returns: the slab, invalid_argument, unsupported (kind), overloaded (no memory).
  static Result<std::unique_ptr<Slab>> open(const SlabOptions& options);

  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;
  ~Slab();

  std::span<std::byte> memory() const { return x_memory; }
  uint64_t bytes() const { return x_memory.size(); }
  // For passing to a process that may map it; owned by the slab.
  int fd() const { return x_fd; }
  // Never used again within this process.
  uint64_t id() const { return x_id; }

 private:
  Slab(int fd, std::span<std::byte> memory);

  int x_fd;
  std::span<std::byte> x_memory;
  uint64_t x_id;
};

}  // namespace tarn::memory
