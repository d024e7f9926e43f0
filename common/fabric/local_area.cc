#include "common/fabric/local_area.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "common/base/check.h"
#include "common/base/fault_point.h"

namespace tarn::fabric {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW;
constexpr size_t kRingBytes = kLocalCells * kLocalCellBytes;
constexpr size_t kPageBytes = 4096;
constexpr size_t kWordsBytes = (sizeof(LocalWords) + kPageBytes - 1) / kPageBytes * kPageBytes;
constexpr size_t kLaneBytes = kWordsBytes + kRingBytes + kLocalBounceBytes;

uint64_t cells_of(size_t header_bytes) {
  return 1 + (header_bytes + kLocalCellBytes - 1) / kLocalCellBytes;
}

Status no_memory(const char* step) {
  return overloaded(std::string("no shared memory for a local connection: ") + step + ": " +
                    std::strerror(errno));
}

Result<std::shared_ptr<LocalArea>> map_area(int fd) {
  void* const base = ::mmap(nullptr, LocalArea::bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) return no_memory("mmap");
  return std::make_shared<LocalArea>(static_cast<std::byte*>(base));
}

}  // namespace

size_t LocalArea::bytes() {
  return 2 * kLaneBytes;
}

Result<LocalArea::Made> LocalArea::make() {
  if (TARN_FAULT_POINT("fabric.local_area")) return overloaded("fault point fabric.local_area");
  const int fd = ::memfd_create("tarn-local", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return no_memory("memfd_create");
  Status failed;
  if (::ftruncate(fd, static_cast<off_t>(bytes())) != 0) failed = no_memory("ftruncate");
  if (failed.is_ok() && ::fcntl(fd, F_ADD_SEALS, kSeals | F_SEAL_SEAL) != 0) {
    failed = no_memory("seal");
  }
  auto area = failed.is_ok() ? map_area(fd) : Result<std::shared_ptr<LocalArea>>(failed);
  if (!area) {
    ::close(fd);
    return area.error();
  }
  return Made{std::move(area).value(), fd};
}

Result<std::shared_ptr<LocalArea>> LocalArea::map(int fd) {
  struct stat found {};
  const int seals = ::fcntl(fd, F_GET_SEALS);
  const bool fits = seals >= 0 && (seals & kSeals) == kSeals && ::fstat(fd, &found) == 0 &&
                    found.st_size == static_cast<off_t>(bytes());
  Result<std::shared_ptr<LocalArea>> area =
      fits ? map_area(fd)
           : Result<std::shared_ptr<LocalArea>>(
                 invalid_argument("the shared memory of a local connection is not sealed, or has "
                                  "another size"));
  ::close(fd);
  return area;
}

LocalArea::~LocalArea() {
  TARN_CHECK(::munmap(x_base, bytes()) == 0);
}

LocalLane LocalArea::lane(size_t index) const {
  TARN_DCHECK(index < 2);
  std::byte* const at = x_base + index * kLaneBytes;
  return {reinterpret_cast<LocalWords*>(at), at + kWordsBytes, at + kWordsBytes + kRingBytes};
}

bool LocalWriter::has_room(size_t header_bytes) {
  TARN_DCHECK(header_bytes <= kHeaderBytesMax);
  const uint64_t wanted = cells_of(header_bytes);
  if (kLocalCells - (x_tail - x_head) >= wanted) return true;
  const uint64_t head = x_lane.words->head.load(std::memory_order_seq_cst);
  if (x_tail - head > kLocalCells) {
    x_broken = true;
    return false;
  }
  x_head = head;
  return kLocalCells - (x_tail - x_head) >= wanted;
}

void LocalWriter::write(const LocalRecord& record, Bytes header) {
  TARN_DCHECK(record.header_bytes == header.size());
  const auto cell_at = [this](uint64_t cell) {
    return x_lane.cells + cell % kLocalCells * kLocalCellBytes;
  };
  std::memcpy(cell_at(x_tail), &record, sizeof(record));
  const size_t begin = (x_tail + 1) % kLocalCells * kLocalCellBytes;
  const size_t first = std::min(header.size(), kRingBytes - begin);
  if (first > 0) std::memcpy(x_lane.cells + begin, header.data(), first);
  if (header.size() > first) {
    std::memcpy(x_lane.cells, header.data() + first, header.size() - first);
  }
  x_tail += cells_of(header.size());
  x_lane.words->tail.store(x_tail, std::memory_order_seq_cst);
}

size_t LocalWriter::bounce_room() {
  const uint64_t head = x_lane.words->bounce_head.load(std::memory_order_seq_cst);
  const uint64_t used = x_bounce_tail - head;
  if (used > kLocalBounceBytes) {
    x_broken = true;
    return 0;
  }
  const uint64_t to_end = kLocalBounceBytes - x_bounce_tail % kLocalBounceBytes;
  return static_cast<size_t>(std::min(kLocalBounceBytes - used, to_end));
}

LocalReader::Take LocalReader::take(LocalRecord& record, std::byte* header) {
  const uint64_t tail = x_lane.words->tail.load(std::memory_order_acquire);
  const uint64_t there = tail - x_head;
  if (there == 0) return Take::nothing;
  if (there > kLocalCells) return Take::broken;
  std::memcpy(&record, x_lane.cells + x_head % kLocalCells * kLocalCellBytes, sizeof(record));
  const size_t bytes = record.header_bytes;
  if (bytes > kHeaderBytesMax || cells_of(bytes) > there) return Take::broken;
  const size_t begin = (x_head + 1) % kLocalCells * kLocalCellBytes;
  const size_t first = std::min(bytes, kRingBytes - begin);
  if (first > 0) std::memcpy(header, x_lane.cells + begin, first);
  if (bytes > first) std::memcpy(header + first, x_lane.cells, bytes - first);
  x_head += cells_of(bytes);
  return Take::record;
}

void LocalReader::publish() {
  if (x_published == x_head) return;
  x_published = x_head;
  x_lane.words->head.store(x_head, std::memory_order_seq_cst);
}

Bytes LocalReader::bounce(size_t bytes) const {
  const size_t at = x_bounce_head % kLocalBounceBytes;
  return {x_lane.bounce + at, std::min<size_t>(bytes, kLocalBounceBytes - at)};
}

void LocalReader::take_bounce(size_t bytes) {
  x_bounce_head += bytes;
  x_lane.words->bounce_head.store(x_bounce_head, std::memory_order_seq_cst);
}

}  // namespace tarn::fabric
