#include "common/wire/encode.h"

#include "common/base/check.h"

namespace tarn::wire {
namespace {

// The largest header that the limits allow: a get of kItemsMax blocks.
constexpr size_t kRequestHeadBytes = 48;
constexpr size_t kGetItemBytesMax = 4 + 8 + 1 + kHashBytesMax;
static_assert(kEnvelopeBytes + kRequestHeadBytes + 2 + kItemsMax * kGetItemBytesMax <=
              kHeaderBytesMax);

// Writes the envelope; finish() puts the length in when the body is there.
class HeaderWriter {
 public:
  struct Kind {
    MessageType type;
    uint8_t flags = 0;
  };

  HeaderWriter(Kind kind, const Route& route, HeaderBuffer& into)
      : x_into(into), x_out(MutableBytes(into.bytes)) {
    x_out.put(kMagic);
    x_out.put(kVersion);
    x_out.put(static_cast<uint8_t>(kind.type));
    x_out.put(kind.flags);
    x_out.put(uint32_t{0});
    x_out.put(route.connection_id);
    x_out.put(route.sequence);
    const std::array<uint8_t, kMacBytes> no_mac{};
    x_out.put_bytes(no_mac.data(), no_mac.size());
    TARN_DCHECK(x_out.written() == kEnvelopeBytes);
  }

  Writer& body() { return x_out; }

  void finish() {
    x_into.size = x_out.written();
    Writer length(MutableBytes(x_into.bytes).subspan(kHeaderBytesOffset, sizeof(uint32_t)));
    length.put(static_cast<uint32_t>(x_into.size));
  }

 private:
  HeaderBuffer& x_into;
  Writer x_out;
};

uint8_t flags_of(const RequestHead& head) {
  return head.for_tenant ? kFlagForTenant : uint8_t{0};
}

uint8_t with(uint8_t flags, bool on, uint8_t flag) {
  return static_cast<uint8_t>(on ? flags | flag : flags);
}

void put_head(Writer& out, const RequestHead& head) {
  out.put(head.epoch.value);
  out.put(head.deadline_us);
  out.put_bytes(head.space.bytes.data(), head.space.bytes.size());
  const TenantId tenant = head.for_tenant ? head.tenant : TenantId{};
  out.put_bytes(tenant.bytes.data(), tenant.bytes.size());
}

void put_hash(Writer& out, const block::BlockHash& hash) {
  TARN_CHECK(hash.size <= kHashBytesMax);
  out.put(hash.size);
  out.put_bytes(hash.bytes.data(), hash.size);
}

void put_name(Writer& out, const block::BlockHash& hash) {
  TARN_CHECK(!hash.is_empty());
  put_hash(out, hash);
}

template <typename List>
void put_count(Writer& out, const List& list) {
  TARN_CHECK(!list.empty());
  out.put(static_cast<uint16_t>(list.size()));
}

void put_items(Writer& out, const BoundedList<BlockItem, kItemsMax>& items) {
  put_count(out, items);
  for (const BlockItem& item : items) {
    out.put(item.shard.value);
    put_name(out, item.hash);
  }
}

void put_codes(Writer& out, const BoundedList<Code, kItemsMax>& codes) {
  put_count(out, codes);
  for (const Code code : codes)
    out.put(static_cast<uint8_t>(code));
}

void put_text(Writer& out, const Text& text) {
  out.put(static_cast<uint8_t>(text.size()));
  out.put_bytes(text.begin(), text.size());
}

void encode_piece(const Route& route, const GetReply& message, HeaderBuffer& into) {
  TARN_CHECK(message.code == Code::ok && message.count == 1);
  TARN_CHECK(message.payload_bytes <= message.block_bytes);
  HeaderWriter header({MessageType::piece_reply}, route, into);
  Writer& out = header.body();
  out.put(message.epoch.value);
  out.put(message.first);
  out.put(message.generation.value);
  out.put(static_cast<uint32_t>(message.payload_bytes));
  out.put(message.payload_crc);
  out.put(message.block_bytes);
  out.put(message.block_crc);
  header.finish();
}

}  // namespace

void encode(const Route& route, const GetRequest& message, HeaderBuffer& into) {
  const auto type = message.pieces ? MessageType::pieces_request : MessageType::get_request;
  HeaderWriter header({type, flags_of(message.head)}, route, into);
  Writer& out = header.body();
  put_head(out, message.head);
  put_count(out, message.items);
  for (const GetItem& item : message.items) {
    out.put(item.shard.value);
    if (message.pieces) {
      TARN_CHECK(item.bytes_max <= kBlockBytesMax);
      out.put(item.offset);
      out.put(static_cast<uint32_t>(item.bytes_max));
    } else {
      out.put(item.bytes_max);
    }
    put_name(out, item.hash);
  }
  header.finish();
}

void encode(const Route& route, const GetReply& message, HeaderBuffer& into) {
  if (message.is_piece) return encode_piece(route, message, into);
  HeaderWriter header({MessageType::get_reply}, route, into);
  Writer& out = header.body();
  out.put(message.epoch.value);
  out.put(message.first);
  out.put(message.count);
  out.put(static_cast<uint8_t>(message.code));
  out.put(message.generation.value);
  out.put(message.payload_bytes);
  out.put(message.payload_crc);
  header.finish();
}

void encode(const Route& route, const PutRequest& message, HeaderBuffer& into) {
  uint8_t flags = with(flags_of(message.head), message.allow_less, kFlagAllowLess);
  flags = with(flags, message.backup, kFlagBackup);
  flags = with(flags, message.sampled, kFlagSampled);
  flags = with(flags, message.on_flash, kFlagOnFlash);
  HeaderWriter header({MessageType::put_request, flags}, route, into);
  Writer& out = header.body();
  put_head(out, message.head);
  out.put(message.shard.value);
  out.put(message.index);
  out.put(message.extent_blocks);
  out.put(static_cast<uint8_t>(message.kind));
  out.put(message.copies);
  out.put(message.payload_bytes);
  out.put(message.payload_crc);
  put_name(out, message.hash);
  put_name(out, message.anchor);
  put_hash(out, message.parent);
  header.finish();
}

void encode(const Route& route, const PutReply& message, HeaderBuffer& into) {
  HeaderWriter header({MessageType::put_reply}, route, into);
  Writer& out = header.body();
  out.put(message.epoch.value);
  out.put(static_cast<uint8_t>(message.code));
  out.put(message.copies);
  put_text(out, message.message);
  header.finish();
}

void encode(const Route& route, const ExistsRequest& message, HeaderBuffer& into) {
  HeaderWriter header({MessageType::exists_request, flags_of(message.head)}, route, into);
  put_head(header.body(), message.head);
  put_items(header.body(), message.items);
  header.finish();
}

void encode(const Route& route, const ExistsReply& message, HeaderBuffer& into) {
  HeaderWriter header({MessageType::exists_reply}, route, into);
  header.body().put(message.epoch.value);
  put_codes(header.body(), message.codes);
  header.finish();
}

void encode(const Route& route, const RemoveRequest& message, HeaderBuffer& into) {
  const uint8_t flags = with(flags_of(message.head), message.backup, kFlagBackup);
  HeaderWriter header({MessageType::remove_request, flags}, route, into);
  put_head(header.body(), message.head);
  put_items(header.body(), message.items);
  header.finish();
}

void encode(const Route& route, const RemoveReply& message, HeaderBuffer& into) {
  HeaderWriter header({MessageType::remove_reply}, route, into);
  header.body().put(message.epoch.value);
  put_codes(header.body(), message.codes);
  header.finish();
}

void encode(const Route& route, const Ping& message, HeaderBuffer& into) {
  HeaderWriter header({MessageType::ping}, route, into);
  header.body().put(message.epoch.value);
  header.finish();
}

void encode(const Route& route, const Pong& message, HeaderBuffer& into) {
  HeaderWriter header({MessageType::pong}, route, into);
  header.body().put(message.epoch.value);
  header.finish();
}

void encode(const Route& route, const Cancel& message, HeaderBuffer& into) {
  HeaderWriter header({MessageType::cancel}, route, into);
  header.body().put(message.sequence);
  header.finish();
}

void encode(const Route& route, const ErrorReply& message, HeaderBuffer& into) {
  TARN_CHECK(message.code != Code::ok);
  HeaderWriter header({MessageType::error_reply}, route, into);
  Writer& out = header.body();
  out.put(message.epoch.value);
  out.put(static_cast<uint8_t>(message.code));
  put_text(out, message.message);
  header.finish();
}

}  // namespace tarn::wire
