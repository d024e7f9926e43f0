#include <benchmark/benchmark.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "common/base/check.h"
#include "common/block/checksum.h"
#include "common/block/copy_kernel.h"

namespace tarn::micro {
namespace {

// Larger than any cache when cold, one block of it when hot.
constexpr size_t kColdBytes = size_t{256} << 20;

void set_bytes(benchmark::State& state, size_t bytes) {
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(bytes));
}

void crc32c_cold(benchmark::State& state) {
  const auto bytes = static_cast<size_t>(state.range(0));
  std::vector<std::byte> memory(kColdBytes, std::byte{1});
  size_t at = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(block::crc32c(0, memory.data() + at, bytes));
    at = (at + bytes) % (kColdBytes - bytes);
  }
  set_bytes(state, bytes);
}
BENCHMARK(crc32c_cold)->Arg(4 << 10)->Arg(256 << 10)->Arg(2 << 20);

void crc32c_hot(benchmark::State& state) {
  const std::vector<std::byte> memory(static_cast<size_t>(state.range(0)), std::byte{1});
  for (auto _ : state)
    benchmark::DoNotOptimize(block::crc32c(0, memory.data(), memory.size()));
  set_bytes(state, memory.size());
}
BENCHMARK(crc32c_hot)->Arg(4 << 10)->Arg(256 << 10);

// A get of the `local` fabric: random blocks out of memory that is a file, mapped for reading only,
// into memory of one's own; each larger than any cache.
class MappedSource {
 public:
  MappedSource() {
    const int fd = memfd_create("tarn-micro", MFD_CLOEXEC);
    TARN_CHECK(fd >= 0 && ftruncate(fd, kColdBytes) == 0);
    void* const writable = mmap(nullptr, kColdBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    TARN_CHECK(writable != MAP_FAILED);
    std::memset(writable, 1, kColdBytes);
    munmap(writable, kColdBytes);
    x_bytes = mmap(nullptr, kColdBytes, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
    TARN_CHECK(x_bytes != MAP_FAILED);
    close(fd);
  }
  ~MappedSource() { munmap(x_bytes, kColdBytes); }
  MappedSource(const MappedSource&) = delete;
  MappedSource& operator=(const MappedSource&) = delete;

  const std::byte* block(uint64_t number, size_t bytes) const {
    const uint64_t blocks = kColdBytes / bytes;
    return static_cast<const std::byte*>(x_bytes) + number * 0x9e3779b1 % blocks * bytes;
  }

 private:
  void* x_bytes = nullptr;
};

template <typename Copy>
void copy_out_of_a_mapping(benchmark::State& state, Copy copy) {
  const auto bytes = static_cast<size_t>(state.range(0));
  const MappedSource from;
  std::vector<std::byte> to(kColdBytes, std::byte{2});
  size_t at = 0;
  uint64_t number = 0;
  for (auto _ : state) {
    copy(to.data() + at, from.block(number++, bytes), bytes);
    at = (at + bytes) % (kColdBytes - bytes);
  }
  set_bytes(state, bytes);
}

void mapped_memcpy(benchmark::State& state) {
  copy_out_of_a_mapping(state, [](std::byte* to, const std::byte* from, size_t bytes) {
    std::memcpy(to, from, bytes);
    benchmark::ClobberMemory();
  });
}
BENCHMARK(mapped_memcpy)->ArgName("bytes")->Arg(64 << 10)->Arg(2 << 20)->Arg(16 << 20);

void mapped_crc32c(benchmark::State& state) {
  copy_out_of_a_mapping(state, [](std::byte*, const std::byte* from, size_t bytes) {
    benchmark::DoNotOptimize(block::crc32c(0, from, bytes));
  });
}
BENCHMARK(mapped_crc32c)->ArgName("bytes")->Arg(64 << 10)->Arg(2 << 20)->Arg(16 << 20);

void mapped_crc32c_copy(benchmark::State& state) {
  const block::CopyKernel kernel = block::kCopyKernels[static_cast<size_t>(state.range(1))];
  if (!block::has_kernel(kernel)) return state.SkipWithError("not of this machine");
  state.SetLabel(std::string(block::kernel_name(kernel)));
  copy_out_of_a_mapping(state, [kernel](std::byte* to, const std::byte* from, size_t bytes) {
    benchmark::DoNotOptimize(block::crc32c_copy_by(kernel, {to, bytes}, from, 0));
  });
}
BENCHMARK(mapped_crc32c_copy)
    ->ArgNames({"bytes", "kernel"})
    ->ArgsProduct({{64 << 10, 2 << 20, 16 << 20}, {0, 1, 2}});

}  // namespace
}  // namespace tarn::micro
