#pragma once

#include <array>
#include <cstddef>

#include "common/wire/cursor.h"
#include "common/wire/message.h"

namespace tarn::wire {

// Room for one header; large, so keep one and use it again. Value type.
struct HeaderBuffer {
  std::array<std::byte, kHeaderBytesMax> bytes;
  size_t size = 0;

  Bytes view() const { return Bytes(bytes).first(size); }
};

// Writes the whole header of `message` over `into`, with a zero MAC: sign it before it leaves.
// Preconditions, which are checked: lists of items hold at least one; hashes are not empty, but for
// PutRequest::parent; code of ErrorReply is not ok.
void encode(const Route& route, const GetRequest& message, HeaderBuffer& into);
void encode(const Route& route, const GetReply& message, HeaderBuffer& into);
void encode(const Route& route, const PutRequest& message, HeaderBuffer& into);
void encode(const Route& route, const PutReply& message, HeaderBuffer& into);
void encode(const Route& route, const ExistsRequest& message, HeaderBuffer& into);
void encode(const Route& route, const ExistsReply& message, HeaderBuffer& into);
void encode(const Route& route, const RemoveRequest& message, HeaderBuffer& into);
void encode(const Route& route, const RemoveReply& message, HeaderBuffer& into);
void encode(const Route& route, const Ping& message, HeaderBuffer& into);
void encode(const Route& route, const Pong& message, HeaderBuffer& into);
void encode(const Route& route, const ErrorReply& message, HeaderBuffer& into);
void encode(const Route& route, const Cancel& message, HeaderBuffer& into);

// Where header_bytes and the MAC lie in every header.
inline constexpr size_t kHeaderBytesOffset = 8;
inline constexpr size_t kMacOffset = 28;

}  // namespace tarn::wire
