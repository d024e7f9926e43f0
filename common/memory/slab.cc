#include "common/memory/slab.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>

#include "common/base/check.h"
#include "common/base/fault_point.h"
#include "common/base/units.h"
#include "common/memory/huge_pages.h"
#include "common/memory/size_class.h"

namespace tarn::memory {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
constexpr uint64_t kPageBytes = 4096;

std::atomic<uint64_t> g_next_id{1};

Status no_memory(std::string_view step) {
  return overloaded("no memory for a slab: " + std::string(step) + ": " + std::strerror(errno));
}

// The kernel makes all pages now, so that the data path never waits for a page fault.
bool populate(std::span<std::byte> memory) {
#ifdef MADV_POPULATE_WRITE
  if (::madvise(memory.data(), memory.size(), MADV_POPULATE_WRITE) == 0) return true;
  if (errno != EINVAL) return false;
#endif
  for (uint64_t offset = 0; offset < memory.size(); offset += kPageBytes)
    memory[offset] = std::byte{0};
  return true;
}

Status seal_and_populate(int fd, std::span<std::byte> memory, bool prefault) {
  ::madvise(memory.data(), memory.size(), MADV_HUGEPAGE);
  // Where there are huge pages, nothing is left to be prepared.
  if (prefault) make_huge(memory);
  if (prefault && !populate(memory)) return no_memory("prefault");
  if (::fcntl(fd, F_ADD_SEALS, kSeals) != 0) return no_memory("seal");
  return Status::ok();
}

}  // namespace

std::string_view memory_kind_name(MemoryKind kind) {
  return kind == MemoryKind::cuda ? "cuda" : "host";
}

Status check_memory_kind(MemoryKind kind) {
  if (kind == MemoryKind::host) return Status::ok();
  return unsupported("memory kind cuda: this build has no CUDA support");
}

Status check_slab_bytes(uint64_t bytes) {
  if (bytes >= kSlabBytesMin && bytes <= kSlabBytesMax && bytes % (2 * kMiB) == 0) {
    return Status::ok();
  }
  return invalid_argument("a slab has 4 to 66 MiB, in steps of 2 MiB, not " +
                          std::to_string(bytes) + " bytes");
}

Result<std::unique_ptr<Slab>> Slab::open(const SlabOptions& options) {
  TARN_RETURN_IF_ERROR(check_memory_kind(options.kind));
  TARN_RETURN_IF_ERROR(check_slab_bytes(options.bytes));
  if (TARN_FAULT_POINT("memory.slab_open")) return overloaded("no memory for a slab: fault point");
  const int fd = ::memfd_create("tarn-slab", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return no_memory("memfd_create");
  std::span<std::byte> memory;
  if (::ftruncate(fd, static_cast<off_t>(options.bytes)) == 0) {
    memory = map_aligned(fd, options.bytes);
  }
  if (memory.empty()) {
    const Status failed = no_memory("map");
    ::close(fd);
    return failed;
  }
  auto slab = std::unique_ptr<Slab>(new Slab(fd, memory));
  TARN_RETURN_IF_ERROR(seal_and_populate(fd, slab->memory(), options.prefault));
  return slab;
}

Slab::Slab(int fd, std::span<std::byte> memory)
    : x_fd(fd), x_memory(memory), x_id(g_next_id.fetch_add(1, std::memory_order_relaxed)) {}

Slab::~Slab() {
  TARN_CHECK(::munmap(x_memory.data(), x_memory.size()) == 0);
  ::close(x_fd);
}

}  // namespace tarn::memory
