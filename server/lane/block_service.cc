#include "server/lane/block_service.h"

#include <utility>
#include <variant>

#include "common/base/check.h"
#include "common/base/fault_point.h"

namespace tarn::lane {
namespace {

// A requester whose ticket has ended is told so for a while before its connection goes.
constexpr Millis kEndedTicketsKept{600'000};
// Connections whose tickets have ended are looked for this often.
constexpr Nanos kTicketsEvery = std::chrono::seconds(1);

uint32_t right_for(const wire::Request& request) {
  if (const auto* put = std::get_if<wire::PutRequest>(&request)) {
    return put->backup ? auth::right::kReplicate : auth::right::kWrite;
  }
  if (const auto* remove = std::get_if<wire::RemoveRequest>(&request)) {
    return remove->backup ? auth::right::kReplicate : auth::right::kWrite;
  }
  return auth::right::kRead;
}

}  // namespace

BlockService::BlockService(Desk& desk, Backups& backups)
    : x_desk(desk),
      x_backups(backups),
      x_guard(desk.lane, [this](uint64_t id) { return find_guarded(id); }),
      x_gets(desk),
      x_puts(desk, backups) {
  x_asked.reserve(wire::kItemsMax);
  x_headers.reserve(wire::kItemsMax);
}

wire::GuardedPeer* BlockService::find_guarded(uint64_t connection_id) {
  x_found = x_desk.peers.find(connection_id);
  return x_found == nullptr ? nullptr : &x_found->guarded;
}

void BlockService::on_message(uint64_t link, fabric::Bytes header, fabric::Payload& payload) {
  wire::Envelope envelope;
  if (wire::decode_envelope(header, envelope) == wire::Refusal::none &&
      !wire::is_request(envelope.type)) {
    x_backups.links().on_message(link, header, payload);
    return;
  }
  x_found = nullptr;
  const wire::Admitted admitted = x_guard.check(header, payload.size());
  if (admitted.refusal != wire::Refusal::none) {
    x_desk.metrics.refused(admitted.refusal);
    if (!admitted.is_answerable() || x_found == nullptr) return;
    const std::string words = "request: " + std::string(wire::refusal_name(admitted.refusal));
    x_desk.replies.tell(*x_found, admitted.route, {x_desk.epoch(), Code::invalid_argument, words});
    return;
  }
  TARN_CHECK(x_found != nullptr);
  serve(*x_found, admitted, payload);
}

void BlockService::serve(Peer& peer, const wire::Admitted& admitted, fabric::Payload& payload) {
  const wire::Request& request = *admitted.request;
  if (std::holds_alternative<wire::Ping>(request)) {
    x_desk.replies.send(peer, admitted.route, wire::Pong{x_desk.epoch()});
    return;
  }
  if (const auto* cancel = std::get_if<wire::Cancel>(&request)) {
    return x_gets.cancel(peer, cancel->sequence);
  }
  if (peer.requests >= 2 * kCreditsPromised) {
    x_desk.refuse(peer, admitted.route, overloaded("more requests in flight than were granted"));
    return;
  }
  const wire::RequestHead& head = *wire::head_of(request);
  if (const Status may = check_head(peer, head, right_for(request)); !may.is_ok()) {
    x_desk.refuse(peer, admitted.route, may);
    return;
  }
  if (const auto* get = std::get_if<wire::GetRequest>(&request)) {
    x_gets.begin(peer, admitted.route, *get, tenant_of(peer, head));
  } else if (const auto* put = std::get_if<wire::PutRequest>(&request)) {
    x_puts.begin(peer, admitted.route, *put, payload);
  } else if (const auto* exists = std::get_if<wire::ExistsRequest>(&request)) {
    serve(peer, admitted.route, *exists);
  } else {
    serve(peer, admitted.route, std::get<wire::RemoveRequest>(request));
  }
}

bool BlockService::has_ended(const Peer& peer) const {
  return x_desk.clock.unix_ms() > peer.ticket.expires_ms + x_desk.ticket_grace.count();
}

void BlockService::close_ended() {
  x_desk.peers.for_each([this](Peer& peer) {
    const Millis told = x_desk.ticket_grace + kEndedTicketsKept;
    if (x_desk.clock.unix_ms() > peer.ticket.expires_ms + told.count()) x_desk.peers.close(peer);
  });
}

Status BlockService::check_head(const Peer& peer, const wire::RequestHead& head,
                                uint32_t right) const {
  if (has_ended(peer)) {
    return unauthenticated("the ticket has expired: take a new one and connect again");
  }
  if (!peer.ticket.allows(right)) return permission_denied("the ticket does not allow this");
  if (head.for_tenant && !peer.is_server()) {
    return permission_denied("only servers act for other tenants");
  }
  if (!head.for_tenant && peer.is_server()) {
    return invalid_argument("a server has to say for which tenant it acts");
  }
  if (!peer.is_server() && !peer.ticket.allows_space(head.space)) {
    return permission_denied("the ticket does not cover this space");
  }
  return Status::ok();
}

const TenantId& BlockService::tenant_of(const Peer& peer, const wire::RequestHead& head) const {
  return head.for_tenant ? head.tenant : peer.tenant;
}

void BlockService::serve(Peer& peer, wire::Route route, const wire::ExistsRequest& request) {
  const TenantId& tenant = tenant_of(peer, request.head);
  x_asked.clear();
  for (const wire::BlockItem& item : request.items)
    x_asked.push_back({tenant, request.head.space, item.shard, item.hash});
  x_headers.resize(x_asked.size());
  x_desk.tier.find_all(x_asked, x_headers);
  wire::ExistsReply reply;
  reply.epoch = x_desk.epoch();
  for (const block::BlockHeader* header : x_headers) {
    TARN_CHECK(reply.codes.push_back(header != nullptr ? Code::ok : Code::not_found));
  }
  x_desk.replies.send(peer, route, reply);
}

void BlockService::serve(Peer& peer, wire::Route route, const wire::RemoveRequest& request) {
  const bool fits =
      request.backup ? request.head.epoch >= x_desk.epoch() : request.head.epoch == x_desk.epoch();
  if (!fits) {
    x_desk.refuse(peer, route, stale_epoch("removals are fenced by the epoch"));
    return;
  }
  wire::RemoveReply reply;
  reply.epoch = x_desk.epoch();
  x_is_asked = !request.backup;
  for (const wire::BlockItem& item : request.items) {
    const block::BlockKey key{tenant_of(peer, request.head), request.head.space, item.shard,
                              item.hash};
    reply.codes.push_back(x_desk.tier.remove(key).code());
  }
  x_is_asked = false;
  x_desk.replies.send(peer, route, reply);
}

Status BlockService::add_peer(const PeerSpec& spec,
                              std::unique_ptr<fabric::Connection> connection) {
  TARN_CHECK(connection != nullptr);
  TARN_ASSIGN_OR_RETURN(Peer * peer, x_desk.peers.add(spec));
  peer->connection = std::move(connection);
  return Status::ok();
}

void BlockService::remove_peer(uint64_t connection_id) {
  if (Peer* peer = x_desk.peers.find(connection_id); peer != nullptr) x_desk.peers.close(*peer);
}

void BlockService::set_view(ClusterViewPtr view) {
  x_desk.view = std::move(view);
  x_backups.on_view();
  const auto& revocations = x_desk.view->config.revocations;
  x_desk.peers.for_each([&](Peer& peer) {
    const auto floor = revocations.find(peer.ticket.holder.tenant);
    if (floor != revocations.end() && peer.ticket.revocation < floor->second) {
      x_desk.peers.close(peer);
    }
  });
}

void BlockService::on_gone(const block::BlockHeader& header) {
  x_puts.on_removed(header, x_is_asked);
}

void BlockService::on_removed(const block::BlockHeader& header) {
  x_puts.on_removed(header, true);
}

size_t BlockService::tick(Instant now) {
  const size_t done = x_gets.tick(now) + x_puts.tick(now) + x_desk.replies.flush();
  if (now >= x_tickets_due) {
    x_tickets_due = now + kTicketsEvery;
    close_ended();
  }
  x_desk.peers.sweep();
  return done;
}

void BlockService::close_all() {
  x_desk.peers.for_each([this](Peer& peer) { x_desk.peers.close(peer); });
}

bool BlockService::is_idle() const {
  return x_gets.is_idle() && x_puts.is_idle() && x_desk.replies.is_idle();
}

}  // namespace tarn::lane
