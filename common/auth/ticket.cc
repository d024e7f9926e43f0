#include "common/auth/ticket.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/auth/fields.h"
#include "common/base/check.h"
#include "common/base/fault_point.h"

namespace tarn::auth {
namespace {

constexpr uint8_t kTicketVersion = 1;
// What is MACed begins with one of these, so that K_t, which its holder knows, can never serve as
// the seal of another ticket.
constexpr std::string_view kSealLabel = "tarn ticket seal 1";
constexpr std::string_view kClientLabel = "tarn ticket client key 1";

Status bad_ticket(std::string_view reason) {
  return unauthenticated("the ticket " + std::string(reason));
}

// When a grace that begins at `time_ms` ends; past the end of time is the end of time.
int64_t end_of_grace(int64_t time_ms, int64_t grace_ms) {
  int64_t end = 0;
  const bool is_past = __builtin_add_overflow(time_ms, std::max<int64_t>(grace_ms, 0), &end);
  return is_past ? INT64_MAX : end;
}

bool may_hold_tickets(Role role) {
  return role != Role::admin;
}

std::string encode_body(const Ticket& ticket, uint32_t key_id) {
  FieldWriter out;
  out.put(kTicketVersion);
  out.put(key_id);
  out.put(static_cast<uint8_t>(ticket.holder.role));
  out.put_text(ticket.holder.name);
  out.put(ticket.rights);
  out.put(ticket.byte_rate);
  out.put(ticket.op_rate);
  out.put(ticket.revocation);
  out.put(ticket.issued_ms);
  out.put(ticket.expires_ms);
  for (const uint8_t byte : ticket.id)
    out.put(byte);
  out.put(static_cast<uint8_t>(ticket.spaces.size()));
  for (const SpaceId& space : ticket.spaces) {
    for (const uint8_t byte : space.bytes)
      out.put(byte);
  }
  return out.take();
}

bool read_16(FieldReader* in, std::array<uint8_t, 16>* bytes) {
  std::string_view raw;
  if (!in->get_bytes(bytes->size(), &raw)) return false;
  std::memcpy(bytes->data(), raw.data(), raw.size());
  return true;
}

bool read_spaces(FieldReader* in, std::vector<SpaceId>* spaces) {
  uint8_t count = 0;
  if (!in->get(&count) || count > kTicketSpacesMax) return false;
  spaces->resize(count);
  return std::all_of(spaces->begin(), spaces->end(),
                     [in](SpaceId& space) { return read_16(in, &space.bytes); });
}

Result<Ticket> decode_body(std::string_view body) {
  FieldReader in(body);
  Ticket ticket;
  uint8_t version = 0;
  uint32_t key_id = 0;
  uint8_t role_number = 0;
  std::string_view name;
  const bool is_complete =
      in.get(&version) && in.get(&key_id) && in.get(&role_number) && in.get_text(&name) &&
      in.get(&ticket.rights) && in.get(&ticket.byte_rate) && in.get(&ticket.op_rate) &&
      in.get(&ticket.revocation) && in.get(&ticket.issued_ms) && in.get(&ticket.expires_ms) &&
      read_16(&in, &ticket.id) && read_spaces(&in, &ticket.spaces) && in.is_at_end();
  const auto role = role_from_number(role_number);
  if (!is_complete || !role || !may_hold_tickets(*role)) return bad_ticket("is malformed");
  auto holder = make_identity(*role, name);
  if (!holder) return bad_ticket("names no valid holder");
  ticket.holder = *std::move(holder);
  return ticket;
}

const TicketKey* find_key(std::string_view bytes, std::span<const TicketKey> keys) {
  FieldReader in(bytes);
  uint8_t version = 0;
  uint32_t id = 0;
  if (!in.get(&version) || !in.get(&id) || version != kTicketVersion) return nullptr;
  const auto key = std::find_if(keys.begin(), keys.end(), [id](const TicketKey& candidate) {
    return candidate.id == id && candidate.secret.size() == kTicketSecretBytes;
  });
  return key == keys.end() ? nullptr : &*key;
}

Status check_sealable(const Ticket& ticket, const TicketKey& key) {
  if (key.secret.size() != kTicketSecretBytes) {
    return invalid_argument("ticket key: its secret has 32 bytes");
  }
  if (!may_hold_tickets(ticket.holder.role)) {
    return invalid_argument("holder: admins get no tickets, as they touch no blocks");
  }
  TARN_RETURN_IF_ERROR(make_identity(ticket.holder.role, ticket.holder.name).status());
  if ((ticket.rights & ~right::kAll) != 0) return invalid_argument("rights: an unknown bit");
  if (ticket.spaces.size() > kTicketSpacesMax) {
    return invalid_argument("spaces: a ticket names at most 64; leave it empty for all");
  }
  if (ticket.issued_ms < 0 || ticket.expires_ms <= ticket.issued_ms) {
    return invalid_argument("expires_ms: a ticket ends after it was issued");
  }
  return Status::ok();
}

}  // namespace

bool Ticket::allows_space(const SpaceId& space) const {
  return spaces.empty() || std::find(spaces.begin(), spaces.end(), space) != spaces.end();
}

Result<TicketKey> make_ticket_key(uint32_t id, int64_t not_after_ms) {
  TARN_ASSIGN_OR_RETURN(std::string secret, random_bytes(kTicketSecretBytes));
  return TicketKey{id, std::move(secret), not_after_ms};
}

Result<SealedTicket> seal_ticket(Ticket ticket, const TicketKey& key) {
  TARN_RETURN_IF_ERROR(check_sealable(ticket, key));
  TARN_ASSIGN_OR_RETURN(const std::string id, random_bytes(ticket.id.size()));
  std::memcpy(ticket.id.data(), id.data(), id.size());
  SealedTicket sealed{encode_body(ticket, key.id), {}};
  TARN_ASSIGN_OR_RETURN(const std::string seal,
                        hmac_sha256(key.secret, {kSealLabel, sealed.bytes}));
  sealed.bytes += seal;
  TARN_CHECK(sealed.bytes.size() <= kTicketBytesMax);
  TARN_ASSIGN_OR_RETURN(sealed.client_key, client_key(sealed.bytes, std::span(&key, 1)));
  return sealed;
}

Result<Ticket> open_ticket(std::string_view bytes, const TicketRules& rules) {
  if (TARN_FAULT_POINT("auth.ticket_open")) return bad_ticket("was refused by a fault point");
  if (bytes.size() <= kMacBytes || bytes.size() > kTicketBytesMax)
    return bad_ticket("is malformed");
  const TicketKey* key = find_key(bytes, rules.keys);
  if (key == nullptr) return bad_ticket("is of a key that this server does not know");
  const std::string_view body = bytes.substr(0, bytes.size() - kMacBytes);
  TARN_ASSIGN_OR_RETURN(const std::string seal, hmac_sha256(key->secret, {kSealLabel, body}));
  if (!equal_in_constant_time(seal, bytes.substr(body.size()))) {
    return bad_ticket("is forged or damaged");
  }
  if (key->not_after_ms != 0 && rules.now_ms >= end_of_grace(key->not_after_ms, rules.grace_ms)) {
    return bad_ticket("is of a key that has ended; get a new one from a router");
  }
  TARN_ASSIGN_OR_RETURN(Ticket ticket, decode_body(body));
  TARN_RETURN_IF_ERROR(check_ticket(ticket, rules));
  return ticket;
}

Status check_ticket(const Ticket& ticket, const TicketRules& rules) {
  if (rules.now_ms >= end_of_grace(ticket.expires_ms, rules.grace_ms)) {
    return bad_ticket("has expired; get a new one from a router");
  }
  if (rules.revocation_of && ticket.revocation < rules.revocation_of(ticket.holder.tenant)) {
    return bad_ticket("has been revoked; get a new one from a router");
  }
  return Status::ok();
}

Result<std::string> client_key(std::string_view ticket, std::span<const TicketKey> keys) {
  const TicketKey* key = find_key(ticket, keys);
  if (key == nullptr) return bad_ticket("is of a key that this server does not know");
  return hmac_sha256(key->secret, {kClientLabel, ticket});
}

}  // namespace tarn::auth
