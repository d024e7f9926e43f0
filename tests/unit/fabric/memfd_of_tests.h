#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>

#include "common/fabric/fabric.h"

namespace tarn::fabric {

// A memfd, mapped writable, with the seals that are asked for.
class MemfdOfTests {
 public:
  explicit MemfdOfTests(size_t bytes, int seals = F_SEAL_SHRINK | F_SEAL_GROW)
      : x_bytes(bytes), x_fd(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING)) {
    if (::ftruncate(x_fd, static_cast<off_t>(bytes)) != 0) ::abort();
    x_base = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, x_fd, 0);
    if (::fcntl(x_fd, F_ADD_SEALS, seals) != 0) ::abort();
  }
  ~MemfdOfTests() {
    ::munmap(x_base, x_bytes);
    ::close(x_fd);
  }
  MemfdOfTests(const MemfdOfTests&) = delete;
  MemfdOfTests& operator=(const MemfdOfTests&) = delete;

  int fd() const { return x_fd; }
  MutableBytes memory() const { return {static_cast<std::byte*>(x_base), x_bytes}; }

 private:
  const size_t x_bytes;
  const int x_fd;
  void* x_base;
};

}  // namespace tarn::fabric
