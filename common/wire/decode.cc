#include "common/wire/decode.h"

#include "common/base/check.h"
#include "common/base/units.h"

namespace tarn::wire {
namespace {

constexpr auto kTypeLast = static_cast<uint8_t>(MessageType::cancel);

// The flags that a message of this type may carry.
uint8_t flags_allowed(MessageType type) {
  switch (type) {
    case MessageType::get_request:
    case MessageType::pieces_request:
    case MessageType::exists_request:
      return kFlagForTenant;
    case MessageType::put_request:
      return kFlagForTenant | kFlagAllowLess | kFlagBackup | kFlagSampled | kFlagOnFlash;
    case MessageType::remove_request:
      return kFlagForTenant | kFlagBackup;
    default:
      return 0;
  }
}

// A body being read: a Reader that also remembers whether each value was within its limits.
class Body {
 public:
  explicit Body(Bytes bytes) : x_in(bytes) {}

  Reader& in() { return x_in; }

  void require(bool holds) { x_fields_ok = x_fields_ok && holds; }

  Refusal end() const {
    if (!x_in.ok()) return Refusal::truncated;
    if (!x_fields_ok) return Refusal::field;
    return x_in.left() == 0 ? Refusal::none : Refusal::trailing_bytes;
  }

 private:
  Reader x_in;
  bool x_fields_ok = true;
};

Code get_code(Body& body) {
  const auto number = body.in().get<uint8_t>();
  body.require(number < kCodeCount);
  return static_cast<Code>(number);
}

void get_hash(Body& body, block::BlockHash& hash) {
  const auto size = body.in().get<uint8_t>();
  body.require(size <= kHashBytesMax);
  if (size > kHashBytesMax) return;
  hash = {};
  hash.size = size;
  body.in().get_bytes(hash.bytes.data(), size);
}

void get_name(Body& body, block::BlockHash& hash) {
  get_hash(body, hash);
  body.require(!hash.is_empty());
}

// The number of entries that follow: 1 to kItemsMax, else 0 and the body is refused.
size_t get_count(Body& body) {
  const auto count = body.in().get<uint16_t>();
  const bool fits = count >= 1 && count <= kItemsMax;
  body.require(fits);
  return fits ? count : 0;
}

void get_items(Body& body, BoundedList<BlockItem, kItemsMax>& items) {
  items.clear();
  for (size_t left = get_count(body); left > 0 && body.in().ok(); --left) {
    BlockItem item;
    item.shard.value = body.in().get<uint32_t>();
    get_name(body, item.hash);
    TARN_CHECK(items.push_back(item));
  }
}

void get_codes(Body& body, BoundedList<Code, kItemsMax>& codes) {
  codes.clear();
  for (size_t left = get_count(body); left > 0 && body.in().ok(); --left) {
    TARN_CHECK(codes.push_back(get_code(body)));
  }
}

void get_text(Body& body, Text& text) {
  const auto size = body.in().get<uint8_t>();
  body.require(size <= kTextBytesMax);
  if (size > kTextBytesMax) return;
  std::array<char, kTextBytesMax> bytes{};
  body.in().get_bytes(bytes.data(), size);
  text = make_text({bytes.data(), size});
}

void get_head(Body& body, uint8_t flags, RequestHead& head) {
  Reader& in = body.in();
  head.epoch.value = in.get<uint64_t>();
  head.deadline_us = in.get<uint64_t>();
  in.get_bytes(head.space.bytes.data(), head.space.bytes.size());
  in.get_bytes(head.tenant.bytes.data(), head.tenant.bytes.size());
  head.for_tenant = (flags & kFlagForTenant) != 0;
  body.require(head.deadline_us <= kDeadlineUsMax);
  body.require(head.for_tenant || head.tenant.is_zero());
}

Refusal decode_body(Body body, uint8_t flags, GetRequest& message) {
  get_head(body, flags, message.head);
  message.pieces = false;
  message.items.clear();
  for (size_t left = get_count(body); left > 0 && body.in().ok(); --left) {
    GetItem item;
    item.shard.value = body.in().get<uint32_t>();
    item.bytes_max = body.in().get<uint64_t>();
    get_name(body, item.hash);
    TARN_CHECK(message.items.push_back(item));
  }
  return body.end();
}

Refusal decode_pieces(Body body, uint8_t flags, GetRequest& message) {
  get_head(body, flags, message.head);
  message.pieces = true;
  message.items.clear();
  for (size_t left = get_count(body); left > 0 && body.in().ok(); --left) {
    GetItem item;
    item.shard.value = body.in().get<uint32_t>();
    item.offset = body.in().get<uint32_t>();
    item.bytes_max = body.in().get<uint32_t>();
    get_name(body, item.hash);
    body.require(item.bytes_max >= 1 && item.offset + item.bytes_max <= kBlockBytesMax);
    TARN_CHECK(message.items.push_back(item));
  }
  return body.end();
}

Refusal decode_body(Body body, uint8_t, GetReply& message) {
  Reader& in = body.in();
  message.epoch.value = in.get<uint64_t>();
  message.first = in.get<uint16_t>();
  message.count = in.get<uint16_t>();
  message.code = get_code(body);
  message.generation.value = in.get<uint64_t>();
  message.payload_bytes = in.get<uint64_t>();
  message.payload_crc = in.get<uint32_t>();
  body.require(message.count >= 1 && message.first + message.count <= int{kItemsMax});
  if (message.code == Code::ok) {
    body.require(message.count == 1 && message.payload_bytes >= 1 &&
                 message.payload_bytes <= kBlockBytesMax);
  } else {
    body.require(message.payload_bytes == 0 && message.payload_crc == 0);
  }
  message.is_piece = false;
  message.block_bytes = message.block_crc = 0;
  return body.end();
}

Refusal decode_piece(Body body, GetReply& message) {
  Reader& in = body.in();
  message.epoch.value = in.get<uint64_t>();
  message.first = in.get<uint16_t>();
  message.count = 1;
  message.code = Code::ok;
  message.generation.value = in.get<uint64_t>();
  message.payload_bytes = in.get<uint32_t>();
  message.payload_crc = in.get<uint32_t>();
  message.is_piece = true;
  message.block_bytes = in.get<uint32_t>();
  message.block_crc = in.get<uint32_t>();
  body.require(message.first < kItemsMax && message.payload_bytes >= 1);
  body.require(message.payload_bytes <= message.block_bytes);
  body.require(message.block_bytes <= kBlockBytesMax);
  return body.end();
}

Refusal decode_body(Body body, uint8_t flags, PutRequest& message) {
  Reader& in = body.in();
  get_head(body, flags, message.head);
  message.allow_less = (flags & kFlagAllowLess) != 0;
  message.backup = (flags & kFlagBackup) != 0;
  message.sampled = (flags & kFlagSampled) != 0;
  message.on_flash = (flags & kFlagOnFlash) != 0;
  message.shard.value = in.get<uint32_t>();
  message.index = in.get<uint16_t>();
  message.extent_blocks = in.get<uint16_t>();
  const auto kind = in.get<uint8_t>();
  message.kind = static_cast<block::SpaceKind>(kind);
  message.copies = in.get<uint8_t>();
  message.payload_bytes = in.get<uint64_t>();
  message.payload_crc = in.get<uint32_t>();
  get_name(body, message.hash);
  get_name(body, message.anchor);
  get_hash(body, message.parent);
  body.require(kind <= static_cast<uint8_t>(block::SpaceKind::flat));
  body.require(!message.backup || !message.sampled);
  body.require(message.extent_blocks >= 1 && message.extent_blocks <= kExtentBlocksMax);
  body.require(message.index < message.extent_blocks);
  body.require(message.copies >= 1 && message.copies <= kCopiesMax);
  body.require(message.payload_bytes >= 1 && message.payload_bytes <= kBlockBytesMax);
  return body.end();
}

Refusal decode_body(Body body, uint8_t, PutReply& message) {
  message.epoch.value = body.in().get<uint64_t>();
  message.code = get_code(body);
  message.copies = body.in().get<uint8_t>();
  get_text(body, message.message);
  return body.end();
}

Refusal decode_body(Body body, uint8_t flags, ExistsRequest& message) {
  get_head(body, flags, message.head);
  get_items(body, message.items);
  return body.end();
}

Refusal decode_body(Body body, uint8_t, ExistsReply& message) {
  message.epoch.value = body.in().get<uint64_t>();
  get_codes(body, message.codes);
  return body.end();
}

Refusal decode_body(Body body, uint8_t flags, RemoveRequest& message) {
  message.backup = (flags & kFlagBackup) != 0;
  get_head(body, flags, message.head);
  get_items(body, message.items);
  return body.end();
}

Refusal decode_body(Body body, uint8_t, RemoveReply& message) {
  message.epoch.value = body.in().get<uint64_t>();
  get_codes(body, message.codes);
  return body.end();
}

Refusal decode_body(Body body, uint8_t, Ping& message) {
  message.epoch.value = body.in().get<uint64_t>();
  return body.end();
}

Refusal decode_body(Body body, uint8_t, Pong& message) {
  message.epoch.value = body.in().get<uint64_t>();
  return body.end();
}

Refusal decode_body(Body body, uint8_t, Cancel& message) {
  message.sequence = body.in().get<uint64_t>();
  return body.end();
}

Refusal decode_body(Body body, uint8_t, ErrorReply& message) {
  message.epoch.value = body.in().get<uint64_t>();
  message.code = get_code(body);
  body.require(message.code != Code::ok);
  get_text(body, message.message);
  return body.end();
}

// The variant's alternative T, which is made anew only when another one was there.
template <typename T, typename Variant>
T& alternative(Variant& variant) {
  if (!std::holds_alternative<T>(variant)) variant.template emplace<T>();
  return std::get<T>(variant);
}

template <typename T, typename Variant>
Refusal decode_into(Bytes header, const Envelope& envelope, Variant& variant) {
  return decode_body(Body(header.subspan(kEnvelopeBytes)), envelope.flags, alternative<T>(variant));
}

}  // namespace

bool is_request(MessageType type) {
  return type == MessageType::get_request || type == MessageType::pieces_request ||
         type == MessageType::put_request || type == MessageType::exists_request ||
         type == MessageType::remove_request || type == MessageType::ping ||
         type == MessageType::cancel;
}

Refusal decode_envelope(Bytes header, Envelope& envelope) {
  if (header.size() < kEnvelopeBytes) return Refusal::too_short;
  if (header.size() > kHeaderBytesMax) return Refusal::too_long;
  Reader in(header);
  if (in.get<uint32_t>() != kMagic) return Refusal::magic;
  if (in.get<uint16_t>() != kVersion) return Refusal::version;
  const auto type = in.get<uint8_t>();
  if (type == 0 || type > kTypeLast) return Refusal::type;
  envelope.type = static_cast<MessageType>(type);
  envelope.flags = in.get<uint8_t>();
  if ((envelope.flags & ~flags_allowed(envelope.type)) != 0) return Refusal::flags;
  envelope.header_bytes = in.get<uint32_t>();
  if (envelope.header_bytes != header.size()) return Refusal::length;
  envelope.route.connection_id = in.get<uint64_t>();
  envelope.route.sequence = in.get<uint64_t>();
  in.get_bytes(envelope.mac.data(), envelope.mac.size());
  TARN_DCHECK(in.ok());
  return Refusal::none;
}

Refusal decode_request(Bytes header, const Envelope& envelope, Request& request) {
  TARN_CHECK(header.size() >= kEnvelopeBytes);
  switch (envelope.type) {
    case MessageType::get_request:
      return decode_into<GetRequest>(header, envelope, request);
    case MessageType::pieces_request:
      return decode_pieces(Body(header.subspan(kEnvelopeBytes)), envelope.flags,
                           alternative<GetRequest>(request));
    case MessageType::put_request:
      return decode_into<PutRequest>(header, envelope, request);
    case MessageType::exists_request:
      return decode_into<ExistsRequest>(header, envelope, request);
    case MessageType::remove_request:
      return decode_into<RemoveRequest>(header, envelope, request);
    case MessageType::ping:
      return decode_into<Ping>(header, envelope, request);
    case MessageType::cancel:
      return decode_into<Cancel>(header, envelope, request);
    default:
      return Refusal::direction;
  }
}

Refusal decode_reply(Bytes header, const Envelope& envelope, Reply& reply) {
  TARN_CHECK(header.size() >= kEnvelopeBytes);
  switch (envelope.type) {
    case MessageType::get_reply:
      return decode_into<GetReply>(header, envelope, reply);
    case MessageType::piece_reply:
      return decode_piece(Body(header.subspan(kEnvelopeBytes)), alternative<GetReply>(reply));
    case MessageType::put_reply:
      return decode_into<PutReply>(header, envelope, reply);
    case MessageType::exists_reply:
      return decode_into<ExistsReply>(header, envelope, reply);
    case MessageType::remove_reply:
      return decode_into<RemoveReply>(header, envelope, reply);
    case MessageType::pong:
      return decode_into<Pong>(header, envelope, reply);
    case MessageType::error_reply:
      return decode_into<ErrorReply>(header, envelope, reply);
    default:
      return Refusal::direction;
  }
}

uint64_t payload_bytes_of(const Request& request) {
  const auto* put = std::get_if<PutRequest>(&request);
  return put == nullptr ? 0 : put->payload_bytes;
}

uint64_t payload_bytes_of(const Reply& reply) {
  const auto* got = std::get_if<GetReply>(&reply);
  return got == nullptr ? 0 : got->payload_bytes;
}

const RequestHead* head_of(const Request& request) {
  return std::visit(
      [](const auto& message) -> const RequestHead* {
        if constexpr (requires { message.head; }) {
          return &message.head;
        } else {
          return nullptr;
        }
      },
      request);
}

}  // namespace tarn::wire
