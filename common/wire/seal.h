#pragma once

#include "common/auth/ticket.h"
#include "common/wire/encode.h"

namespace tarn::wire {

// Puts the MAC over the whole header, its own field counted as zero, into that field. Both sides
// sign with the connection's key; the type in the envelope keeps a request from passing as a reply.
void sign(HeaderBuffer& header, auth::RequestMac& mac);

// True when the MAC that `envelope` brought is the one of `header`, a copy that may be written: its
// MAC field is zero afterwards. Precondition: decode_envelope(header, envelope) gave none.
bool verify(MutableBytes header, const Envelope& envelope, auth::RequestMac& mac);

}  // namespace tarn::wire
