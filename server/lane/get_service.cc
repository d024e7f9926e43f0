#include "server/lane/get_service.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/base/check.h"
#include "common/block/checksum.h"

namespace tarn::lane {
namespace {

Status too_late(Nanos estimate, Nanos left) {
  const auto ms = [](Nanos time) {
    return std::to_string(std::chrono::duration_cast<Millis>(time).count()) + " ms";
  };
  return overloaded("the answer would take " + ms(estimate) + ", and " + ms(left) + " are left");
}

}  // namespace

GetService::~GetService() {
  x_works.for_each([](Work& work) {
    if (work.peer->waiting.holds(work)) work.peer->waiting.remove(work);
  });
}

void GetService::begin(Peer& peer, wire::Route route, const wire::GetRequest& request,
                       const TenantId& tenant) {
  const Instant now = x_desk.clock.now();
  const Instant deadline = deadline_of(request.head, now);
  const uint64_t bytes = bytes_of(request, tenant);
  const Nanos estimate = peer.pace.estimate(bytes, now);
  // Past its deadline it is answered as such.
  if (now < deadline && estimate > deadline - now) {
    peer.pace.doubt();
    x_desk.refuse(peer, route, too_late(estimate, deadline - now));
    return;
  }
  const bool is_welcome = is_fair(peer.gets, kGetsMax - x_works.used());
  Work* work = is_welcome ? x_works.take() : nullptr;
  if (work == nullptr) {
    x_desk.refuse(peer, route, overloaded("the lane serves too many gets"));
    return;
  }
  work->peer = &peer;
  work->route = route;
  work->request = request;
  work->tenant = tenant;
  work->began = now;
  work->deadline = deadline;
  work->owed = bytes;
  work->next = 0;
  work->miss_count = 0;
  work->in_flight = 0;
  work->has_begun = false;
  work->summed = {};
  ++peer.requests;
  ++peer.gets;
  peer.pace.on_asked(bytes, now);
  settle(*work);
  pump();
}

// Of what is there and will be sent.
uint64_t GetService::bytes_of(const wire::GetRequest& request, const TenantId& tenant) const {
  uint64_t bytes = 0;
  for (size_t i = 0; i < request.items.size(); ++i) {
    const wire::GetItem& item = request.items[i];
    const block::BlockHeader* const header =
        x_desk.tier.find({tenant, request.head.space, item.shard, item.hash});
    if (header == nullptr || !fits(request, i, header->payload_bytes)) continue;
    bytes += request.pieces ? uint64_t{item.bytes_max} : uint64_t{header->payload_bytes};
  }
  return bytes;
}

// As many as may be sent at once; those before them have had their turn.
void GetService::read_ahead(const Work& work) const {
  const size_t end = std::min<size_t>(work.next + kSendsPerGetMax, work.request.items.size());
  for (size_t item = work.next == 0 ? 1 : end - 1; item < end; ++item)
    x_desk.tier.read_ahead(key_of(work, item));
}

block::BlockKey GetService::key_of(const Work& work, size_t index) {
  const wire::GetItem& item = work.request.items[index];
  return {work.tenant, work.request.head.space, item.shard, item.hash};
}

// Never runs inside itself: a read that ends at once is taken up by the loop.
void GetService::pump() {
  if (std::exchange(x_is_pumping, true)) return;
  while (const Turns::Flow* flow = x_turns.next())
    step(*flow->peer);
  x_is_pumping = false;
}

void GetService::step(Peer& peer) {
  Work& work = static_cast<Work&>(peer.waiting.front());
  if (peer.is_closed) return drop_rest(work);
  if (work.request.pieces && x_summed >= kSummedPerTurnMax) {
    x_sums_wait = true;
    rest(peer);
    return;
  }
  work.is_reading = work.is_stepping = true;
  if (x_desk.has_below) read_ahead(work);
  x_desk.tier.read(key_of(work, work.next), work.deadline, [this, &work](Result<store::Pin> pin) {
    work.is_reading = false;
    on_read(work, std::move(pin));
    if (work.is_stepping) return;
    settle(work);
    pump();
  });
  work.is_stepping = false;
  settle(work);
}

void GetService::drop_rest(Work& work) {
  work.next = static_cast<uint16_t>(work.request.items.size());
  work.miss_count = 0;
  settle(work);
}

// Puts it into its connection's line, or out of it; the end of one that is done.
void GetService::settle(Work& work) {
  Peer& peer = *work.peer;
  const bool waits =
      work.next < work.request.items.size() && work.in_flight < kSendsPerGetMax && !work.is_reading;
  const bool is_in_line = peer.waiting.holds(work);
  if (waits && !is_in_line) {
    if (work.has_begun) {
      peer.waiting.push_front(work);
    } else {
      peer.waiting.push_back(work);
    }
  } else if (!waits && is_in_line) {
    peer.waiting.remove(work);
  }
  if (peer.waiting.empty()) {
    x_turns.rest(peer.flow);
  } else if (!peer.is_resting) {
    x_turns.ask(peer.flow);
  }
  finish_if_done(work);
}

void GetService::rest(Peer& peer) {
  peer.is_resting = true;
  x_turns.rest(peer.flow);
}

void GetService::wake(Peer& peer) {
  peer.is_resting = false;
  if (!peer.waiting.empty()) x_turns.ask(peer.flow);
}

void GetService::on_read(Work& work, Result<store::Pin> pin) {
  const wire::GetItem& item = work.request.items[work.next];
  if (!pin) {
    // A block in pieces is one miss.
    if (item.offset == 0) x_desk.metrics.get_misses.add();
    miss(work, pin.error().code());
  } else if (!fits(work.request, work.next, pin->header().payload_bytes)) {
    x_desk.metrics.refused(Code::invalid_argument);
    miss(work, Code::invalid_argument);
  } else if (!send(work, std::move(*pin))) {
    return;
  }
  ++work.next;
  ++x_steps;
}

bool GetService::fits(const wire::GetRequest& request, size_t item, uint64_t block_bytes) {
  const wire::GetItem& wanted = request.items[item];
  if (!request.pieces) return block_bytes <= wanted.bytes_max;
  return wanted.offset + wanted.bytes_max <= block_bytes;
}

void GetService::miss(Work& work, Code code) {
  if (work.miss_count > 0 && work.miss_code != code) flush_misses(work);
  work.miss_code = code;
  ++work.miss_count;
}

void GetService::flush_misses(Work& work) {
  if (work.miss_count == 0) return;
  wire::GetReply reply;
  reply.epoch = x_desk.epoch();
  reply.first = static_cast<uint16_t>(work.next - work.miss_count);
  reply.count = std::exchange(work.miss_count, uint16_t{0});
  reply.code = work.miss_code;
  x_desk.replies.send(*work.peer, work.route, reply);
}

// A piece has a checksum of its own, made from the bytes that leave; the block's is the putter's.
wire::GetReply GetService::reply_for(const Work& work, const Sending& sending) const {
  const block::BlockHeader& header = sending.pin.header();
  wire::GetReply reply;
  reply.epoch = x_desk.epoch();
  reply.first = work.next;
  reply.generation = header.generation;
  reply.payload_bytes = sending.payload.size();
  reply.payload_crc = header.payload_crc;
  if (!work.request.pieces) return reply;
  reply.is_piece = true;
  reply.payload_crc = work.summed.crc;
  reply.block_bytes = static_cast<uint32_t>(header.payload_bytes);
  reply.block_crc = header.payload_crc;
  return reply;
}

// Once a piece, however often it is tried.
void GetService::sum_piece(Work& work, const Sending& sending) {
  const std::span<const std::byte> piece = sending.payload;
  const Generation generation = sending.pin.header().generation;
  const Summed& known = work.summed;
  const bool is_known = known.piece.data() == piece.data() && known.piece.size() == piece.size();
  if (is_known && known.generation == generation) return;
  x_summed += piece.size();
  work.summed = {piece, generation, block::crc32c(0, piece.data(), piece.size())};
}

// False when the fabric cannot take it now: the same item is tried again later.
bool GetService::send(Work& work, store::Pin pin) {
  TARN_DCHECK(x_sends <= kSendsMax);
  if (!is_fair(work.peer->sends, kSendsMax - x_sends)) {
    rest(*work.peer);
    return false;
  }
  flush_misses(work);
  Sending* free = std::find_if(work.sends.begin(), work.sends.end(),
                               [](const Sending& sending) { return !sending.pin; });
  TARN_CHECK(free != work.sends.end());
  free->work = &work;
  free->pin = std::move(pin);
  free->payload = free->pin.bytes();
  const wire::GetItem& item = work.request.items[work.next];
  if (work.request.pieces) {
    free->payload = free->payload.subspan(item.offset, item.bytes_max);
    sum_piece(work, *free);
  }
  const Status sent =
      x_desk.replies.send_block(*work.peer, {work.route, reply_for(work, *free), free->payload},
                                [this, free](Code code) { on_sent(*free, code); });
  if (sent.is_ok()) {
    ++work.in_flight;
    ++work.peer->sends;
    ++x_sends;
    x_turns.begin(work.peer->flow, free->payload.size());
    on_begun(work);
    return true;
  }
  free->pin.release();
  if (sent.code() == Code::overloaded) {
    rest(*work.peer);
    return false;
  }
  x_desk.peers.close(*work.peer);
  return true;
}

// What waited for another's turn is known by the clock of the lane's turns.
void GetService::on_begun(Work& work) {
  if (std::exchange(work.has_begun, true)) return;
  const Nanos waited = x_turns.now() - work.began;
  if (waited > Nanos(0)) x_desk.metrics.get_turn.record(waited);
}

void GetService::on_sent(Sending& sending, Code code) {
  Work& work = *sending.work;
  if (code == Code::ok) {
    // The last piece counts as the block.
    const bool ends_block = sending.payload.data() + sending.payload.size() ==
                            sending.pin.bytes().data() + sending.pin.bytes().size();
    if (ends_block) x_desk.metrics.get_blocks.add();
    x_desk.metrics.get_bytes.add(sending.payload.size());
    if (work.peer->is_server()) x_desk.metrics.background_bytes.add(sending.payload.size());
    x_desk.metrics.get_send.record(x_desk.clock.now() - work.began);
  }
  const uint64_t sent = std::min<uint64_t>(sending.payload.size(), work.owed);
  work.owed -= sent;
  if (code == Code::ok) {
    work.peer->pace.on_sent(sent, x_desk.clock.now());
  } else {
    work.peer->pace.on_dropped(sent);
  }
  x_turns.end(work.peer->flow, sending.payload.size());
  sending.pin.release();
  TARN_CHECK(work.in_flight > 0);
  TARN_CHECK(work.peer->sends > 0 && x_sends > 0);
  --work.in_flight;
  --work.peer->sends;
  --x_sends;
  wake(*work.peer);
  settle(work);
  pump();
}

void GetService::finish_if_done(Work& work) {
  if (work.next < work.request.items.size() || work.in_flight > 0 || work.is_reading) return;
  flush_misses(work);
  work.peer->pace.on_dropped(std::exchange(work.owed, uint64_t{0}));
  TARN_CHECK(work.peer->gets > 0);
  --work.peer->requests;
  --work.peer->gets;
  x_works.give_back(work);
}

void GetService::give_up_rest(Work& work, Code code) {
  x_desk.metrics.refused(code);
  flush_misses(work);
  work.miss_code = code;
  work.miss_count = static_cast<uint16_t>(work.request.items.size() - work.next);
  work.next = static_cast<uint16_t>(work.request.items.size());
}

void GetService::cancel(const Peer& peer, uint64_t sequence) {
  x_works.for_each([&](Work& work) {
    const bool is_it = work.peer == &peer && work.route.sequence == sequence;
    if (!is_it || work.is_reading || work.next == work.request.items.size()) return;
    give_up_rest(work, Code::cancelled);
    settle(work);
  });
}

size_t GetService::tick(Instant now) {
  x_summed = 0;
  x_sums_wait = false;
  size_t done = x_turns.tick(now);
  x_works.for_each_in_turn([&](Work& work) { done += end_late(work, now); });
  // One that has to rest again is no work done: the lane may sleep.
  const uint64_t steps = x_steps;
  pump();
  done += x_steps - steps;
  // Who waits for the next turn keeps the lane awake.
  return done + (x_sums_wait ? 1 : 0);
}

size_t GetService::end_late(Work& work, Instant now) {
  Peer& peer = *work.peer;
  if (work.deadline + kForceCloseAfter < now && work.in_flight > 0 && !peer.is_closed) {
    x_desk.metrics.forced_closes.add();
    x_desk.peers.close(peer);
  }
  if (peer.is_resting) wake(peer);
  if (peer.is_closed && !work.is_reading && work.next < work.request.items.size()) {
    drop_rest(work);
    return 1;
  }
  const bool is_late = work.deadline < now && work.next < work.request.items.size();
  if (work.is_reading || !is_late) return 0;
  give_up_rest(work, Code::deadline_exceeded);
  settle(work);
  return 1;
}

}  // namespace tarn::lane
