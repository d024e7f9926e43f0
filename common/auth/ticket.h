#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/auth/identity.h"
#include "common/auth/secret.h"
#include "common/base/ids.h"
#include "common/base/result.h"
#include "common/base/ticket_key.h"

namespace tarn::auth {

// What a ticket allows: a set of these bits.
namespace right {
inline constexpr uint32_t kRead = 1;
inline constexpr uint32_t kWrite = 2;
inline constexpr uint32_t kAdmin = 4;
inline constexpr uint32_t kReplicate = 8;  // between servers, for all tenants
inline constexpr uint32_t kAll = 15;
}  // namespace right

// Limits of one ticket; a tenant with more spaces gets a ticket for all of them.
inline constexpr size_t kTicketSpacesMax = 64;
inline constexpr size_t kTicketBytesMax = 2048;

// What a router grants to the holder of a verified credential, for a short while, on every server.
// A plain value.
struct Ticket {
  Identity holder;              // tenant, worker, server or router; holder.tenant owns the data
  uint32_t rights = 0;          // of tarn::auth::right
  std::vector<SpaceId> spaces;  // empty: all of the tenant's
  uint64_t byte_rate = 0;       // bytes a second and server; 0 = no limit
  uint64_t op_rate = 0;         // blocks a second and server; 0 = no limit
  uint64_t revocation = 0;      // the tenant's number in the config when it was issued
  int64_t issued_ms = 0;        // Unix ms
  int64_t expires_ms = 0;       // Unix ms, after issued_ms
  std::array<uint8_t, 16> id{};

  bool allows(uint32_t wanted) const { return (rights & wanted) == wanted; }
  bool allows_space(const SpaceId& space) const;

  friend bool operator==(const Ticket&, const Ticket&) = default;
};

// A ticket as it travels, and the secret that its holder, and nobody else, gets with it.
struct SealedTicket {
  std::string bytes;       // shown once, in Connect
  std::string client_key;  // K_t: only over TLS
};

// A key with a fresh secret. Returns: the key; unavailable.
Result<TicketKey> make_ticket_key(uint32_t id, int64_t not_after_ms);

// Sets a fresh id and seals the ticket under the key (body, then HMAC-SHA256).
// Returns: the sealed ticket; invalid_argument naming the field that is wrong; unavailable.
Result<SealedTicket> seal_ticket(Ticket ticket, const TicketKey& key);

// What a ticket is held against.
struct TicketRules {
  std::span<const TicketKey> keys;  // the live ones
  int64_t now_ms = 0;               // Unix ms
  // Added to the ends of tickets and keys: clock skew, or more while no router can be reached.
  int64_t grace_ms = 0;
  // The config's revocation number of a tenant; none set: nothing is revoked.
  std::function<uint64_t(std::string_view tenant)> revocation_of;
};

// Reads a ticket that anyone may have made. Returns: the ticket; unauthenticated saying that it is
// malformed, of an unknown or ended key, forged, expired or revoked.
Result<Ticket> open_ticket(std::string_view bytes, const TicketRules& rules);

// For connections that outlive a change of the config: checks expiry and revocation again.
// Returns: ok; unauthenticated.
Status check_ticket(const Ticket& ticket, const TicketRules& rules);

// K_t of a ticket's bytes: HMAC-SHA256 under its key of a label (so that it is never a ticket's
// seal) and the whole ticket. Trust it only after open_ticket. Returns: kMacBytes bytes;
// unauthenticated when none of the keys is the ticket's.
Result<std::string> client_key(std::string_view ticket, std::span<const TicketKey> keys);

// What ties requests to one connection to one life of a server.
struct ConnectionBinding {
  Incarnation incarnation;
  std::array<uint8_t, 16> nonce{};  // drawn by the server for this connection
};

inline constexpr size_t kRequestMacBytes = 16;
using RequestTag = std::array<uint8_t, kRequestMacBytes>;

// The tag of each bulk request of one connection: the first 16 bytes of HMAC-SHA256(K_t, server
// incarnation u64 le, connection nonce, sequence u64 le, header). One-thread; keeps K_t's
// precomputed state; about 0.3 us a request. Client and server hold one each.
class RequestMac {
 public:
  // Returns: the signer; invalid_argument for a client key that is not kMacBytes long; internal.
  static Result<RequestMac> open(std::string_view client_key, const ConnectionBinding& binding);

  RequestTag compute(uint64_t sequence, std::string_view header);

  // In constant time; false for a tag of any other size.
  bool verify(uint64_t sequence, std::string_view header, std::string_view tag);

 private:
  RequestMac(MacKey key, const ConnectionBinding& binding);

  MacKey x_key;
  std::array<char, 32> x_prefix{};  // incarnation, nonce, then room for the sequence
};

// Which of the latest 1,024 sequence numbers a connection has used. One-thread; no allocation.
// Ask it only about requests whose tag has been verified, or a stranger could move the window.
class ReplayWindow {
 public:
  static constexpr uint64_t kSequences = 1024;

  // True once for each sequence number within the window; false for one seen before, or too old.
  bool accept(uint64_t sequence);

 private:
  void advance_to(uint64_t sequence);

  std::bitset<kSequences> x_seen;  // of sequence s at s % kSequences
  uint64_t x_newest = 0;
  bool x_is_empty = true;
};

}  // namespace tarn::auth
