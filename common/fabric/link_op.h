#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/fabric/fabric.h"
#include "common/wire/message.h"

namespace tarn::fabric {

// Blocks or keys of one operation, and parts of one block's scatter list.
inline constexpr size_t kOpItemsMax = 1024;
inline constexpr size_t kOpPartsMax = 4096;

// What the operations of a Link have in common. The caller owns the object and everything that it
// points to, keeps both in place from submit() until on_end, and does not touch the fields
// meanwhile. An object may be submitted again after its end. One-thread (the link's).
struct LinkOp {
  enum class Kind : uint8_t { get, put, exists, remove, ping };

  explicit LinkOp(Kind k) : kind(k) {}
  LinkOp(const LinkOp&) = delete;
  LinkOp& operator=(const LinkOp&) = delete;

  const Kind kind;

  // In. The link fills in head.deadline_us itself. for_tenant: servers only.
  wire::RequestHead head;
  Instant deadline = kNever;
  // Called once, when no memory of the operation is touched any more; the last access to the
  // object. May submit others to the link, and destroy or submit this one; must not call expire()
  // or lost(). Capture at most two pointers: it is copied.
  std::function<void(LinkOp&)> on_end;

  // Out. For get, exists and remove ok means that every item has its own answer. Otherwise:
  // deadline_exceeded, unavailable (the connection was lost), or what the server refused it with.
  Code code = Code::ok;
  Epoch server_epoch;  // zero when no answer came
  wire::Text message;  // the server's words, where it had any

  // The link's own.
  struct State {
    LinkOp* next = nullptr;
    LinkOp* previous = nullptr;
    LinkOp* waiting_next = nullptr;
    LinkOp* waiting_previous = nullptr;
    size_t items_sent = 0;  // or given up
    uint32_t messages = 0;  // in flight
    uint32_t memory = 0;    // sends and receives under way
    bool is_active = false;
    bool is_waiting = false;
  };
  State state;
};

// One block to get.
struct GetTarget {
  // In.
  Shard shard;
  block::BlockHash hash;
  std::span<const MutableBytes> into;  // filled from the front; what a smaller block leaves is kept
  uint32_t offset = 0;  // GetOp::pieces: where in the block the piece begins, of the size of `into`
  bool exact = true;    // a block of another size than `into` is invalid_argument, and not moved
  // Not 0: a view of the block is wanted, which may have so many bytes; `into` and `exact` do not
  // count. Where the fabric maps nothing the block is copied to where GetOp::make_room says.
  uint64_t view_bytes_max = 0;

  // Where the same memory was handed to another operation, too, which asks another server: shared
  // by both. The first answer with a block takes the memory; that of the other is `cancelled` and
  // moves nothing. Null: nobody else has it. Not with views.
  bool* taken = nullptr;

  // Out. ok: `bytes` lie in `into`, and their CRC32C was right. not_found, or corrupt: a miss. With
  // any code but ok the memory may hold rubbish.
  Code code = Code::ok;
  uint64_t bytes = 0;  // with invalid_argument: of the block, where `into` is larger; else 0
  bool took = false;   // this operation has set `taken`
  Generation generation;
  uint32_t payload_crc = 0;
  // Of the whole block, where a piece of it was asked for; `payload_crc` is the piece's then, as
  // the server has it, and that the pieces together have the block's is for the caller to check.
  uint32_t block_bytes = 0;
  uint32_t block_crc = 0;
  // With ok, where a view was wanted: the block where it lies, its CRC32C not looked at, and `into`
  // is empty. Its release is the caller's to call. Without one, the block was copied and checked.
  View view;
};

// Gets blocks, in the order of `targets`; 1 to kOpItemsMax.
struct GetOp : LinkOp {
  GetOp() : LinkOp(Kind::get) {}

  // Each target is a piece of a block. Only where LinkIdentity::pieces.
  bool pieces = false;
  std::span<GetTarget> targets;
  // Called once for each target, when its memory is not touched any more. Same rules as on_end, but
  // that this object must stay.
  std::function<void(GetOp&, size_t index)> on_block;
  // Where views are wanted: sets targets[index].into to memory of targets[index].bytes, until
  // on_block; left empty, the block ends as overloaded. The link may not be used from inside.
  std::function<void(GetOp&, size_t index)> make_room;
};

// Puts one block. request.head is ignored, LinkOp::head counts. `code`: as of wire::PutReply.
struct PutOp : LinkOp {
  PutOp() : LinkOp(Kind::put) {}

  wire::PutRequest request;
  std::span<const Bytes> payload;  // request.payload_bytes in all; read until on_end
  uint8_t copies = 0;              // out: reached
};

// Asks for blocks, or removes them; 1 to kOpItemsMax.
struct KeysOp : LinkOp {
  explicit KeysOp(Kind exists_or_remove) : LinkOp(exists_or_remove) {}

  bool backup = false;  // remove only: from a primary to its backup
  std::span<const wire::BlockItem> items;
  std::span<Code> codes;  // out, one for each item
};

// Asks whether the server lives; its epoch comes back in server_epoch.
struct PingOp : LinkOp {
  PingOp() : LinkOp(Kind::ping) {}
};

}  // namespace tarn::fabric
