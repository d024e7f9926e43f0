#include "common/memory/huge_pages.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "common/base/units.h"
#include "common/memory/slab.h"

namespace tarn::memory {
namespace {

// A file in memory, mapped for huge pages.
class Mapped {
 public:
  explicit Mapped(uint64_t bytes) : x_fd(::memfd_create("test-huge", MFD_CLOEXEC)) {
    EXPECT_EQ(::ftruncate(x_fd, static_cast<off_t>(bytes)), 0);
    x_memory = map_aligned(x_fd, bytes);
  }
  ~Mapped() {
    if (!x_memory.empty()) ::munmap(x_memory.data(), x_memory.size());
    ::close(x_fd);
  }
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;

  int fd() const { return x_fd; }
  std::span<std::byte> memory() const { return x_memory; }

 private:
  int x_fd;
  std::span<std::byte> x_memory;
};

// How much of the mapping that begins there the kernel maps by huge pages.
uint64_t huge_bytes_at(const std::byte* begin) {
  char wanted[32];
  std::snprintf(wanted, sizeof(wanted), "%lx-", reinterpret_cast<unsigned long>(begin));
  std::ifstream maps("/proc/self/smaps");
  std::string line;
  bool is_it = false;
  while (std::getline(maps, line)) {
    const bool begins_mapping = line.find("-") < line.find(" ") && line.find(":") > line.find(" ");
    if (begins_mapping) is_it = line.starts_with(wanted);
    if (is_it && line.starts_with("ShmemPmdMapped:")) return std::stoull(line.substr(15)) * kKiB;
  }
  return 0;
}

TEST(HugePages, MapsAtAnAddressWhereTheyFit) {
  for (const uint64_t bytes : {kMiB, 2 * kMiB, 4 * kMiB, 5 * kMiB + 4096, 3 * kMiB + 1}) {
    const Mapped mapped(bytes);
    ASSERT_EQ(mapped.memory().size(), bytes);
    EXPECT_EQ(reinterpret_cast<uint64_t>(mapped.memory().data()) % kHugePageBytes, 0u) << bytes;
    mapped.memory().back() = std::byte{9};
    std::byte seen{};
    ASSERT_EQ(::pread(mapped.fd(), &seen, 1, static_cast<off_t>(bytes - 1)), 1);
    EXPECT_EQ(seen, std::byte{9});
  }
}

TEST(HugePages, SaysWhyNothingIsMapped) {
  const int fd = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  EXPECT_TRUE(map_aligned(fd, kMiB).empty());
  EXPECT_EQ(errno, EACCES);
  ::close(fd);
}

TEST(HugePages, BytesStayAsTheyAre) {
  const Mapped mapped(4 * kMiB + kMiB);
  const auto memory = mapped.memory();
  for (size_t at = 0; at < memory.size(); at += 3 * 4096)
    memory[at] = static_cast<std::byte>(at / 4096);
  make_huge(memory);
  for (size_t at = 0; at < memory.size(); at += 4096) {
    const auto wanted = at % (3 * 4096) == 0 ? static_cast<std::byte>(at / 4096) : std::byte{0};
    ASSERT_EQ(memory[at], wanted) << at;
  }
}

TEST(HugePages, MemorySmallerThanOneHasNone) {
  const Mapped mapped(kMiB);
  EXPECT_FALSE(make_huge(mapped.memory()));
}

TEST(HugePages, SlabsHaveThemWhereTheKernelGivesThem) {
  const Mapped mapped(4 * kMiB);
  const bool is_given = make_huge(mapped.memory());
  EXPECT_EQ(huge_bytes_at(mapped.memory().data()), is_given ? 4 * kMiB : 0);
  const auto slab = Slab::open({.bytes = 8 * kMiB});
  ASSERT_TRUE(slab);
  EXPECT_EQ(huge_bytes_at((*slab)->memory().data()), is_given ? 8 * kMiB : 0);
}

}  // namespace
}  // namespace tarn::memory
