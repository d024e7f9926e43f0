#include "sdk/cpp/src/peer_table.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "common/base/fault_point.h"
#include "common/base/log.h"
#include "common/ring/position.h"

namespace tarn::sdk {
namespace {

constexpr Nanos kRetryFirst = std::chrono::milliseconds(20);
constexpr Nanos kRetryMost = std::chrono::milliseconds(500);
// Between two looks whether a connection can be had anew under a newer ticket.
constexpr Nanos kRenewPause = std::chrono::milliseconds(250);

// At once after the loss of a connection that worked.
Nanos retry_pause(uint32_t failures) {
  if (failures == 0) return Nanos(0);
  return std::min(kRetryFirst * (1 << std::min(failures, 6u)), kRetryMost);
}

}  // namespace

PeerTable::PeerTable(Options options) : x_options(std::move(options)), x_now(system_clock().now()) {
  TARN_CHECK(x_options.ports.size() == x_options.offers.size());
  TARN_CHECK(x_options.connect != nullptr && x_options.on_change != nullptr);
  TARN_CHECK(x_options.ticket_end != nullptr);
}

void PeerTable::update(const View& view) {
  for (auto at = x_peers.begin(); at != x_peers.end();) {
    Peer& peer = at->second;
    const ring::Member* const member = ring::find_member(view.config, at->first);
    const bool is_same = member != nullptr && member->incarnation == peer.member.incarnation &&
                         member->control_endpoint == peer.member.control_endpoint;
    if (!is_same) {
      lose(peer, unavailable(peer.member.name + " has left or begun another life"));
      at = x_peers.erase(at);
    } else {
      peer.member = *member;
      ++at;
    }
  }
  for (const ring::Member& member : view.config.members) {
    if (x_peers.contains(member.id)) continue;
    Peer& peer = x_peers[member.id];
    peer.member = member;
  }
  x_options.on_change();
}

Peer* PeerTable::find(ServerId id) {
  const auto found = x_peers.find(id);
  return found == x_peers.end() ? nullptr : &found->second;
}

PeerTable::Readiness PeerTable::readiness(Peer& peer, Instant now) {
  if (peer.state == Peer::State::up && !peer.reset) return Readiness::up;
  if (peer.state == Peer::State::idle ||
      (peer.state == Peer::State::down && now >= peer.retry_at)) {
    begin_connect(peer);
  }
  const bool is_hopeful = !peer.was_lost || (peer.failures <= 1 && !peer.was_mute);
  if (peer.state == Peer::State::connecting && is_hopeful) return Readiness::wait;
  return Readiness::down;
}

Lane& PeerTable::lane_for(Peer& peer, Position position) {
  TARN_CHECK(peer.state == Peer::State::up && !peer.lanes.empty());
  return *peer.lanes[ring::lane_of(position, static_cast<uint32_t>(peer.lanes.size()))];
}

void PeerTable::begin_connect(Peer& peer, std::optional<Wireup> former) {
  TARN_CHECK(peer.state != Peer::State::connecting);
  if (x_closed) return;
  ConnectCall call;
  call.former = std::move(former);
  call.server = peer.member.id;
  call.attempt = x_next_attempt++;
  call.endpoint = peer.member.control_endpoint;
  call.wants_ticket = std::exchange(peer.wants_ticket, false);
  for (const fabric::Offer& offer : x_options.offers) {
    if (!peer.bars(offer.kind) || x_options.offers.size() == 1) call.offers.push_back(offer);
  }
  peer.attempt = call.attempt;
  peer.state = Peer::State::connecting;
  if (Status begun = x_options.connect(std::move(call)); !begun.is_ok()) fail(peer, begun);
}

void PeerTable::on_connected(ServerId id, uint64_t attempt, Result<Wireup> result) {
  Peer* const peer = find(id);
  const bool is_awaited =
      peer != nullptr && peer->state == Peer::State::connecting && peer->attempt == attempt;
  if (!is_awaited || x_closed) return;
  if (!result) {
    if (result.error().code() == Code::unauthenticated) peer->wants_ticket = true;
    return fail(*peer, result.error());
  }
  const fabric::Kind kind = result->fabric;
  if (Status wired = wire_up(*peer, std::move(result).value()); !wired.is_ok()) {
    if (kind != fabric::Kind::grpc) peer->bar(kind);
    return fail(*peer, wired);
  }
  x_options.on_change();
}

Status PeerTable::wire_up(Peer& peer, Wireup wireup) {
  if (TARN_FAULT_POINT("sdk.wire_up")) return unavailable("the fabric leads nowhere");
  fabric::Port* const port = port_of(wireup.fabric);
  TARN_CHECK(port != nullptr);
  peer.wireup = std::move(wireup);
  std::vector<std::unique_ptr<Lane>> lanes;
  Status failed;
  for (uint32_t index = 0; index < peer.wireup.lane_addresses.size() && failed.is_ok(); ++index) {
    auto lane = open_lane(peer, index, *port);
    if (!lane) {
      failed = lane.error();
    } else {
      lanes.push_back(std::move(lane).value());
    }
  }
  if (!failed.is_ok()) {
    for (std::unique_ptr<Lane>& lane : lanes) {
      lane->link->lost(failed);
      x_dying.push_back(std::move(lane));
    }
    return failed;
  }
  peer.lanes = std::move(lanes);
  // At three quarters of what the ticket has left, by when the next one is at hand.
  const Millis left(peer.wireup.ticket_expires_unix_ms - system_clock().unix_ms());
  peer.renew_at = x_now + std::max<Nanos>(left * 3 / 4, kRenewPause);
  peer.state = Peer::State::up;
  peer.has_spoken = false;
  peer.last_error = Status::ok();
  return Status::ok();
}

Result<std::unique_ptr<Lane>> PeerTable::open_lane(const Peer& peer, uint32_t index,
                                                   fabric::Port& port) {
  const uint64_t number = x_next_number++;
  const Wireup& wireup = peer.wireup;
  fabric::LinkOptions options;
  options.identity = {
      wireup.connection_id, wireup.nonce,        wireup.incarnation, static_cast<uint16_t>(index),
      wireup.credits,       wireup.credit_bytes, wireup.pieces};
  options.client_key = wireup.client_key;
  TARN_ASSIGN_OR_RETURN(options.connection,
                        connect_lane(port, wireup, {index, number, [this, number](Status why) {
                                                      on_lost(number, std::move(why));
                                                    }}));
  auto lane = std::make_unique<Lane>();
  lane->number = number;
  lane->server = peer.member.id;
  lane->heard = x_now;
  TARN_ASSIGN_OR_RETURN(lane->link, fabric::Link::open(std::move(options)));
  lane->ping.on_end = [raw = lane.get()](fabric::LinkOp& op) {
    raw->is_pinging = false;
    if (op.code == Code::deadline_exceeded && raw->heard < raw->asked) {
      raw->is_mute = true;
    }
  };
  x_links.add(number, *lane->link);
  x_lanes.emplace(number, lane.get());
  return lane;
}

void PeerTable::on_message(uint64_t number, fabric::Bytes header, fabric::Payload& payload) {
  const auto found = x_lanes.find(number);
  if (found != x_lanes.end()) {
    found->second->heard = x_now;
    if (Peer* const peer = find(found->second->server)) {
      peer->was_lost = false;
      peer->was_mute = false;
      peer->has_spoken = true;
      peer->failures = 0;
    }
  }
  x_links.on_message(number, header, payload);
}

void PeerTable::on_lost(uint64_t number, Status why) {
  const auto found = x_lanes.find(number);
  if (found == x_lanes.end()) return;
  Lane& lane = *found->second;
  Peer* const peer = find(lane.server);
  const bool is_current =
      peer != nullptr && std::any_of(peer->lanes.begin(), peer->lanes.end(),
                                     [&](const auto& each) { return each.get() == &lane; });
  if (is_current) return lose(*peer, std::move(why));
  lane.link->lost(std::move(why));
}

// A connection could not be made.
void PeerTable::fail(Peer& peer, Status why) {
  log::debug("{} cannot be reached: {}", peer.member.name, why.to_string());
  peer.state = Peer::State::down;
  peer.was_lost = true;
  peer.retry_at = x_now + retry_pause(peer.failures++);
  peer.last_error = std::move(why);
  x_options.on_change();
}

// Closes all lanes: the server's next connection is one for all of them.
void PeerTable::lose(Peer& peer, Status why) {
  peer.reset.reset();
  if (peer.state != Peer::State::up) return;
  log::debug("connection to {} lost: {}", peer.member.name, why.to_string());
  ++x_lost_total;
  const bool led_nowhere = !peer.has_spoken && peer.wireup.fabric != fabric::Kind::grpc;
  if (led_nowhere) peer.bar(peer.wireup.fabric);
  let_go(peer, why);
  fail(peer, std::move(why));
}

void PeerTable::let_go(Peer& peer, const Status& why) {
  for (std::unique_ptr<Lane>& lane : std::exchange(peer.lanes, {})) {
    lane->link->lost(why);
    x_dying.push_back(std::move(lane));
  }
}

// Nothing is in flight, so nobody notices but for the moment that a Connect takes.
void PeerTable::renew(Peer& peer) {
  TARN_CHECK(peer.state == Peer::State::up);
  peer.renew_at = x_now + kRenewPause;
  if (x_options.ticket_end() <= peer.wireup.ticket_expires_unix_ms) return;
  log::debug("connecting to {} anew, with a newer ticket", peer.member.name);
  let_go(peer, cancelled("connecting anew"));
  peer.state = Peer::State::idle;
  begin_connect(peer, std::move(peer.wireup));
  x_options.on_change();
}

void PeerTable::turn(Instant now) {
  x_now = now;
  x_next_wake = kNever;
  for (auto& [id, peer] : x_peers) {
    bool is_mute = false;
    bool is_idle = true;
    for (size_t i = 0; i < peer.lanes.size(); ++i) {
      Lane& lane = *peer.lanes[i];
      lane.link->expire(now);
      if (lane.link->is_lost() && !peer.reset) peer.reset = lane.link->lost_status();
      if (!lane.link->is_lost()) watch(lane, now);
      is_mute |= lane.is_mute;
      is_idle &= lane.link->is_idle();
      x_next_wake = std::min(x_next_wake, lane.link->next_deadline());
    }
    if (is_mute) peer.reset = unavailable(peer.member.name + " does not answer");
    peer.was_mute |= is_mute;
    if (peer.reset) lose(peer, *std::exchange(peer.reset, std::nullopt));
    if (peer.state == Peer::State::up && is_idle) {
      if (now >= peer.renew_at) renew(peer);
      x_next_wake = std::min(x_next_wake, peer.renew_at);
    }
    if (peer.state == Peer::State::down) x_next_wake = std::min(x_next_wake, peer.retry_at);
  }
  sweep();
}

// Notices a server that owes answers and is silent, which fabrics do not.
void PeerTable::watch(Lane& lane, Instant now) {
  if (lane.link->is_idle()) {
    lane.heard = now;
    lane.silence = kSilenceMost;
    return;
  }
  const Instant ask_at = lane.heard + lane.silence / 3;
  if (lane.is_pinging) return;
  if (now < ask_at) {
    x_next_wake = std::min(x_next_wake, ask_at);
  } else {
    ping(lane, now);
  }
}

void PeerTable::ping(Lane& lane, Instant now) {
  lane.ping.deadline = std::max(lane.heard + lane.silence, now + lane.silence / 2);
  lane.asked = now;
  lane.is_pinging = lane.link->submit(lane.ping).is_ok();
}

void PeerTable::sweep() {
  std::erase_if(x_dying, [this](const std::unique_ptr<Lane>& lane) {
    if (!lane->link->is_idle()) return false;
    x_links.remove(lane->number);
    x_lanes.erase(lane->number);
    return true;
  });
}

std::vector<Wireup> PeerTable::close() {
  x_closed = true;
  std::vector<Wireup> connected;
  for (auto& [id, peer] : x_peers) {
    if (peer.state == Peer::State::up) connected.push_back(peer.wireup);
    lose(peer, cancelled("the client is closing"));
  }
  return connected;
}

fabric::Port* PeerTable::port_of(fabric::Kind kind) const {
  for (const auto& port : x_options.ports)
    if (port->kind() == kind) return port.get();
  return nullptr;
}

bool PeerTable::all_sum_puts() const {
  bool is_any = false;
  for (const auto& [id, peer] : x_peers) {
    if (peer.state != Peer::State::up) continue;
    if (!peer.sums_puts()) return false;
    is_any = true;
  }
  return is_any;
}

std::vector<ConnectionInfo> PeerTable::connections() const {
  std::vector<ConnectionInfo> all;
  for (const auto& [id, peer] : x_peers) {
    if (peer.state == Peer::State::idle) continue;
    ConnectionInfo info{peer.member.name, peer.member.control_endpoint, {}, {}};
    if (peer.state == Peer::State::up) {
      info.transport =
          std::string(fabric::kind_name(peer.wireup.fabric)) + ": " + peer.wireup.transport;
      info.note = peer.wireup.refused_offers;
    } else {
      info.note = peer.last_error.message();
    }
    all.push_back(std::move(info));
  }
  return all;
}

}  // namespace tarn::sdk
