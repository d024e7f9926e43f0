#include "common/fabric/link_table.h"

#include "common/base/check.h"

namespace tarn::fabric {

void LinkTable::add(uint64_t number, Link& link) {
  TARN_CHECK(number != 0);
  TARN_CHECK(x_by_number.emplace(number, &link).second);
}

void LinkTable::remove(uint64_t number) {
  TARN_CHECK(x_by_number.erase(number) == 1);
}

bool LinkTable::on_message(uint64_t number, Bytes header, Payload& payload) {
  Link* const link = find(number, header);
  if (link == nullptr) {
    ++x_unrouted;
    return false;
  }
  link->on_message(header, payload);
  return true;
}

Link* LinkTable::find(uint64_t number, Bytes header) const {
  if (number != 0) {
    const auto found = x_by_number.find(number);
    return found == x_by_number.end() ? nullptr : found->second;
  }
  wire::Envelope envelope;
  if (wire::decode_envelope(header, envelope) != wire::Refusal::none) return nullptr;
  for (const auto& [each, link] : x_by_number) {
    const LinkIdentity& identity = link->identity();
    if (identity.connection_id == envelope.route.connection_id &&
        identity.lane == wire::lane_of(envelope.route.sequence) && !link->is_lost()) {
      return link;
    }
  }
  return nullptr;
}

}  // namespace tarn::fabric
