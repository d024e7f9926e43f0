// Every kernel that this machine has gives what crc32c and memcpy give.
#include "common/block/copy_kernel.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "common/block/checksum.h"

namespace tarn::block {
namespace {

using Memory = std::vector<std::byte>;

constexpr std::byte kUntouched{0xee};
// Around the destination: a store that strays lands here.
constexpr size_t kMarginBytes = 128;

Memory random_bytes(size_t bytes, std::mt19937_64& random) {
  Memory out(bytes);
  for (std::byte& each : out)
    each = static_cast<std::byte>(random());
  return out;
}

// The portable one is always among them.
std::vector<CopyKernel> kernels_here() {
  std::vector<CopyKernel> out;
  for (const CopyKernel kernel : kCopyKernels) {
    if (has_kernel(kernel)) out.push_back(kernel);
  }
  return out;
}

struct Shape {
  size_t bytes = 0;
  size_t from_offset = 0;  // past a line's begin
  size_t to_offset = 0;

  friend std::ostream& operator<<(std::ostream& out, const Shape& shape) {
    return out << shape.bytes << " bytes, from +" << shape.from_offset << ", to +"
               << shape.to_offset;
  }
};

class CopyKernels : public testing::TestWithParam<CopyKernel> {
 protected:
  // Copies and looks at the bytes, at the number and at what lies around.
  void expect_right(const Shape& shape, std::mt19937_64& random) const {
    SCOPED_TRACE(testing::Message() << shape);
    // One more, as an empty one would have no address.
    const Memory from = random_bytes(shape.from_offset + shape.bytes + 1, random);
    Memory to(shape.bytes + 2 * kMarginBytes, kUntouched);
    const size_t misaligned = reinterpret_cast<uintptr_t>(to.data()) % 64;
    const size_t begin = kMarginBytes - misaligned + shape.to_offset;
    const size_t end = begin + shape.bytes;
    ASSERT_LE(end, to.size());
    const auto before = static_cast<uint32_t>(random());
    const std::byte* const source = from.data() + shape.from_offset;
    const uint32_t crc =
        crc32c_copy_by(GetParam(), std::span(to).subspan(begin, shape.bytes), source, before);
    ASSERT_EQ(crc, crc32c(before, source, shape.bytes));
    ASSERT_EQ(std::memcmp(to.data() + begin, source, shape.bytes), 0);
    for (size_t i = 0; i < to.size(); ++i) {
      if (i < begin || i >= end) {
        ASSERT_EQ(to[i], kUntouched) << "at " << i;
      }
    }
  }
};

TEST_P(CopyKernels, give_the_published_value) {
  const std::string digits = "123456789";
  std::string to(digits.size(), ' ');
  const uint32_t crc =
      crc32c_copy_by(GetParam(), std::as_writable_bytes(std::span(to)), digits.data(), 0);
  EXPECT_EQ(crc, 0xe3069283u);
  EXPECT_EQ(to, digits);
}

// The edges of lines, of what a kernel folds at once and of pages, with one more and one less.
TEST_P(CopyKernels, are_right_at_every_edge_of_size) {
  std::mt19937_64 random(1);
  for (const size_t edge : {0, 16, 32, 64, 128, 192, 256, 320, 512, 768, 1024, 4096, 8192, 65536}) {
    for (const int more : {-1, 0, 1}) {
      if (edge == 0 && more < 0) continue;
      const Shape shape{edge + static_cast<size_t>(more), 0, 0};
      ASSERT_NO_FATAL_FAILURE(expect_right(shape, random));
    }
  }
}

TEST_P(CopyKernels, are_right_at_every_alignment_of_both_sides) {
  std::mt19937_64 random(2);
  for (size_t from = 0; from < 64; from += 3) {
    for (size_t to = 0; to < 64; ++to)
      ASSERT_NO_FATAL_FAILURE(expect_right({700, from, to}, random));
  }
}

TEST_P(CopyKernels, are_right_for_random_shapes) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 200; ++round) {
    const size_t most = round % 8 == 0 ? 300'000 : 6'000;
    ASSERT_NO_FATAL_FAILURE(expect_right({random() % most, random() % 64, random() % 64}, random));
  }
}

TEST_P(CopyKernels, go_on_from_what_came_before) {
  std::mt19937_64 random(3);
  const Memory from = random_bytes(50'000, random);
  Memory to(from.size());
  uint32_t crc = 0;
  for (size_t at = 0; at < from.size();) {
    const size_t step = std::min<size_t>(1 + random() % 9'000, from.size() - at);
    crc = crc32c_copy_by(GetParam(), std::span(to).subspan(at, step), from.data() + at, crc);
    at += step;
  }
  EXPECT_EQ(crc, crc32c(0, from.data(), from.size()));
  EXPECT_EQ(to, from);
}

// The last bytes of the last page: a kernel that reads or writes past the end is killed.
TEST_P(CopyKernels, touch_nothing_past_the_end) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* const raw =
      mmap(nullptr, 8 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(raw, MAP_FAILED);
  auto* const begin = static_cast<std::byte*>(raw);
  std::byte* const from_end = begin + 3 * page;
  std::byte* const to_end = begin + 7 * page;
  ASSERT_EQ(mprotect(from_end, page, PROT_NONE), 0);
  ASSERT_EQ(mprotect(to_end, page, PROT_NONE), 0);
  for (size_t bytes = 0; bytes < 1500; bytes += 7) {
    std::memset(from_end - bytes, static_cast<int>(bytes), bytes);
    const uint32_t crc = crc32c_copy_by(GetParam(), {to_end - bytes, bytes}, from_end - bytes, 0);
    ASSERT_EQ(crc, crc32c(0, from_end - bytes, bytes)) << bytes;
    ASSERT_EQ(std::memcmp(to_end - bytes, from_end - bytes, bytes), 0) << bytes;
  }
  munmap(raw, 8 * page);
}

// Memory that another process keeps writing to.
class RestlessMemory {
 public:
  explicit RestlessMemory(size_t bytes) : x_bytes(bytes) {
    void* const raw =
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EXPECT_NE(raw, MAP_FAILED);
    x_memory = static_cast<std::byte*>(raw);
    x_writer = fork();
    if (x_writer == 0) write_until_killed();
  }
  ~RestlessMemory() {
    kill(x_writer, SIGKILL);
    waitpid(x_writer, nullptr, 0);
    munmap(x_memory, x_bytes);
  }
  const std::byte* data() const { return x_memory; }

 private:
  [[noreturn]] void write_until_killed() {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (uint8_t value = 0;; ++value) {
      for (size_t i = 0; i < x_bytes; i += 61)
        std::atomic_ref(x_memory[i]).store(std::byte{value}, std::memory_order_relaxed);
    }
  }

  size_t x_bytes;
  std::byte* x_memory = nullptr;
  pid_t x_writer = -1;
};

// Whoever may write to the source while it is copied cannot have a number kept that is not that of
// the bytes kept.
TEST_P(CopyKernels, checksum_what_they_have_stored_while_the_source_changes) {
  Memory to(64 << 10);
  const RestlessMemory from(to.size());
  size_t torn = 0;
  for (int round = 0; round < 200; ++round) {
    const uint32_t crc = crc32c_copy_by(GetParam(), to, from.data(), 0);
    if (crc != crc32c(0, to.data(), to.size())) ++torn;
  }
  EXPECT_EQ(torn, 0u);
}

INSTANTIATE_TEST_SUITE_P(All, CopyKernels, testing::ValuesIn(kernels_here()),
                         [](const auto& each) { return std::string(kernel_name(each.param)); });

// Small copies, large ones, and those at the border between two kernels.
TEST(Crc32cCopy, is_the_same_by_whatever_kernel_is_forced) {
  const CopyKernel own = copy_kernel();
  std::mt19937_64 random(4);
  for (const size_t bytes : {1ul, 16'383ul, 16'384ul, 16'385ul, 300'001ul}) {
    const Memory from = random_bytes(bytes, random);
    const uint32_t whole = crc32c(7, from.data(), bytes);
    for (const CopyKernel kernel : kCopyKernels) {
      if (!has_kernel(kernel)) continue;
      force_copy_kernel(kernel);
      EXPECT_EQ(copy_kernel(), kernel);
      Memory to(bytes);
      EXPECT_EQ(crc32c_copy(to.data(), from.data(), bytes, 7), whole) << kernel_name(kernel);
      EXPECT_EQ(to, from) << kernel_name(kernel);
    }
  }
  force_copy_kernel(own);
}

TEST(CopyKernel, is_by_default_the_best_that_the_machine_has) {
  EXPECT_TRUE(has_kernel(CopyKernel::portable));
  EXPECT_TRUE(has_kernel(copy_kernel()));
  for (const CopyKernel better : kCopyKernels) {
    if (better > copy_kernel()) {
      EXPECT_FALSE(has_kernel(better)) << kernel_name(better);
    }
  }
}

}  // namespace
}  // namespace tarn::block
