#pragma once

#include <cstdint>
#include <string>

#include "common/base/clock.h"
#include "common/base/result.h"

// First contact with an address, by plain TCP.
namespace tarn::cli {

// Whether HOST:PORT is free to listen on. Returns: the port, for 0 one that was free; exists when
// something listens there; permission_denied for a port that is reserved; invalid_argument;
// unavailable (not an address of this machine).
Result<uint16_t> try_listen(const std::string& address);

// Connects, writes `request` and reads the answer, at most 64 KiB, until the peer closes.
// Returns: the answer, empty without a request; unavailable; invalid_argument.
Result<std::string> ask_by_tcp(const std::string& address, const std::string& request,
                               Millis timeout);

}  // namespace tarn::cli
