#include "server/io/io_operation.h"

#include <array>
#include <cerrno>
#include <system_error>

#include "common/base/check.h"

namespace tarn::io {

std::string_view kind_name(IoKind kind) {
  constexpr std::array<std::string_view, 4> kNames = {"read", "write", "flush", "discard"};
  return kNames[static_cast<size_t>(kind)];
}

void IoList::append(uint32_t index) {
  IoOperation& operation = (*x_table)[index];
  TARN_CHECK(!operation.listed);
  operation.listed = true;
  operation.previous = x_last;
  operation.next = kNoIndex;
  (x_last == kNoIndex ? x_first : (*x_table)[x_last].next) = index;
  x_last = index;
}

void IoList::remove(uint32_t index) {
  IoOperation& operation = (*x_table)[index];
  TARN_CHECK(operation.listed);
  operation.listed = false;
  const uint32_t previous = operation.previous, next = operation.next;
  (previous == kNoIndex ? x_first : (*x_table)[previous].next) = next;
  (next == kNoIndex ? x_last : (*x_table)[next].previous) = previous;
}

Status io_error(const IoPiece& piece, int error, const std::string& drive) {
  std::string text = drive + ": " + std::string(kind_name(piece.kind));
  if (piece.kind != IoKind::flush)
    text += " of " + std::to_string(piece.bytes) + " bytes at " + std::to_string(piece.offset);
  if (error == 0) return corrupt(text + ": the drive ends before");
  text += ": " + std::generic_category().message(error) + " (errno " + std::to_string(error) + ")";
  if (error == ENOSPC || error == EDQUOT) return overloaded(text);
  return unavailable(text);
}

}  // namespace tarn::io
