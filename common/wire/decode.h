#pragma once

#include "common/wire/cursor.h"
#include "common/wire/message.h"
#include "common/wire/refusal.h"

namespace tarn::wire {

// Reads the envelope of a header that anyone may have made; the bytes may be unaligned.
// Returns: none, or what is wrong with the envelope (too_short to length, but direction).
Refusal decode_envelope(Bytes header, Envelope& envelope);

bool is_request(MessageType type);

// Reads what follows the envelope. `header` is the whole header, of which decode_envelope gave
// `envelope`, and must not change meanwhile: copy it out first.
// Returns: none, direction, truncated, trailing_bytes, field.
Refusal decode_request(Bytes header, const Envelope& envelope, Request& request);
Refusal decode_reply(Bytes header, const Envelope& envelope, Reply& reply);

// The bytes that must come with a message, by what it says.
uint64_t payload_bytes_of(const Request& request);
uint64_t payload_bytes_of(const Reply& reply);

// What get, put, exists and remove have in common; null for a ping.
const RequestHead* head_of(const Request& request);

}  // namespace tarn::wire
