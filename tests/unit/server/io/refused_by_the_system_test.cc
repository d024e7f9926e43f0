// What a container, a small limit or a raw drive makes of a device: real ones, each in a process of
// its own, since none of it can be taken back.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/loop.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <iostream>

#include "common/base/units.h"
#include "server/io/open_device.h"
#include "tests/unit/server/io/io_fixture.h"

namespace tarn::io {
namespace {

constexpr uint64_t kDriveBytes = 32 * kMiB;
constexpr uid_t kNobody = 65534;

DeviceOptions options_of(const std::string& path) {
  DeviceOptions options;
  options.drive.path = path;
  options.drive.capacity_bytes = kDriveBytes;
  options.drive.region_bytes = 4 * kMiB;
  return options;
}

// As a container's profile does; what follows in this process has no io_uring.
bool forbid_io_uring() {
  std::array<sock_filter, 4> program = {{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog filter = {program.size(), program.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

bool comes_back(BlockDevice& device) {
  const PageBuffer out = filled(3 * kMiB, 1);
  PageBuffer in(3 * kMiB);
  return write_now(device, 2 * kMiB, out).is_ok() && flush_now(device).is_ok() &&
         read_now(device, 2 * kMiB, in).is_ok() && same(in, out);
}

[[noreturn]] void leave(const std::string& what) {
  std::cerr << what << '\n';
  std::_Exit(testing::Test::HasFailure() ? 1 : 0);
}

[[noreturn]] void use_without_io_uring(const std::string& path) {
  if (!forbid_io_uring()) leave("no filter");
  const auto opened = open_device(options_of(path));
  if (!opened) leave(opened.status().to_string());
  leave(comes_back(*opened->device) ? opened->device->description() : "bytes were lost");
}

[[noreturn]] void use_with_locked_memory(const std::string& path, uint64_t bytes) {
  const rlimit limit = {bytes, bytes};
  if (::setrlimit(RLIMIT_MEMLOCK, &limit) != 0) leave("no limit");
  // Root may lock what it likes.
  if (::getuid() == 0 && ::setuid(kNobody) != 0) leave("still root");
  const auto opened = open_device(options_of(path));
  if (!opened) leave(opened.status().to_string());
  PageBuffer memory(4 * kMiB);
  const Status registered = opened->device->register_memory(memory.bytes());
  if (!comes_back(*opened->device)) leave("bytes were lost");
  leave(registered.to_string() + "; " + opened->device->description());
}

class RefusedByTheSystem : public testing::Test {
 protected:
  void SetUp() override { testing::GTEST_FLAG(death_test_style) = "threadsafe"; }
  ScratchFolder x_folder;
};

TEST_F(RefusedByTheSystem, io_uring_goes_to_threads_that_say_why) {
  EXPECT_EXIT(use_without_io_uring(x_folder.file("drive")), testing::ExitedWithCode(0),
              "8 threads, O_DIRECT; io_uring is refused: .*seccomp");
}

TEST_F(RefusedByTheSystem, locked_memory_is_done_without) {
  std::filesystem::permissions(std::filesystem::path(x_folder.file("")).parent_path(),
                               std::filesystem::perms::all);
  const std::string file = x_folder.file("drive");
  EXPECT_EXIT(use_with_locked_memory(file, kMiB), testing::ExitedWithCode(0),
              "overloaded.*limit of locked memory.*io_uring");
  EXPECT_EXIT(use_with_locked_memory(file, 0), testing::ExitedWithCode(0),
              "ok; .*threads.*limit of locked memory");
}

// A block device over a file, until it is destroyed.
class LoopDrive {
 public:
  explicit LoopDrive(const std::string& file) {
    const int control = ::open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    const int number = control < 0 ? -1 : ::ioctl(control, LOOP_CTL_GET_FREE);
    if (control >= 0) ::close(control);
    const int backing = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (number >= 0 && ::ftruncate(backing, kDriveBytes) == 0) {
      x_path = "/dev/loop" + std::to_string(number);
      x_fd = ::open(x_path.c_str(), O_RDWR | O_CLOEXEC);
      loop_config config = {};
      config.fd = static_cast<uint32_t>(backing);
      config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
      if (x_fd >= 0 && ::ioctl(x_fd, LOOP_CONFIGURE, &config) == 0) x_is_there = true;
    }
    ::close(backing);
  }
  ~LoopDrive() {
    if (x_fd >= 0) ::close(x_fd);
  }
  LoopDrive(const LoopDrive&) = delete;
  LoopDrive& operator=(const LoopDrive&) = delete;

  bool is_there() const { return x_is_there; }
  const std::string& path() const { return x_path; }

 private:
  std::string x_path;
  int x_fd = -1;
  bool x_is_there = false;
};

TEST(RawDrive, is_labelled_locked_written_and_trimmed) {
  const ScratchFolder folder;
  const LoopDrive drive(folder.file("image"));
  if (!drive.is_there()) GTEST_SKIP() << "this system gives no loop devices";
  for (const bool is_new : {true, false}) {
    const auto opened = open_device(options_of(drive.path()));
    ASSERT_TRUE(opened) << opened.status().to_string();
    EXPECT_EQ(opened->is_new, is_new);
    EXPECT_EQ(opened->device->capacity_bytes(), kDriveBytes);
    EXPECT_EQ(open_device(options_of(drive.path())).status().code(), Code::conflict);
    EXPECT_TRUE(comes_back(*opened->device));
    Outcome discard;
    ASSERT_TRUE(opened->device
                    ->discard(4 * kMiB, 4 * kMiB, discard.options(IoQueue::reclaim), discard.done())
                    .is_ok());
    run(*opened->device);
    EXPECT_EQ(discard.code(), Code::ok) << discard.status->to_string();
  }
}

}  // namespace
}  // namespace tarn::io
