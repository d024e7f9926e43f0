#include "server/lane/put_service.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/base/check.h"
#include "common/base/fault_point.h"
#include "common/block/checksum.h"
#include "common/ring/position.h"

namespace tarn::lane {
namespace {

const TenantId& tenant_of(const Peer& peer, const wire::PutRequest& request) {
  return request.head.for_tenant ? request.head.tenant : peer.tenant;
}

Position position_of(const Peer& peer, const wire::PutRequest& request) {
  return ring::position_of(tenant_of(peer, request), request.head.space, request.anchor);
}

}  // namespace

PutService::PutService(Desk& desk, Backups& backups)
    : x_desk(desk), x_backups(backups), x_works(kPutsMax) {}

void PutService::begin(Peer& peer, wire::Route route, const wire::PutRequest& request,
                       fabric::Payload& payload) {
  const Position position = position_of(peer, request);
  if (const Status fit = check(peer, request, position); !fit.is_ok()) {
    x_desk.refuse(peer, route, fit);
    return;
  }
  Work* work = take(peer, route, request);
  if (work == nullptr) {
    x_desk.refuse(peer, route, overloaded("the lane takes too many puts"));
    return;
  }
  auto slot = x_desk.tier.reserve(block_put(*work));
  if (slot) {
    receive(*work, std::move(*slot), payload);
  } else if (slot.error().code() == Code::exists) {
    x_desk.metrics.put_exists.add();
    keep(*work);
  } else if (slot.error().code() == Code::conflict) {
    refuse(*work, overloaded(slot.error().message()));
  } else {
    refuse(*work, slot.error());
  }
}

Status PutService::check(const Peer& peer, const wire::PutRequest& request,
                         Position position) const {
  if (peer.bytes + request.payload_bytes > 2 * kCreditBytesPromised) {
    return overloaded("more payload in flight than was granted");
  }
  if (ring::lane_of(position, x_desk.lane_count) != x_desk.lane) {
    return invalid_argument("the block's position belongs to another lane");
  }
  if (x_desk.view == nullptr || x_desk.view->self == ring::kNoServer) {
    return unavailable("this server is no member of the cluster yet");
  }
  if (request.sampled && !peer.is_local) {
    return invalid_argument("a put by way of a wire brings the checksum of all its bytes");
  }
  if (request.on_flash && !x_desk.has_flash && !request.allow_less) {
    return unsupported("class flash: this server has no drive (flash_paths)");
  }
  const Epoch ours = x_desk.epoch();
  const Epoch theirs = request.head.epoch;
  // A primary may know an epoch that has not reached its backup yet; it never knows an older one.
  const bool fits = request.backup ? theirs >= ours : theirs == ours;
  if (!fits) {
    return stale_epoch("epoch " + std::to_string(theirs.value) + "; this server runs " +
                       std::to_string(ours.value));
  }
  return request.backup ? Status::ok() : check_place(request, position);
}

Status PutService::check_place(const wire::PutRequest& request, Position position) const {
  const ring::Ring& ring = x_desk.view->ring;
  const auto owners = ring.owners(position, 1);
  if (owners.empty() || owners.front() != x_desk.view->self) {
    return stale_epoch("this server is not the block's primary");
  }
  if (request.copies > ring.domain_count() && !request.allow_less) {
    return unavailable("class replicated " + std::to_string(request.copies) + " needs as many " +
                       "failure domains; the cluster has " + std::to_string(ring.domain_count()));
  }
  return Status::ok();
}

PutService::Work* PutService::take(Peer& peer, wire::Route route, const wire::PutRequest& request) {
  Work* work = x_works.take();
  if (work == nullptr) return nullptr;
  const Instant now = x_desk.clock.now();
  work->peer = &peer;
  work->route = route;
  work->request = request;
  work->key = {tenant_of(peer, request), request.head.space, request.shard, request.hash};
  work->position = position_of(peer, request);
  work->began = work->stage_began = now;
  work->deadline = deadline_of(request.head, now);
  work->is_receiving = work->is_new = work->is_less = false;
  const uint32_t domains = std::max(1u, x_desk.view->ring.domain_count());
  const uint32_t wanted = request.backup ? 1 : request.copies;
  work->copies_wanted = static_cast<uint8_t>(std::min({wanted, domains, ring::kOwnersMax}));
  ++peer.requests;
  peer.bytes += request.payload_bytes;
  return work;
}

store::BlockPut PutService::block_put(const Work& work) const {
  const wire::PutRequest& request = work.request;
  store::BlockPut put;
  put.header.key = work.key;
  put.header.anchor = request.anchor;
  put.header.index = request.index;
  put.header.payload_bytes = request.payload_bytes;
  put.header.payload_crc = request.payload_crc;
  put.parent = request.parent;
  put.extent_blocks = request.kind == block::SpaceKind::flat ? 1 : request.extent_blocks;
  return put;
}

void PutService::receive(Work& work, store::Slot slot, fabric::Payload& payload) {
  work.slot = std::move(slot);
  work.is_receiving = true;
  const fabric::MutableBytes into = work.slot.bytes();
  payload.receive(std::span(&into, 1),
                  [this, &work](Code code, uint32_t crc32c) { on_received(work, code, crc32c); });
}

// `crc32c` was made from the bytes as they were copied out of the putter's memory: there is nothing
// on the way that it could find, and a sample says whether they are those that were meant.
bool PutService::is_intact(const Work& work, uint32_t crc32c) {
  if (!work.request.sampled) return crc32c == work.request.payload_crc;
  const auto bytes = work.slot.bytes();
  return block::sample_crc32c(bytes.data(), bytes.size()) == work.request.payload_crc;
}

void PutService::on_received(Work& work, Code code, uint32_t crc32c) {
  TARN_CHECK(work.is_receiving);
  work.is_receiving = false;
  if (TARN_FAULT_POINT("store.put_receive")) code = Code::unavailable;
  if (code != Code::ok) {
    refuse(work, {code, "the payload did not arrive"});
    return;
  }
  if (!is_intact(work, crc32c)) {
    x_desk.metrics.corrupt_payloads.add();
    refuse(work, corrupt("the payload's checksum is not the one it was put with"));
    return;
  }
  if (TARN_FAULT_POINT("store.put_visible")) {
    refuse(work, internal_error("the block was not made visible: fault point"));
    return;
  }
  work.slot.set_payload_crc(crc32c);
  x_desk.tier.publish(std::move(work.slot));
  work.is_new = true;
  x_desk.metrics.put_blocks.add();
  x_desk.metrics.put_bytes.add(work.request.payload_bytes);
  const Instant now = x_desk.clock.now();
  x_desk.metrics.put_receive.record(now - work.stage_began);
  work.stage_began = now;
  keep(work);
}

// The block is visible here; what is left is its class.
void PutService::keep(Work& work) {
  if (!work.request.on_flash) return replicate(work);
  x_desk.tier.persist(work.key, work.deadline,
                      [this, &work](const Status& outcome) { on_persisted(work, outcome); });
}

void PutService::on_persisted(Work& work, const Status& outcome) {
  const Instant now = x_desk.clock.now();
  x_desk.metrics.put_persist.record(now - work.stage_began);
  work.stage_began = now;
  work.is_less = !outcome.is_ok();
  if (work.is_less && !work.request.allow_less) {
    const Code code = outcome.code() == Code::not_found ? Code::unavailable : outcome.code();
    return refuse(work, {code, "class flash: " + std::string(outcome.message())});
  }
  replicate(work);
}

void PutService::replicate(Work& work) {
  if (work.copies_wanted <= 1) {
    answer(work, 1, nullptr);
    return;
  }
  x_desk.tier.read(work.key, work.deadline, [this, &work](Result<store::Pin> pin) {
    if (!pin) {
      refuse(work, unavailable("the block went before it was replicated"));
      return;
    }
    work.pin = std::move(*pin);
    feed_backups(work);
  });
}

void PutService::feed_backups(Work& work) {
  const block::BlockHeader& header = work.pin.header();
  Feed& feed = work.feed;
  feed.request = work.request;
  feed.request.head.epoch = x_desk.epoch();
  feed.request.head.for_tenant = true;
  feed.request.head.tenant = work.key.tenant;
  feed.request.backup = true;
  feed.request.sampled = false;
  feed.request.allow_less = false;
  // What this server could not keep on flash, others need not.
  feed.request.on_flash = work.request.on_flash && !work.is_less;
  feed.request.copies = 1;
  // What is kept here counts, not what this put says: the first copy has won.
  feed.request.anchor = header.anchor;
  feed.request.index = static_cast<uint16_t>(header.index);
  feed.request.payload_bytes = header.payload_bytes;
  feed.request.payload_crc = header.payload_crc;
  feed.payload = work.pin.bytes();
  feed.deadline = work.deadline;
  feed.position = ring::position_of(work.key.tenant, work.key.space, header.anchor);
  feed.targets.clear();
  const auto owners = x_desk.view->ring.owners(feed.position, work.copies_wanted);
  for (const ServerId id : owners) {
    if (id != x_desk.view->self) feed.targets.push_back(id);
  }
  feed.on_end = [this, &work](Feed&) { on_fed(work); };
  x_backups.feed(feed);
}

void PutService::on_fed(Work& work) {
  x_desk.metrics.put_replicate.record(x_desk.clock.now() - work.stage_began);
  const auto copies = static_cast<uint8_t>(1 + work.feed.kept);
  if (x_desk.tier.find(work.key) == nullptr) {
    // Removed meanwhile: nobody would ask its backups later.
    remove_copies(work.pin.header(), copies);
  } else {
    auto& known = x_copies[work.key];
    known = std::max(known, copies);
  }
  answer(work, copies, &work.feed);
}

void PutService::answer(Work& work, uint8_t copies, const Feed* feed) {
  wire::PutReply reply;
  reply.epoch = x_desk.epoch();
  reply.copies = copies;
  const uint8_t wanted = work.request.backup ? 1 : work.request.copies;
  if (work.is_less) {
    reply.code = Code::kept_less;
    reply.message = wire::make_text("kept in memory alone");
  } else if (copies >= wanted) {
    reply.code = work.is_new ? Code::ok : Code::exists;
  } else if (work.request.allow_less) {
    reply.code = Code::kept_less;
  } else {
    const Code worst = feed == nullptr ? Code::unavailable : feed->worst;
    const bool is_telling = worst == Code::extent_full || worst == Code::stale_epoch;
    reply.code = is_telling ? worst : Code::unavailable;
    reply.message = wire::make_text(feed == nullptr ? "too few copies" : feed->message);
    x_desk.metrics.refused(reply.code);
  }
  x_desk.replies.send(*work.peer, work.route, reply);
  finish(work);
}

void PutService::refuse(Work& work, const Status& why) {
  x_desk.metrics.refused(why.code());
  wire::PutReply reply;
  reply.epoch = x_desk.epoch();
  reply.code = why.code();
  reply.message = wire::make_text(why.message());
  x_desk.replies.send(*work.peer, work.route, reply);
  finish(work);
}

void PutService::finish(Work& work) {
  work.slot.abandon();
  work.pin.release();
  --work.peer->requests;
  work.peer->bytes -= work.request.payload_bytes;
  x_works.give_back(work);
}

void PutService::on_removed(const block::BlockHeader& header, bool is_asked) {
  const auto found = x_copies.find(header.key);
  const bool is_known = found != x_copies.end();
  if (!is_known && !is_asked) return;
  const uint32_t copies = is_asked ? ring::kOwnersMax : uint32_t{found->second};
  if (is_known) x_copies.erase(found);
  remove_copies(header, copies);
}

void PutService::remove_copies(const block::BlockHeader& header, uint32_t copies) {
  if (x_desk.view == nullptr) return;
  const Position position = ring::position_of(header.key.tenant, header.key.space, header.anchor);
  const auto owners = x_desk.view->ring.owners(position, copies);
  // Who is the primary no more does not speak for the copies: theirs may be the ones in use.
  if (owners.empty() || owners.front() != x_desk.view->self) return;
  for (const ServerId id : owners) {
    if (id != x_desk.view->self) x_backups.remove(id, position, header.key);
  }
}

size_t PutService::tick(Instant now) {
  size_t done = 0;
  x_works.for_each([&](Work& work) {
    if (!work.is_receiving || work.deadline >= now || work.peer->is_closed) return;
    // The only way to stop the peer's fabric from writing: the callback comes later.
    x_desk.metrics.forced_closes.add();
    x_desk.peers.close(*work.peer);
    ++done;
  });
  return done;
}

}  // namespace tarn::lane
