#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <system_error>

#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <unistd.h>

#include "cli/checkup.h"
#include "cli/text.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/units.h"

namespace tarn::cli {
namespace {

constexpr uint64_t kOpenFilesMin = 4096;
constexpr uint64_t kSharedMemoryBytesMin = 64 * kMiB;
// Older and younger than any Tarn that runs.
constexpr int64_t kUnixMsMin = 1'735'689'600'000;  // 2025
constexpr int64_t kUnixMsMax = 4'102'444'800'000;  // 2100

std::string read_text(const char* path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::string bytes_or_unlimited(uint64_t bytes) {
  return bytes == RLIM_INFINITY ? "unlimited" : format_bytes(bytes);
}

uint64_t limit_of(__rlimit_resource_t resource) {
  rlimit limit{};
  return ::getrlimit(resource, &limit) == 0 ? limit.rlim_cur : 0;
}

// liburing's home is the storage server: here one bare call says whether the kernel lets us.
int try_io_uring() {
  std::array<uint64_t, 32> params{};  // struct io_uring_params takes 120 bytes
  const long fd = ::syscall(SYS_io_uring_setup, 1, params.data());
  if (fd < 0) return errno;
  ::close(static_cast<int>(fd));
  return 0;
}

Finding check_shared_memory() {
  struct statvfs info {};
  if (::statvfs("/dev/shm", &info) != 0) return judge_shared_memory(0, 0);
  return judge_shared_memory(info.f_blocks * info.f_frsize, info.f_bavail * info.f_frsize);
}

Finding check_clock() {
  timex state{};
  const int answer = ::adjtimex(&state);
  const bool is_known = answer >= 0;
  return judge_clock(system_clock().unix_ms(), is_known && (state.status & STA_UNSYNC) == 0);
}

}  // namespace

std::string_view health_name(Health health) {
  switch (health) {
    case Health::ok:
      return "ok";
    case Health::warning:
      return "warning";
    case Health::problem:
      break;
  }
  return "problem";
}

uint64_t meminfo_value(std::string_view text, std::string_view name) {
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    at = end + 1;
    if (!line.starts_with(name) || line.substr(name.size(), 1) != ":") continue;
    line.remove_prefix(name.size() + 1);
    line.remove_prefix(std::min(line.find_first_of("0123456789"), line.size()));
    uint64_t value = 0;
    std::from_chars(line.data(), line.data() + line.size(), value);
    return line.ends_with("kB") ? value * kKiB : value;
  }
  return 0;
}

Finding judge_memlock(uint64_t limit_bytes, uint64_t wanted_bytes) {
  const std::string seen = "may lock " + bytes_or_unlimited(limit_bytes);
  if (limit_bytes >= wanted_bytes) return {"memlock", Health::ok, seen, ""};
  return {"memlock", Health::warning, seen,
          "RDMA and io_uring lock the memory that they are given: set LimitMEMLOCK=infinity in the "
          "unit, or `memlock unlimited` in /etc/security/limits.conf; TCP works without"};
}

Finding judge_open_files(uint64_t limit) {
  const std::string seen = limit == RLIM_INFINITY ? "unlimited" : std::to_string(limit);
  if (limit >= kOpenFilesMin) return {"open files", Health::ok, seen, ""};
  return {"open files", Health::warning, seen,
          "each client takes a few descriptors of a server: set LimitNOFILE=65536"};
}

Finding judge_hugepages(uint64_t free_pages, uint64_t page_bytes, uint64_t wanted_bytes) {
  const std::string seen = std::to_string(free_pages) + " free of " + format_bytes(page_bytes);
  if (page_bytes == 0) return {"hugepages", Health::ok, "the kernel has none", ""};
  if (free_pages * page_bytes >= wanted_bytes) return {"hugepages", Health::ok, seen, ""};
  const uint64_t pages = (wanted_bytes + page_bytes - 1) / page_bytes;
  return {"hugepages", Health::ok, seen,
          "optional: `sysctl vm.nr_hugepages=" + std::to_string(pages) +
              "` before the start saves the processor work on large memories"};
}

Finding judge_memory(uint64_t available_bytes, uint64_t wanted_bytes) {
  const std::string seen = format_bytes(available_bytes) + " available";
  if (available_bytes / 10 * 9 >= wanted_bytes) return {"memory", Health::ok, seen, ""};
  return {"memory", Health::problem, seen,
          "a server of " + format_bytes(wanted_bytes) +
              " does not fit: lower dram-bytes, or end what else takes memory"};
}

Finding judge_shared_memory(uint64_t total_bytes, uint64_t free_bytes) {
  const std::string seen = format_bytes(free_bytes) + " free of " + format_bytes(total_bytes);
  if (free_bytes >= kSharedMemoryBytesMin) return {"/dev/shm", Health::ok, seen, ""};
  return {"/dev/shm", Health::warning, seen,
          "the trusted shared-memory transport needs " + format_bytes(kSharedMemoryBytesMin) +
              ": in a container, `--shm-size=1g`; others do without"};
}

Finding judge_clock(int64_t unix_ms, bool is_synchronised) {
  if (unix_ms < kUnixMsMin || unix_ms > kUnixMsMax) {
    return {"clock", Health::problem, "the date is implausible",
            "certificates and tokens are refused: set the date, and run chrony or "
            "systemd-timesyncd"};
  }
  if (is_synchronised) return {"clock", Health::ok, "synchronised", ""};
  return {"clock", Health::warning, "the kernel does not know it to be synchronised",
          "where several machines share tokens, run chrony or systemd-timesyncd on each (a "
          "container takes the clock of its host)"};
}

Finding judge_io_uring(int error) {
  if (error == 0) return {"io_uring", Health::ok, "usable", ""};
  const std::string seen = std::generic_category().message(error);
  const std::string advice =
      error == ENOSYS
          ? "the kernel is older than 5.1, or its sandbox hides it"
          : "allow it: kernel.io_uring_disabled=0, and in a container a seccomp profile "
            "with io_uring_setup";
  return {"io_uring", Health::warning, seen, "the flash tier needs it: " + advice};
}

Findings check_machine(uint64_t dram_bytes) {
  TARN_CHECK(dram_bytes > 0);
  const std::string meminfo = read_text("/proc/meminfo");
  return {judge_memory(meminfo_value(meminfo, "MemAvailable"), dram_bytes),
          judge_memlock(limit_of(RLIMIT_MEMLOCK), dram_bytes),
          judge_open_files(limit_of(RLIMIT_NOFILE)),
          judge_hugepages(meminfo_value(meminfo, "HugePages_Free"),
                          meminfo_value(meminfo, "Hugepagesize"), dram_bytes),
          check_shared_memory(),
          check_clock(),
          judge_io_uring(try_io_uring())};
}

}  // namespace tarn::cli
