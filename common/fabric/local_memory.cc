#include "common/fabric/local_memory.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <string>

#include "common/base/check.h"
#include "common/base/fault_point.h"
#include "common/fabric/local_closing.h"

namespace tarn::fabric {
namespace {

constexpr int kSealsNeeded = F_SEAL_SHRINK | F_SEAL_GROW;

// Empty when memory behind `fd` cannot vanish under who maps it.
std::string objection_to(int fd, uint64_t bytes) {
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0) return "is no memfd";
  if ((seals & kSealsNeeded) != kSealsNeeded) return "is not sealed against shrinking and growing";
  struct statfs place {};
  // A huge page that the system does not have kills whoever touches it.
  if (::fstatfs(fd, &place) != 0 || place.f_type != TMPFS_MAGIC) return "has no ordinary pages";
  struct stat found {};
  if (::fstat(fd, &found) != 0 || found.st_size < 0) return "has no size";
  if (bytes == 0 || static_cast<uint64_t>(found.st_size) < bytes) return "is shorter than was said";
  return {};
}

}  // namespace

Result<std::shared_ptr<const LocalMapping>> LocalMapping::open(int fd, uint64_t bytes) {
  TARN_CHECK(fd >= 0);
  const std::string why = objection_to(fd, bytes);
  const bool maps = why.empty() && !TARN_FAULT_POINT("fabric.local_map");
  void* const base = maps ? ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
  close_passed(fd);
  if (!why.empty()) return invalid_argument("shared memory of a peer " + why);
  if (base == MAP_FAILED) return overloaded("a peer's memory cannot be mapped");
  return std::make_shared<const LocalMapping>(static_cast<const std::byte*>(base), bytes);
}

LocalMapping::~LocalMapping() {
  unmap_passed(x_memory.data(), x_memory.size());
}

void LocalMemory::add(Region region) {
  TARN_CHECK(region.fd >= 0 && !region.memory.empty());
  const MutexLock lock(x_mutex);
  TARN_CHECK(x_by_id.emplace(region.id, region.memory.data()).second);
  x_by_address[region.memory.data()] = std::move(region);
}

void LocalMemory::remove(uint64_t id) {
  {
    const MutexLock lock(x_mutex);
    const auto found = x_by_id.find(id);
    TARN_CHECK(found != x_by_id.end());
    x_by_address.erase(found->second);
    x_by_id.erase(found);
  }
  x_removals.fetch_add(1, std::memory_order_release);
}

std::optional<LocalMemory::Region> LocalMemory::find(Bytes bytes) const {
  const MutexLock lock(x_mutex);
  auto after = x_by_address.upper_bound(bytes.data());
  if (after == x_by_address.begin()) return std::nullopt;
  const Region& region = std::prev(after)->second;
  const auto offset = static_cast<size_t>(bytes.data() - region.memory.data());
  const bool fits = offset <= region.memory.size() && bytes.size() <= region.memory.size() - offset;
  if (!fits) return std::nullopt;
  return region;
}

bool LocalMemory::has(uint64_t id) const {
  const MutexLock lock(x_mutex);
  return x_by_id.contains(id);
}

}  // namespace tarn::fabric
