#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "server/io/block_device.h"

namespace tarn::io {

enum class IoKind : uint8_t { read, write, flush, discard };

std::string_view kind_name(IoKind kind);

inline constexpr uint32_t kNoIndex = UINT32_MAX;

// What is asked of the kernel at once: an operation, or a part of it.
struct IoPiece {
  IoKind kind = IoKind::read;
  uint8_t tries = 0;
  uint32_t slot = kNoIndex;  // its place among the pieces in flight
  uint32_t operation = kNoIndex;
  uint64_t offset = 0;
  std::byte* memory = nullptr;  // none for a flush or discard
  uint64_t bytes = 0;
};

// What a caller has asked for, until the drive has ended all of it.
struct IoOperation {
  IoKind kind = IoKind::read;
  bool in_use = false;
  bool told = false;  // the caller knows the outcome; the memory is pinned still
  bool listed = false;
  uint32_t previous = kNoIndex, next = kNoIndex;
  uint64_t sequence = 0;
  uint64_t offset = 0;
  std::byte* memory = nullptr;
  uint64_t bytes = 0;
  uint64_t begun_bytes = 0;  // that pieces were made of
  uint32_t in_flight = 0;    // pieces
  uint32_t waits_for = 0;    // a flush: writes before it that have not ended
  Status outcome;
  IoOptions options;
  IoDone done;
};

// Operations in order, linked through a table of them. One-thread.
class IoList {
 public:
  explicit IoList(std::vector<IoOperation>& table) : x_table(&table) {}

  bool is_empty() const { return x_first == kNoIndex; }
  uint32_t first() const { return x_first; }
  // Precondition: in no list.
  void append(uint32_t index);
  // Precondition: in this list.
  void remove(uint32_t index);

 private:
  std::vector<IoOperation>* x_table;
  uint32_t x_first = kNoIndex, x_last = kNoIndex;
};

// What a failed piece means for the caller. `error` is an errno, 0 for a drive that ends early.
Status io_error(const IoPiece& piece, int error, const std::string& drive);

}  // namespace tarn::io
