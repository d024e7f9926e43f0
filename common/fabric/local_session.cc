#include "common/fabric/local_session.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/base/check.h"
#include "common/base/fault_point.h"

namespace tarn::fabric {
namespace {

// One visit takes so much of one session before the next one's turn.
constexpr size_t kBytesPerVisit = 1 << 20;
constexpr size_t kBounceStep = 256 << 10;
constexpr uint32_t kIndexBits = 8;
static_assert(kLocalShownMax == 1u << kIndexBits);
// A client that has so much to copy is busy for longer than the server needs to wake up...
constexpr uint64_t kBusyBytes = 2 << 20;
// ... and calls it after so much at the latest, about half a millisecond.
constexpr uint64_t kBellAfterBytes = 8 << 20;
constexpr uint32_t kSequences = 1u << (31 - kIndexBits);

}  // namespace

LocalSession::LocalSession(std::shared_ptr<LocalDesk> desk, uint64_t number, LocalSocket socket)
    : x_shared(std::move(desk)),
      x_desk(*x_shared),
      x_number(number),
      x_socket(std::make_shared<LocalSocket>(std::move(socket))) {
  if (x_desk.memory != nullptr) x_removals_seen = x_desk.memory->removals();
}

Status LocalSession::welcome(uint64_t link, const Domain& may_map,
                             std::shared_ptr<LocalHoldings> held) {
  TARN_CHECK(x_desk.is_server && is_waiting());
  TARN_ASSIGN_OR_RETURN(LocalArea::Made made, LocalArea::make());
  LocalNote note;
  note.type = LocalNote::Type::welcome;
  note.a = kLocalVersion;
  const Status sent = x_socket->send(note, made.fd);
  ::close(made.fd);
  TARN_RETURN_IF_ERROR(sent);
  x_link = link;
  x_may_map = may_map;
  x_held = std::move(held);
  open(std::move(made.area));
  return Status::ok();
}

Status LocalSession::greet(const std::string& own_address, uint64_t link) {
  TARN_CHECK(!x_desk.is_server && is_waiting());
  x_link = link;
  LocalNote note;
  note.type = LocalNote::Type::hello;
  note.a = note.b = kLocalVersion;
  TARN_CHECK(own_address.size() < note.text.size());
  std::copy(own_address.begin(), own_address.end(), note.text.begin());
  return x_socket->send(note);
}

void LocalSession::open(std::shared_ptr<LocalArea> area) {
  TARN_CHECK(is_waiting());
  x_area = std::move(area);
  x_writer.emplace(x_desk.is_server ? x_area->to_client() : x_area->to_server());
  x_reader.emplace(x_desk.is_server ? x_area->to_server() : x_area->to_client());
  x_shown.resize(kLocalShownMax);
  for (uint32_t index = kLocalShownMax; index > 0; --index)
    x_shown_free.push_back(index - 1);
  x_state = State::up;
}

void LocalSession::fail(Status why, uint64_t& counter) {
  TARN_CHECK(!why.is_ok());
  ++counter;
  // Who breaks the rules has no claim to what it has pinned.
  x_keeps_pins = false;
  if (x_failure.is_ok()) x_failure = std::move(why);
}

void LocalSession::lose(Status why) {
  TARN_CHECK(!why.is_ok());
  x_keeps_pins = false;
  if (x_failure.is_ok()) x_failure = std::move(why);
}

// For want of something on this side, which takes nothing away from the peer: its views stay.
void LocalSession::give_up(Status why) {
  TARN_CHECK(!why.is_ok());
  if (x_failure.is_ok()) x_failure = std::move(why);
}

bool LocalSession::is_idle() const {
  return x_queue.empty() && x_shown_count == x_kept && x_takings.empty() && !x_incoming.done;
}

// Sending.

Status LocalSession::send(Bytes header, std::span<const Bytes> payload, SendDone done) {
  if (is_over() || !x_failure.is_ok()) return unavailable("the local connection is gone");
  if (TARN_FAULT_POINT("fabric.local_send")) return unavailable("fault point fabric.local_send");
  if (auto ended = try_now(header, payload, done)) return *std::move(ended);
  if (x_queue.size() >= kLocalQueueMax) return overloaded("too many messages wait for room");
  Outgoing& last = x_queue.emplace_back();
  last.header.assign(header.begin(), header.end());
  last.parts.assign(payload.begin(), payload.end());
  last.done = std::move(done);
  last.left = total_bytes(payload);
  return Status::ok();
}

// Nothing where it has to wait in the queue.
std::optional<Status> LocalSession::try_now(Bytes header, std::span<const Bytes> payload,
                                            SendDone& done) {
  if (x_state != State::up) return std::nullopt;
  if (payload.size() == 1 && !payload[0].empty()) return show(header, payload[0], done);
  if (total_bytes(payload) > 0 || !x_writer->has_room(header.size())) return std::nullopt;
  LocalRecord record;
  record.type = LocalRecord::Type::message;
  TARN_CHECK(write(record, header));
  x_desk.ended.add(std::move(done), Code::ok);
  return Status::ok();
}

std::optional<Status> LocalSession::show(Bytes header, Bytes payload, SendDone& done) {
  if (x_desk.memory == nullptr) return std::nullopt;
  const auto region = x_desk.memory->find(payload);
  const bool may = region && (region->domain == Domain{} || region->domain == x_may_map);
  if (!may || !announce(*region)) return std::nullopt;
  if (x_shown_free.empty()) return overloaded("the peer reads too many payloads");
  if (!x_writer->has_room(header.size())) return overloaded("the peer's ring is full");
  const uint32_t index = x_shown_free.back();
  x_shown_free.pop_back();
  x_next_shown = x_next_shown % (kSequences - 1) + 1;
  Shown& shown = x_shown[index];
  TARN_CHECK(shown.id == 0);
  shown.id = x_next_shown << kIndexBits | index;
  shown.done = std::move(done);
  shown.bytes = payload;
  shown.may_be_viewed = may_be_viewed(payload.size());
  if (shown.may_be_viewed) {
    x_viewable_bytes += payload.size();
    x_held->viewable_bytes += payload.size();
  }
  ++x_shown_count;
  x_writer->words().shown[index].store(shown.may_be_viewed ? shown.id : 0,
                                       std::memory_order_release);
  LocalRecord record;
  record.type = LocalRecord::Type::message;
  record.source = LocalRecord::Source::region;
  record.id = shown.id;
  record.payload_bytes = payload.size();
  record.region = region->id;
  record.offset = static_cast<uint64_t>(payload.data() - region->memory.data());
  TARN_CHECK(write(record, header));
  x_desk.counters.shown_bytes += payload.size();
  return Status::ok();
}

// What is not offered cannot be pinned; half of the places stay for copies.
bool LocalSession::may_be_viewed(uint64_t bytes) const {
  const LocalLimits& limits = x_desk.limits;
  return x_shown_count < kLocalShownMax / 2 && x_viewable_bytes + bytes <= limits.pinned_bytes &&
         x_held->viewable_bytes + bytes <= limits.owner_pinned_bytes &&
         x_held->ended < limits.owner_ended;
}

// False when the peer does not take files now: the payload is copied then.
bool LocalSession::announce(const LocalMemory::Region& region) {
  if (x_announced.contains(region.id)) return true;
  if (is_declined(region.id)) return false;
  LocalNote note;
  note.type = LocalNote::Type::region;
  note.a = region.id;
  note.b = region.memory.size();
  if (TARN_FAULT_POINT("fabric.local_announce")) return false;
  if (!x_desk.is_server && !fits_at_server(note.b)) return false;
  if (!x_socket->send(note, region.fd).is_ok()) return false;
  x_announced.emplace(region.id, note.b);
  ++x_announced_count;
  x_announced_bytes += note.b;
  return true;
}

// What the peer had no room for goes through the bounce area for a while. It has forgotten the
// region once it has read all that was written, and may be asked anew only then.
bool LocalSession::is_declined(uint64_t region) {
  const auto found = x_declined.find(region);
  if (found == x_declined.end()) return false;
  if (system_clock().now() < found->second || !has_told_all()) return true;
  x_declined.erase(found);
  return false;
}

void LocalSession::on_unmapped(uint64_t region) {
  // Gone meanwhile, and named in a forget: or never passed, which is all the same to this side.
  if (x_announced.erase(region) == 0) return;
  x_declined[region] = system_clock().now() + x_desk.limits.declined_pause;
  owe({LocalRecord::Type::forget, 0, region});
}

// A server maps so much and no more; it may still hold what it is about to forget.
bool LocalSession::fits_at_server(uint64_t bytes) {
  if (has_told_all()) {
    x_announced_count = x_announced.size();
    x_announced_bytes = 0;
    for (const auto& [id, each] : x_announced)
      x_announced_bytes += each;
  }
  return x_announced_count < kLocalBuffersMax &&
         bytes <= kLocalBufferBytesMax - std::min(x_announced_bytes, kLocalBufferBytesMax);
}

// Peers give back the pages of memory that is gone.
void LocalSession::forget_gone() {
  if (x_desk.memory == nullptr || x_desk.memory->removals() == x_removals_seen) return;
  const uint64_t seen = x_desk.memory->removals();
  std::erase_if(x_declined, [this](const auto& each) { return !x_desk.memory->has(each.first); });
  for (auto each = x_announced.begin(); each != x_announced.end();) {
    if (x_desk.memory->has(each->first)) {
      ++each;
      continue;
    }
    LocalRecord record;
    record.type = LocalRecord::Type::forget;
    record.region = each->first;
    if (!write(record)) return;  // on the next visit
    each = x_announced.erase(each);
  }
  x_removals_seen = seen;
}

bool LocalSession::write(LocalRecord record, Bytes header) {
  if (!x_writer->has_room(header.size())) return false;
  record.header_bytes = static_cast<uint16_t>(header.size());
  x_writer->write(record, header);
  if (x_desk.is_server || x_taking_bytes < kBusyBytes) {
    call_peer();
  } else if (!x_owes_bell) {
    x_owes_bell = true;
    x_bell_after_bytes = kBellAfterBytes;
  }
  return true;
}

void LocalSession::call_peer() {
  x_owes_bell = false;
  ring_bell(x_writer->words().asleep);
}

// The peer says that it sleeps before it looks a last time; here it is the other way round.
void LocalSession::ring_bell(std::atomic<uint32_t>& wanted) {
  if (wanted.load(std::memory_order_seq_cst) == 0) return;
  if (wanted.exchange(0, std::memory_order_relaxed) == 0) return;
  // A socket that is full of notes has woken it already; one that is gone shows when it is read.
  (void)x_socket->send(LocalNote{});
}

size_t LocalSession::pump() {
  size_t done = 0;
  while (!x_queue.empty() && x_budget > 0 && pump_front())
    ++done;
  return done;
}

bool LocalSession::pump_front() {
  Outgoing& front = x_queue.front();
  if (!front.is_begun) {
    LocalRecord record;
    record.type = LocalRecord::Type::message;
    record.source = front.left > 0 ? LocalRecord::Source::bounce : LocalRecord::Source::none;
    record.payload_bytes = front.left;
    if (!write(record, front.header)) return false;
    front.is_begun = true;
    if (front.left > 0) ++x_bounced_out;
  } else if (!push_bytes(front)) {
    return false;
  }
  if (front.left == 0) {
    x_desk.ended.add(std::move(front.done), Code::ok);
    x_queue.pop_front();
  }
  return true;
}

// The next bytes into the bounce area, or word that no more will come.
bool LocalSession::push_bytes(Outgoing& front) {
  LocalRecord record;
  record.type = LocalRecord::Type::data;
  if (front.is_stopped) {
    if (!write(record)) return false;
    front.left = 0;
    return true;
  }
  if (!x_writer->has_room(0)) return false;
  const size_t room = std::min({x_writer->bounce_room(), kBounceStep, x_budget});
  if (room == 0) return false;
  size_t copied = 0;
  while (copied < room && front.left > 0) {
    const Bytes part = front.parts[front.part].subspan(front.offset);
    const size_t step = std::min(part.size(), room - copied);
    if (step > 0) std::memcpy(x_writer->bounce_at() + copied, part.data(), step);
    copied += step;
    front.left -= step;
    front.offset += step;
    if (step == part.size()) {
      ++front.part;
      front.offset = 0;
    }
  }
  TARN_CHECK(copied > 0);
  x_writer->take_bounce(copied);
  x_budget -= copied;
  x_desk.counters.bounced_bytes += copied;
  record.length = copied;
  TARN_CHECK(write(record));
  return true;
}

// Null, and the session fails, where the peer was shown no such payload.
LocalSession::Shown* LocalSession::shown_as(uint32_t id) {
  Shown& shown = x_shown[id % kLocalShownMax];
  if (id != 0 && shown.id == id) return &shown;
  fail(unavailable("the local peer names what it was not shown"), x_desk.counters.bad_records);
  return nullptr;
}

void LocalSession::on_release(uint32_t id) {
  Shown* const shown = shown_as(id);
  if (shown == nullptr) return;
  x_writer->words().shown[id % kLocalShownMax].store(0, std::memory_order_release);
  x_shown_free.push_back(id % kLocalShownMax);
  end_shown(*shown, Code::ok);
}

void LocalSession::on_pinned(uint32_t id) {
  Shown* const shown = shown_as(id);
  if (shown == nullptr || shown->release || !shown->may_be_viewed || !x_desk.keeper) return;
  const auto word = x_writer->words().shown[id % kLocalShownMax].load(std::memory_order_acquire);
  if (word == (id | kLocalPinned)) keep(*shown, Code::ok);
}

// The send of what is viewed ends, if somebody else keeps the bytes where they are.
void LocalSession::keep(Shown& shown, Code code) {
  if (shown.release || !x_desk.keeper) return;
  shown.release = x_desk.keeper(shown.bytes);
  if (!shown.release) return;
  ++x_kept;
  x_desk.ended.add(std::exchange(shown.done, nullptr), code);
}

void LocalSession::end_shown(Shown& shown, Code code) {
  TARN_CHECK(shown.id != 0 && x_shown_count > 0);
  if (shown.release) {
    --x_kept;
    std::exchange(shown.release, nullptr)();
  }
  x_desk.ended.add(std::exchange(shown.done, nullptr), code);
  if (shown.may_be_viewed) {
    TARN_CHECK(x_held->viewable_bytes >= shown.bytes.size());
    x_viewable_bytes -= shown.bytes.size();
    x_held->viewable_bytes -= shown.bytes.size();
  }
  shown.id = 0;
  --x_shown_count;
}

// What is owed to the peer.

void LocalSession::owe(Owed owed) {
  LocalRecord record;
  record.type = owed.type;
  record.id = owed.id;
  record.region = owed.region;
  if (x_state == State::up && !write(record)) x_owed.push_back(owed);
}

void LocalSession::owe_release(uint32_t id) {
  // After its release the peer knows no payload of that name any more.
  std::erase_if(x_owed, [id](const Owed& each) {
    return each.type == LocalRecord::Type::pinned && each.id == id;
  });
  owe({LocalRecord::Type::release, id});
}

void LocalSession::pay_owed() {
  while (!x_owed.empty()) {
    LocalRecord record;
    record.type = x_owed.back().type;
    record.id = x_owed.back().id;
    record.region = x_owed.back().region;
    if (!write(record)) return;
    x_owed.pop_back();
  }
}

// A turn.

size_t LocalSession::visit() {
  if (x_state != State::up || !x_failure.is_ok()) return 0;
  if (std::exchange(x_is_armed, false)) {
    x_reader->words().asleep.store(0, std::memory_order_relaxed);
  }
  x_budget = kBytesPerVisit;
  size_t done = read_records();
  if (x_state != State::up || !x_failure.is_ok()) return done;
  if (!x_takings.empty()) done += take_on();
  if (!x_owed.empty()) pay_owed();
  forget_gone();
  if (!x_queue.empty()) done += pump();
  const bool may_wait = x_taking_bytes >= kBusyBytes && x_bell_after_bytes > 0;
  if (x_owes_bell && !may_wait) call_peer();
  if (x_writer->is_broken()) {
    fail(unavailable("the local peer's indices cannot be"), x_desk.counters.bad_indices);
  }
  if (x_reader->words().closed.load(std::memory_order_acquire) != 0 && x_failure.is_ok()) {
    x_failure = unavailable("the local peer has closed the connection");
  }
  return done;
}

bool LocalSession::arm() {
  if (is_over()) return true;
  if (!x_failure.is_ok()) return false;
  if (x_state != State::up) return true;
  if (!x_takings.empty()) return false;
  x_is_armed = true;
  x_reader->words().asleep.store(1, std::memory_order_seq_cst);
  const bool wants_room = !x_queue.empty() || !x_owed.empty();
  if (wants_room) x_writer->words().wants_room.store(1, std::memory_order_seq_cst);
  if (x_reader->has_more()) return false;
  if (!wants_room) return true;
  const bool is_small = !x_owed.empty() || x_queue.front().is_begun;
  const size_t header = is_small ? 0 : x_queue.front().header.size();
  const bool needs_bounce =
      x_owed.empty() && x_queue.front().is_begun && !x_queue.front().is_stopped;
  const bool can_go = x_writer->has_room(header) && (!needs_bounce || x_writer->bounce_room() > 0);
  return !can_go && !x_writer->is_broken();
}

void LocalSession::end(Code code, bool frees_pinned) {
  if (is_over()) {
    if (frees_pinned) unpin_all();
    return;
  }
  if (frees_pinned) x_keeps_pins = false;
  const bool was_up = x_state == State::up;
  x_state = State::over;
  // Before any memory that the peer may be reading is said to be free.
  if (was_up) x_writer->words().closed.store(1, std::memory_order_seq_cst);
  for (Outgoing& each : x_queue)
    x_desk.ended.add(std::move(each.done), code);
  x_queue.clear();
  for (Taking& each : x_takings)
    x_desk.ended.add(std::move(each.done), code, 0);
  x_takings.clear();
  x_taking_bytes = 0;
  end_incoming(code);
  for (size_t index = 0; index < x_shown.size(); ++index) {
    Shown& shown = x_shown[index];
    if (shown.id == 0) continue;
    const uint32_t was = x_writer->words().shown[index].exchange(0, std::memory_order_acq_rel);
    const bool is_pinned = was == (shown.id | kLocalPinned) && shown.may_be_viewed && x_keeps_pins;
    if (is_pinned) {
      // It may last for as long as the peer lives, for which no send can wait.
      keep(shown, code);
      ++x_pinned;
      continue;
    }
    end_shown(shown, code);
  }
  x_mappings.clear();
  if (x_pinned > 0) {
    ++x_held->ended;
    (void)x_socket->send(LocalNote{});  // it sees that this side has closed
  } else {
    let_go_of_socket();
  }
}

// Views may hold it further, which the port is not to hear of.
void LocalSession::let_go_of_socket() {
  if (x_socket->fd() < 0) return;
  ::epoll_ctl(x_desk.epoll_fd, EPOLL_CTL_DEL, x_socket->fd(), nullptr);
  x_socket = std::make_shared<LocalSocket>(-1);
}

void LocalSession::unpin_all() {
  TARN_CHECK(is_over());
  if (x_pinned > 0) {
    TARN_CHECK(x_held->ended > 0);
    --x_held->ended;
  }
  for (Shown& shown : x_shown) {
    if (shown.id != 0) end_shown(shown, Code::cancelled);
  }
  x_pinned = 0;
  let_go_of_socket();
}

void LocalSession::end_incoming(Code code) {
  if (x_incoming.done) x_desk.ended.add(std::move(x_incoming.done), code, 0);
  x_incoming.done = nullptr;
  x_incoming.writer.reset();
}

}  // namespace tarn::fabric
