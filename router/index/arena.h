#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

namespace tarn::index {

// Memory in huge pages, in pieces that begin on a cache line: at ten million blocks a page of 4 KiB
// costs a look-up more in the TLB than the line that it wants. Pieces that were given back are
// handed out again, whole, cut or (the large ones) joined with their neighbours; the machine gets
// its memory back with the arena's end only. One-thread (whoever holds the lock of what lies in
// it). Limits: the machine's memory, as for operator new.
class Arena {
 public:
  Arena() = default;
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // Memory of so many bytes, with whatever it held. Precondition: bytes > 0.
  void* take(size_t bytes);
  // Precondition: take(bytes) gave it, and nobody uses it.
  void give(void* piece, size_t bytes);
  // Taken from the machine.
  uint64_t memory_bytes() const { return x_memory_bytes; }

 private:
  static constexpr size_t kLineBytes = 64;
  static constexpr size_t kSmallLines = 16;  // pieces up to this have a list of their own size

  struct FreePiece {
    FreePiece* next = nullptr;
  };
  struct Segment {
    void* begin = nullptr;
    size_t bytes = 0;
  };

  void* take_small(size_t lines);
  std::byte* take_large(size_t bytes);
  void keep(std::byte* piece, size_t bytes);
  void keep_large(std::byte* piece, size_t bytes);
  void forget_large(std::map<std::byte*, size_t>::iterator piece);
  void map_segment(size_t bytes);

  std::vector<Segment> x_segments;
  std::array<FreePiece*, kSmallLines + 1> x_small{};  // by lines
  // The larger ones, no two side by side: where they are, and the same by size.
  std::map<std::byte*, size_t> x_large;
  std::set<std::pair<size_t, std::byte*>> x_large_by_size;
  std::byte* x_next = nullptr;  // small pieces are cut from here
  std::byte* x_end = nullptr;
  uint64_t x_memory_bytes = 0;
};

}  // namespace tarn::index
