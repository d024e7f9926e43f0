#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace tarn {

// Bytes in the secret of a ticket key.
inline constexpr size_t kTicketSecretBytes = 32;

// A key under which routers issue tickets and servers open them. Two or three are live at a time;
// the cluster's config carries them, over mTLS only. A plain value.
struct TicketKey {
  uint32_t id = 0;
  std::string secret;        // kTicketSecretBytes of randomness, never logged
  int64_t not_after_ms = 0;  // Unix ms; 0 = no end

  friend bool operator==(const TicketKey&, const TicketKey&) = default;
};

}  // namespace tarn
