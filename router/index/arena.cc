#include "router/index/arena.h"

#include <sys/mman.h>

#include <algorithm>
#include <iterator>
#include <new>

#include "common/base/check.h"
#include "common/base/units.h"

namespace tarn::index {
namespace {

constexpr size_t kHugePageBytes = size_t{2} << 20;
// Small pieces are cut from this much at a time, where no larger piece was given back.
constexpr size_t kCutBytes = size_t{64} << 10;

}  // namespace

Arena::~Arena() {
  for (const Segment& segment : x_segments)
    TARN_CHECK(::munmap(segment.begin, segment.bytes) == 0);
}

void* Arena::take(size_t bytes) {
  TARN_CHECK(bytes > 0);
  const size_t lines = (bytes + kLineBytes - 1) / kLineBytes;
  return lines <= kSmallLines ? take_small(lines) : take_large(lines * kLineBytes);
}

void Arena::give(void* piece, size_t bytes) {
  TARN_CHECK(piece != nullptr && bytes > 0);
  keep(static_cast<std::byte*>(piece), (bytes + kLineBytes - 1) / kLineBytes * kLineBytes);
}

void* Arena::take_small(size_t lines) {
  if (FreePiece* const piece = x_small[lines]) {
    x_small[lines] = piece->next;
    return piece;
  }
  const size_t bytes = lines * kLineBytes;
  if (static_cast<size_t>(x_end - x_next) < bytes) {
    if (x_next != x_end) keep(x_next, static_cast<size_t>(x_end - x_next));
    // What was given back, and is not large enough for most who want much, goes first.
    const auto least = x_large_by_size.begin();
    const size_t size =
        least == x_large_by_size.end() ? kCutBytes : std::min(least->first, kCutBytes);
    x_next = take_large(size);
    x_end = x_next + size;
  }
  std::byte* const piece = x_next;
  x_next += bytes;
  return piece;
}

// From the smallest piece that is large enough.
std::byte* Arena::take_large(size_t bytes) {
  auto found = x_large_by_size.lower_bound({bytes, nullptr});
  if (found == x_large_by_size.end()) {
    map_segment(round_up(bytes, kHugePageBytes));
    found = x_large_by_size.lower_bound({bytes, nullptr});
    TARN_CHECK(found != x_large_by_size.end());
  }
  const auto [size, piece] = *found;
  forget_large(x_large.find(piece));
  if (size > bytes) keep(piece + bytes, size - bytes);
  return piece;
}

void Arena::keep(std::byte* piece, size_t bytes) {
  TARN_DCHECK(bytes % kLineBytes == 0);
  const size_t lines = bytes / kLineBytes;
  if (lines > kSmallLines) return keep_large(piece, bytes);
  x_small[lines] = new (piece) FreePiece{x_small[lines]};
}

void Arena::keep_large(std::byte* piece, size_t bytes) {
  const auto after = x_large.lower_bound(piece);
  if (after != x_large.end() && piece + bytes == after->first) {
    bytes += after->second;
    forget_large(after);
  }
  const auto next = x_large.lower_bound(piece);
  if (next != x_large.begin()) {
    const auto before = std::prev(next);
    TARN_CHECK(before->first + before->second <= piece);
    if (before->first + before->second == piece) {
      piece = before->first;
      bytes += before->second;
      forget_large(before);
    }
  }
  x_large.emplace(piece, bytes);
  x_large_by_size.emplace(bytes, piece);
}

void Arena::forget_large(std::map<std::byte*, size_t>::iterator piece) {
  TARN_CHECK(piece != x_large.end());
  TARN_CHECK(x_large_by_size.erase({piece->second, piece->first}) == 1);
  x_large.erase(piece);
}

// Begins where a huge page does.
void Arena::map_segment(size_t bytes) {
  const size_t room = bytes + kHugePageBytes;
  void* const mapped =
      ::mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  TARN_CHECK(mapped != MAP_FAILED);
  const auto address = reinterpret_cast<uintptr_t>(mapped);
  const size_t before = round_up(address, kHugePageBytes) - address;
  auto* const begin = static_cast<std::byte*>(mapped) + before;
  if (before > 0) TARN_CHECK(::munmap(mapped, before) == 0);
  TARN_CHECK(::munmap(begin + bytes, kHugePageBytes - before) == 0);
  // A kernel without huge pages gives small ones, which is slower and nothing else.
  (void)::madvise(begin, bytes, MADV_HUGEPAGE);
  x_segments.push_back({begin, bytes});
  x_memory_bytes += bytes;
  keep_large(begin, bytes);
}

}  // namespace tarn::index
