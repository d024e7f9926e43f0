#include "common/memory/huge_pages.h"

#include <sys/mman.h>

#include <cerrno>

#include "common/base/check.h"

namespace tarn::memory {
namespace {

constexpr uint64_t kSmallPageBytes = 4096;

// Debian 12's headers are older than some kernels that it runs on.
#ifdef MADV_COLLAPSE
constexpr int kCollapse = MADV_COLLAPSE;
#else
constexpr int kCollapse = 25;
#endif

uint64_t rounded_up(uint64_t address) {
  return (address + kHugePageBytes - 1) / kHugePageBytes * kHugePageBytes;
}

}  // namespace

std::span<std::byte> map_aligned(int fd, uint64_t bytes) {
  TARN_CHECK(fd >= 0 && bytes > 0);
  // Address space alone, out of which the right part is taken.
  const uint64_t room = bytes + kHugePageBytes;
  void* const reserved =
      ::mmap(nullptr, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) return {};
  const auto begin = reinterpret_cast<uint64_t>(reserved);
  const uint64_t aligned = rounded_up(begin);
  void* const wanted = reinterpret_cast<void*>(aligned);
  void* const base = ::mmap(wanted, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
  if (base == MAP_FAILED) {
    const int why = errno;
    ::munmap(reserved, room);
    errno = why;
    return {};
  }
  // The mapping ends with a whole page.
  const uint64_t end = aligned + (bytes + kSmallPageBytes - 1) / kSmallPageBytes * kSmallPageBytes;
  if (aligned > begin) ::munmap(reserved, aligned - begin);
  if (begin + room > end) ::munmap(reinterpret_cast<void*>(end), begin + room - end);
  return {static_cast<std::byte*>(base), bytes};
}

bool make_huge(std::span<std::byte> memory) {
  TARN_CHECK(reinterpret_cast<uint64_t>(memory.data()) % kHugePageBytes == 0);
  const uint64_t whole = memory.size() / kHugePageBytes * kHugePageBytes;
  if (whole == 0) return false;
  // Of a range in which nothing was ever touched the kernel makes nothing.
  // Reading there would end the process where there is no memory; this says so.
  for (uint64_t at = 0; at < whole; at += kHugePageBytes) {
    if (::madvise(&memory[at], kSmallPageBytes, MADV_POPULATE_READ) != 0) return false;
  }
  return ::madvise(memory.data(), whole, kCollapse) == 0;
}

}  // namespace tarn::memory
