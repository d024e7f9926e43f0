#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <variant>

#include "common/base/ids.h"
#include "common/base/status.h"
#include "common/block/key.h"
#include "common/block/space.h"
#include "common/wire/bounded_list.h"

// The messages of the bulk protocol; docs/WIRE.md shows their bytes. All are value types.
namespace tarn::wire {

inline constexpr uint32_t kMagic = 0x314e5254;  // "TRN1" in memory
inline constexpr uint16_t kVersion = 1;
inline constexpr size_t kMacBytes = 16;
inline constexpr size_t kEnvelopeBytes = 44;
// Whole header; equal to that of the fabrics.
inline constexpr size_t kHeaderBytesMax = 7936;
// Blocks that one request names; a larger batch travels as several messages.
inline constexpr size_t kItemsMax = 160;
inline constexpr size_t kTextBytesMax = 200;
inline constexpr uint8_t kCopiesMax = 16;
// An hour: nobody waits longer for a block.
inline constexpr uint64_t kDeadlineUsMax = 3'600'000'000;

enum class MessageType : uint8_t {
  get_request = 1,
  get_reply = 2,
  put_request = 3,
  put_reply = 4,
  exists_request = 5,
  exists_reply = 6,
  remove_request = 7,
  remove_reply = 8,
  ping = 9,
  pong = 10,
  error_reply = 11,
  pieces_request = 12,
  piece_reply = 13,
  cancel = 14,
};

// Bits of the envelope's flags.
inline constexpr uint8_t kFlagForTenant = 1;
inline constexpr uint8_t kFlagAllowLess = 2;
inline constexpr uint8_t kFlagBackup = 4;
inline constexpr uint8_t kFlagSampled = 8;
inline constexpr uint8_t kFlagOnFlash = 16;

// Which request of which connection a message is, or answers. The sequence's upper 16 bits are the
// lane's number, so that a request recorded on one lane is worth nothing on another.
struct Route {
  uint64_t connection_id = 0;
  uint64_t sequence = 0;

  friend bool operator==(const Route&, const Route&) = default;
};

inline constexpr uint64_t kSequenceLaneShift = 48;

constexpr uint64_t first_sequence(uint16_t lane) {
  return uint64_t{lane} << kSequenceLaneShift;
}
constexpr uint16_t lane_of(uint64_t sequence) {
  return static_cast<uint16_t>(sequence >> kSequenceLaneShift);
}

// What begins every header.
struct Envelope {
  MessageType type = MessageType::ping;
  uint8_t flags = 0;
  uint32_t header_bytes = 0;
  Route route;
  std::array<uint8_t, kMacBytes> mac{};
};

// What get, put, exists and remove have in common.
struct RequestHead {
  Epoch epoch;               // of the config that chose this server
  uint64_t deadline_us = 0;  // that the requester will still wait; at most kDeadlineUsMax
  SpaceId space;
  // Servers only, who act for all tenants: whose blocks are meant. Elsewhere the connection's
  // ticket says it, and this is zero.
  bool for_tenant = false;
  TenantId tenant;

  friend bool operator==(const RequestHead&, const RequestHead&) = default;
};

struct BlockItem {
  Shard shard;
  block::BlockHash hash;

  friend bool operator==(const BlockItem&, const BlockItem&) = default;
};

struct GetItem {
  Shard shard;
  uint64_t bytes_max = 0;  // that the requester's memory holds; a larger block is not sent
  block::BlockHash hash;
  uint32_t offset = 0;  // of a piece, which is bytes_max bytes of the block from there on

  friend bool operator==(const GetItem&, const GetItem&) = default;
};

// Asks for blocks; 1 to kItemsMax items, answered in their order. With `pieces`, which travels as a
// type of its own, each item is a piece of a block.
struct GetRequest {
  RequestHead head;
  BoundedList<GetItem, kItemsMax> items;
  bool pieces = false;

  friend bool operator==(const GetRequest&, const GetRequest&) = default;
};

// Answers `count` items from `first` on. With ok: one item, and its bytes are the payload; else no
// payload, and the code is that of each of these items. A piece that is sent travels as a type of
// its own: size and CRC of the payload are the piece's.
struct GetReply {
  Epoch epoch;
  uint16_t first = 0;
  uint16_t count = 1;
  Code code = Code::ok;
  Generation generation;
  uint64_t payload_bytes = 0;
  uint32_t payload_crc = 0;
  bool is_piece = false;
  // Of the whole block, whose piece this is; the CRC is the putter's.
  uint32_t block_bytes = 0;
  uint32_t block_crc = 0;

  friend bool operator==(const GetReply&, const GetReply&) = default;
};

// Stores one block, whose bytes are the payload.
struct PutRequest {
  RequestHead head;
  bool allow_less = false;  // kept_less is welcome where `copies` cannot be reached
  bool backup = false;      // from a primary: keep this copy, feed nobody
  bool on_flash = false;    // a copy counts once it is durable on flash. To who has said it can
  // The CRC is that of a sample (block::sample_crc32c): the server makes the payload's from the
  // bytes that it copies. Only to one that has said that it does; never with `backup`.
  bool sampled = false;
  Shard shard;
  block::BlockHash hash;
  block::BlockHash anchor;
  block::BlockHash parent;  // empty for a chain's first block and in flat spaces
  uint16_t index = 0;       // in its extent, below extent_blocks
  uint16_t extent_blocks = 0;
  block::SpaceKind kind = block::SpaceKind::chained;
  uint8_t copies = 1;  // 1: class memory; n: replicated in n failure domains
  uint64_t payload_bytes = 0;
  uint32_t payload_crc = 0;

  friend bool operator==(const PutRequest&, const PutRequest&) = default;
};

using Text = BoundedList<char, kTextBytesMax>;

// The first kTextBytesMax bytes of `text`, or up to three less where a character of UTF-8 would be
// cut in two.
Text make_text(std::string_view text);
inline std::string_view view(const Text& text) {
  return {text.begin(), text.size()};
}

// Code: ok, exists, kept_less, or why the block was not kept. `copies` were reached.
struct PutReply {
  Epoch epoch;
  Code code = Code::ok;
  uint8_t copies = 0;
  Text message;

  friend bool operator==(const PutReply&, const PutReply&) = default;
};

struct ExistsRequest {
  RequestHead head;
  BoundedList<BlockItem, kItemsMax> items;

  friend bool operator==(const ExistsRequest&, const ExistsRequest&) = default;
};

// One code for each item asked for.
struct ExistsReply {
  Epoch epoch;
  BoundedList<Code, kItemsMax> codes;

  friend bool operator==(const ExistsReply&, const ExistsReply&) = default;
};

// Removes blocks: from an owner to the primary, and from a primary to its backups.
struct RemoveRequest {
  RequestHead head;
  bool backup = false;
  BoundedList<BlockItem, kItemsMax> items;

  friend bool operator==(const RemoveRequest&, const RemoveRequest&) = default;
};

// One code for each item: ok, not_found, or why it stays.
struct RemoveReply {
  Epoch epoch;
  BoundedList<Code, kItemsMax> codes;

  friend bool operator==(const RemoveReply&, const RemoveReply&) = default;
};

struct Ping {
  Epoch epoch;

  friend bool operator==(const Ping&, const Ping&) = default;
};

struct Pong {
  Epoch epoch;

  friend bool operator==(const Pong&, const Pong&) = default;
};

// Refuses a request as a whole. Never ok.
struct ErrorReply {
  Epoch epoch;
  Code code = Code::internal;
  Text message;

  friend bool operator==(const ErrorReply&, const ErrorReply&) = default;
};

// Nobody waits for an earlier get of this connection and lane any more. Has no answer of its own:
// what was not answered yet of that get is answered `cancelled`.
struct Cancel {
  uint64_t sequence = 0;  // of the get

  friend bool operator==(const Cancel&, const Cancel&) = default;
};

using Request = std::variant<Ping, GetRequest, PutRequest, ExistsRequest, RemoveRequest, Cancel>;
using Reply = std::variant<Pong, GetReply, PutReply, ExistsReply, RemoveReply, ErrorReply>;

}  // namespace tarn::wire
