#include "server/rpc/connections.h"

#include <cstring>
#include <utility>

#include "common/auth/secret.h"
#include "common/base/check.h"
#include "common/base/fault_point.h"

namespace tarn::server {
namespace {

// Who shows a ticket must be who it was made for.
bool is_holder(const auth::Identity& caller, const auth::Identity& holder) {
  if (caller.role == auth::Role::server) return caller == holder;
  return !caller.tenant.empty() && caller.tenant == holder.tenant;
}

std::string in_words(const fabric::Offer& offer, const std::string& why) {
  return std::string(fabric::kind_name(offer.kind)) + ": " + why;
}

}  // namespace

void Connections::set_view(lane::ClusterViewPtr view) {
  const MutexLock lock(x_mutex);
  x_view = std::move(view);
}

void Connections::set_ticket_grace(Millis grace) {
  const MutexLock lock(x_mutex);
  x_grace = grace;
}

Result<Connections::Judged> Connections::judge(const auth::Identity& caller,
                                               const std::string& ticket) const {
  const MutexLock lock(x_mutex);
  if (x_view == nullptr) return unavailable("this server has no config from a router yet");
  const ring::ClusterConfig& config = x_view->config;
  auth::TicketRules rules;
  rules.keys = config.ticket_keys;
  rules.now_ms = x_options.clock->unix_ms();
  rules.grace_ms = x_grace.count();
  rules.revocation_of = [&config](std::string_view tenant) {
    const auto found = config.revocations.find(std::string(tenant));
    return found == config.revocations.end() ? uint64_t{0} : found->second;
  };
  Judged judged;
  TARN_ASSIGN_OR_RETURN(judged.ticket, auth::open_ticket(ticket, rules));
  if (!is_holder(caller, judged.ticket.holder)) {
    return permission_denied("the ticket was made for somebody else");
  }
  TARN_ASSIGN_OR_RETURN(judged.client_key, auth::client_key(ticket, config.ticket_keys));
  judged.epoch = config.epoch;
  return judged;
}

std::string Connections::objection(const fabric::Offer& offer) const {
  const FabricTerms& terms = x_options.terms;
  const bool is_shm = offer.kind == fabric::Kind::ucx_shm;
  if (offer.address.empty()) return "no address";
  if (offer.kind == fabric::Kind::grpc) return {};
  if (offer.kind == fabric::Kind::local) return objection_to_local(offer);
  if (offer.kind != fabric::Kind::ucx && !is_shm) return "not served here";
  const std::string& settings = is_shm ? terms.ucx_shm_settings : terms.ucx_settings;
  if (settings.empty()) {
    return is_shm ? "shared memory is not trusted here" : "this server has none";
  }
  if (offer.version != terms.ucx_version) {
    return "version " + offer.version + ", here " + terms.ucx_version;
  }
  if (offer.settings != settings) return "other settings than here";
  if (is_shm && offer.host != terms.host) return "on another host";
  return {};
}

std::string Connections::objection_to_local(const fabric::Offer& offer) const {
  const FabricTerms& terms = x_options.terms;
  if (terms.local_version.empty()) return "not served here";
  if (offer.version != terms.local_version) {
    return "version " + offer.version + ", here " + terms.local_version;
  }
  if (offer.host != terms.local_host) return "on another host";
  if (offer.settings != terms.local_folder) return "by another folder than here";
  return {};
}

Status Connections::add_to_lanes(const lane::PeerSpec& spec) {
  for (lane::Lane* lane : x_options.lanes) {
    const Status added = lane->add_peer(spec, kLaneTimeout);
    if (added.is_ok()) continue;
    for (lane::Lane* each : x_options.lanes)
      (void)each->remove_peer(spec.connection_id);
    return added;
  }
  return Status::ok();
}

void Connections::fill_ports(fabric::Kind kind, Wired& wired) const {
  wired.fabric = kind;
  for (const lane::Lane* lane : x_options.lanes) {
    for (const auto& port : lane->ports()) {
      if (port.kind != kind) continue;
      wired.transport = port.transport;
      if (kind != fabric::Kind::grpc) wired.lane_addresses.push_back(port.address);
    }
  }
}

Result<Wired> Connections::connect(const auth::Identity& caller, const std::string& ticket,
                                   const std::vector<fabric::Offer>& offers) {
  if (TARN_FAULT_POINT("server.connect")) return unavailable("connect: fault point");
  if (offers.empty() || offers.size() > kOffersMax) {
    return invalid_argument("offers: 1 to 8 fabrics");
  }
  TARN_ASSIGN_OR_RETURN(const Judged judged, judge(caller, ticket));
  TARN_ASSIGN_OR_RETURN(const std::string random, auth::random_bytes(24));
  Wired wired;
  std::memcpy(&wired.connection_id, random.data(), 8);
  // The upper half of the numbers is for the lanes' own connections.
  wired.connection_id = (wired.connection_id >> 1) | 1;
  std::memcpy(wired.nonce.data(), random.data() + 8, 16);
  wired.epoch = judged.epoch;
  lane::PeerSpec spec;
  spec.connection_id = wired.connection_id;
  spec.ticket = judged.ticket;
  spec.client_key = judged.client_key;
  spec.binding = {x_options.incarnation, wired.nonce};
  for (const fabric::Offer& offer : offers) {
    std::string why = objection(offer);
    if (why.empty()) {
      spec.fabric = offer.kind;
      spec.address = offer.address;
      const Status added = add_to_lanes(spec);
      if (added.is_ok()) {
        fill_ports(offer.kind, wired);
        return wired;
      }
      why = added.message();
    }
    wired.refused_offers += (wired.refused_offers.empty() ? "" : "; ") + in_words(offer, why);
  }
  return unsupported("no offer can be taken: " + wired.refused_offers);
}

Status Connections::disconnect(const auth::Identity& caller, uint64_t connection_id) {
  for (lane::Lane* lane : x_options.lanes)
    TARN_RETURN_IF_ERROR(lane->remove_peer_of(connection_id, caller.tenant, kLaneTimeout));
  return Status::ok();
}

}  // namespace tarn::server
