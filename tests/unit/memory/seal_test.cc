// What a process that was handed a slab's descriptor can do with it: read, and nothing else.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "common/base/units.h"
#include "common/memory/size_class.h"
#include "common/memory/slab.h"

namespace tarn::memory {
namespace {

constexpr size_t kPage = 4096;
constexpr std::byte kMark{0x5a};

struct Attempt {
  const char* what;
  // True when the attempt got through.
  bool (*succeeds)(int fd);
};

bool can_map(int fd, int protection, int flags) {
  void* const at = ::mmap(nullptr, kPage, protection, flags, fd, 0);
  if (at == MAP_FAILED) return false;
  ::munmap(at, kPage);
  return true;
}

bool can_make_a_view_writable(int fd) {
  void* const at = ::mmap(nullptr, kPage, PROT_READ, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) return true;
  const bool done = ::mprotect(at, kPage, PROT_READ | PROT_WRITE) == 0;
  ::munmap(at, kPage);
  return done;
}

// Under its name in /proc, as a process would that wants more rights than it was given.
bool can_reopen_and_write(int fd) {
  const std::string name = "/proc/self/fd/" + std::to_string(fd);
  const int again = ::open(name.c_str(), O_RDWR | O_CLOEXEC);
  if (again < 0) return false;
  const bool done = ::write(again, "x", 1) == 1 || can_map(again, PROT_WRITE, MAP_SHARED) ||
                    ::ftruncate(again, 0) == 0;
  ::close(again);
  return done;
}

const Attempt kAttempts[] = {
    {"write", [](int fd) { return ::write(fd, "x", 1) == 1; }},
    {"write in the middle", [](int fd) { return ::pwrite(fd, "x", 1, 4096) == 1; }},
    {"write past the end", [](int fd) { return ::pwrite(fd, "x", 1, kSlabBytesMax) == 1; }},
    {"shrink", [](int fd) { return ::ftruncate(fd, kPage) == 0; }},
    {"grow", [](int fd) { return ::ftruncate(fd, kSlabBytesMax) == 0; }},
    {"grow by allocation", [](int fd) { return ::fallocate(fd, 0, 0, kSlabBytesMax) == 0; }},
    {"punch a hole",
     [](int fd) {
       return ::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, kPage) == 0;
     }},
    {"map it writable", [](int fd) { return can_map(fd, PROT_READ | PROT_WRITE, MAP_SHARED); }},
    {"make a view writable", can_make_a_view_writable},
    {"open it again", can_reopen_and_write},
    {"seal it further", [](int fd) { return ::fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0; }},
};

// Runs it in a child process, which has the descriptor as a client has it; true when it got
// through.
bool succeeds_elsewhere(const Attempt& attempt, int fd) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(attempt.succeeds(fd) ? 1 : 0);
  int status = -1;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << attempt.what;
  return WEXITSTATUS(status) != 0;
}

bool all_are(std::span<const std::byte> memory, std::byte value) {
  return std::all_of(memory.begin(), memory.end(), [value](std::byte b) { return b == value; });
}

TEST(Sealed, WhoHoldsTheDescriptorCannotChangeAByte) {
  const auto slab = Slab::open({.bytes = kSlabBytesMin}).value();
  std::memset(slab->memory().data(), static_cast<int>(kMark), slab->bytes());
  for (const Attempt& attempt : kAttempts) {
    EXPECT_FALSE(attempt.succeeds(slab->fd())) << attempt.what;
    EXPECT_FALSE(succeeds_elsewhere(attempt, slab->fd())) << attempt.what << ", in a child";
  }
  EXPECT_TRUE(all_are(slab->memory(), kMark));
  EXPECT_EQ(::lseek(slab->fd(), 0, SEEK_END), static_cast<off_t>(kSlabBytesMin));
  slab->memory()[kPage] = std::byte{1};
  EXPECT_EQ(slab->memory()[kPage], std::byte{1}) << "its own process still writes";
}

TEST(Sealed, AReaderSeesTheOwnersWritesAndKeepsThePages) {
  auto slab = Slab::open({.bytes = kSlabBytesMin}).value();
  void* const view = ::mmap(nullptr, kSlabBytesMin, PROT_READ, MAP_SHARED, slab->fd(), 0);
  ASSERT_NE(view, MAP_FAILED);
  const std::span<const std::byte> seen(static_cast<const std::byte*>(view), kSlabBytesMin);
  EXPECT_TRUE(all_are(seen, std::byte{0}));
  std::memset(slab->memory().data(), static_cast<int>(kMark), slab->bytes());
  EXPECT_TRUE(all_are(seen, kMark));
  slab.reset();
  EXPECT_TRUE(all_are(seen, kMark)) << "as a view of a retired slab needs it";
  ::munmap(view, kSlabBytesMin);
}

// A private copy is the reader's own business; the slab does not change under it.
TEST(Sealed, APrivateMappingIsNotTheSlab) {
  const auto slab = Slab::open({.bytes = kSlabBytesMin}).value();
  void* const view = ::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE, slab->fd(), 0);
  ASSERT_NE(view, MAP_FAILED);
  std::memset(view, 1, kPage);
  EXPECT_TRUE(all_are(slab->memory().first(kPage), std::byte{0}));
  ::munmap(view, kPage);
}

// Memory goes from one domain to another only through the kernel, which clears it.
TEST(Sealed, ANewSlabHoldsNothingOfAnOldOne) {
  for (int round = 0; round < 3; ++round) {
    const auto slab = Slab::open({.bytes = kSlabBytesMin, .prefault = round != 1}).value();
    ASSERT_TRUE(all_are(slab->memory(), std::byte{0})) << "round " << round;
    std::memset(slab->memory().data(), static_cast<int>(kMark), slab->bytes());
  }
}

TEST(Sealed, ADescriptorDoesNotOutliveAnExec) {
  const auto slab = Slab::open({.bytes = kSlabBytesMin}).value();
  EXPECT_NE(::fcntl(slab->fd(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST(Sealed, SizesAreJudgedAtTheirEdges) {
  struct Case {
    uint64_t bytes;
    bool is_right;
  };
  for (const Case& each :
       {Case{kSlabBytesMin - 2 * kMiB, false}, Case{kSlabBytesMin, true},
        Case{kSlabBytesMin + 1, false}, Case{kSlabBytesMax, true},
        Case{kSlabBytesMax + 2 * kMiB, false}, Case{0, false}, Case{UINT64_MAX, false}}) {
    const auto slab = Slab::open({.bytes = each.bytes, .prefault = false});
    ASSERT_EQ(slab.has_value(), each.is_right) << each.bytes;
    if (slab.has_value()) {
      EXPECT_EQ((*slab)->memory().size(), each.bytes);
    } else {
      EXPECT_EQ(slab.error().code(), Code::invalid_argument);
      EXPECT_NE(slab.error().message().find(std::to_string(each.bytes)), std::string::npos);
    }
  }
}

TEST(MemoryKind, CudaIsRefusedByItsName) {
  EXPECT_TRUE(check_memory_kind(MemoryKind::host).is_ok());
  EXPECT_EQ(memory_kind_name(MemoryKind::host), "host");
  const Status refused = check_memory_kind(MemoryKind::cuda);
  EXPECT_EQ(refused.code(), Code::unsupported);
  EXPECT_NE(refused.message().find(memory_kind_name(MemoryKind::cuda)), std::string::npos);
}

}  // namespace
}  // namespace tarn::memory
