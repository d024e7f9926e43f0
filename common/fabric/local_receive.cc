// The receiving half of a LocalSession: everything here comes from the peer and may be anything.

#include <algorithm>
#include <atomic>
#include <utility>

#include "common/base/check.h"
#include "common/base/fault_point.h"
#include "common/fabric/local_closing.h"
#include "common/fabric/local_payload.h"
#include "common/fabric/local_session.h"

namespace tarn::fabric {
namespace {

constexpr int kRecordsPerVisit = 32;
constexpr int kNotesPerVisit = 32;
// A large payload is copied in steps, so that the port's other work gets its turns.
constexpr size_t kTakeStep = 1 << 20;

}  // namespace

// The socket.

void LocalSession::read_socket() {
  for (int count = 0; count < kNotesPerVisit && x_socket->fd() >= 0; ++count) {
    if (!x_failure.is_ok() && !is_over()) return;
    LocalNote note;
    int passed = -1;
    const Status read = x_socket->receive(note, passed);
    if (read.code() == Code::not_found) return;
    if (is_over()) {
      // Only its pins are left; whatever it says, they end with its process.
      if (passed >= 0) close_passed(passed);
      if (read.code() == Code::unavailable) unpin_all();
    } else if (read.code() == Code::unavailable) {
      lose(read);
    } else if (read.code() == Code::overloaded) {
      give_up(read);
    } else if (!read.is_ok()) {
      fail(read, x_desk.counters.bad_notes);
    } else {
      on_note(note, passed);
    }
  }
}

void LocalSession::bury_peer() {
  if (is_over()) return unpin_all();
  lose(unavailable("the local peer's process has ended"));
}

void LocalSession::on_note(const LocalNote& note, int passed) {
  const bool has_file = passed >= 0;
  switch (note.type) {
    case LocalNote::Type::bell:
      if (!has_file) return;
      break;
    case LocalNote::Type::hello:
      if (has_file || !is_waiting() || !x_desk.is_server) break;
      if (const Status agreed = x_desk.on_hello(*this, note); !agreed.is_ok()) {
        (void)x_socket->send(refused_note(agreed.message()));
        if (agreed.code() == Code::overloaded) return give_up(agreed);
        fail(agreed, x_desk.counters.refused_hellos);
      }
      return;
    case LocalNote::Type::welcome:
      if (!has_file || !is_waiting() || x_desk.is_server || note.a != kLocalVersion) break;
      if (auto area = LocalArea::map(passed); area.has_value()) {
        open(*std::move(area));
      } else if (area.error().code() == Code::overloaded) {
        give_up(unavailable(area.error().message()));
      } else {
        fail(unavailable(area.error().message()), x_desk.counters.bad_memory);
      }
      return;
    case LocalNote::Type::refused:
      if (has_file || x_desk.is_server) break;
      return lose(unavailable("the local server refused: " + text_of(note)));
    case LocalNote::Type::region:
      if (!has_file || x_state != State::up) break;
      return on_region(note, passed);
  }
  if (has_file) close_passed(passed);
  fail(unavailable("the local peer said what it must not say now"), x_desk.counters.bad_notes);
}

void LocalSession::on_region(const LocalNote& note, int passed) {
  const bool is_too_much = x_desk.is_server && (x_mappings.size() >= kLocalBuffersMax ||
                                                note.b > kLocalBufferBytesMax - x_mapped_bytes);
  if (is_too_much || x_mappings.contains(note.a)) {
    close_passed(passed);
    return fail(unavailable("the local peer passed too much memory, or some twice"),
                x_desk.counters.bad_memory);
  }
  auto mapping = map(passed, note.b);
  if (mapping.has_value()) {
    x_mapped_bytes += note.b;
    x_mappings.emplace(note.a, *std::move(mapping));
  } else if (mapping.error().code() == Code::overloaded) {
    x_mappings.emplace(note.a, nullptr);
    owe({LocalRecord::Type::unmapped, 0, note.a});
  } else {
    fail(unavailable(mapping.error().message()), x_desk.counters.bad_memory);
  }
}

// A server counts what it maps, for as long as anything still reads there: a process has so many
// mappings and no more, and they serve everybody.
Result<std::shared_ptr<const LocalMapping>> LocalSession::map(int passed, uint64_t bytes) {
  if (!x_desk.is_server) return LocalMapping::open(passed, bytes);
  struct Counted {
    std::shared_ptr<const LocalMapping> mapping;
    std::shared_ptr<LocalDesk> desk;
    std::shared_ptr<LocalHoldings> held;

    Counted(std::shared_ptr<const LocalMapping> of, std::shared_ptr<LocalDesk> at,
            std::shared_ptr<LocalHoldings> by)
        : mapping(std::move(of)), desk(std::move(at)), held(std::move(by)) {
      ++desk->mappings;
      ++held->mappings;
    }
    ~Counted() {
      TARN_CHECK(desk->mappings > 0 && held->mappings > 0);
      --desk->mappings;
      --held->mappings;
    }
  };
  const LocalLimits& limits = x_desk.limits;
  if (x_held->mappings >= limits.owner_mappings || x_desk.mappings >= limits.port_mappings) {
    close_passed(passed);
    return overloaded("peers have passed as much memory as is mapped here");
  }
  TARN_ASSIGN_OR_RETURN(auto mapping, LocalMapping::open(passed, bytes));
  const auto counted = std::make_shared<Counted>(std::move(mapping), x_shared, x_held);
  return std::shared_ptr<const LocalMapping>(counted, counted->mapping.get());
}

std::optional<std::shared_ptr<const LocalMapping>> LocalSession::mapping_of(uint64_t region) {
  auto found = x_mappings.find(region);
  if (found == x_mappings.end()) {
    // It was passed before the record was written.
    read_socket();
    found = x_mappings.find(region);
  }
  if (found == x_mappings.end()) return std::nullopt;
  return found->second;
}

// The ring.

size_t LocalSession::read_records() {
  size_t count = 0;
  LocalRecord record;
  while (count < kRecordsPerVisit && x_budget > 0) {
    const LocalReader::Take took = x_reader->take(record, x_desk.header.data());
    if (took == LocalReader::Take::nothing) break;
    if (took == LocalReader::Take::broken) {
      fail(unavailable("the local peer's ring holds what cannot be"), x_desk.counters.bad_indices);
      break;
    }
    ++count;
    on_record(record, Bytes(x_desk.header).first(record.header_bytes));
    // The handler may have closed the connection.
    if (x_state != State::up || !x_failure.is_ok()) return count;
  }
  if (count == 0) return 0;
  x_reader->publish();
  ring_bell(x_reader->words().wants_room);
  return count;
}

void LocalSession::on_record(const LocalRecord& record, Bytes header) {
  switch (record.type) {
    case LocalRecord::Type::message:
      return on_message(record, header);
    case LocalRecord::Type::data:
      return on_data(record);
    case LocalRecord::Type::release:
      return on_release(record.id);
    case LocalRecord::Type::pinned:
      return on_pinned(record.id);
    case LocalRecord::Type::stop:
      if (!x_queue.empty() && x_queue.front().is_begun && record.id == x_bounced_out) {
        x_queue.front().is_stopped = true;
      }
      return;
    case LocalRecord::Type::forget:
      if (const auto found = x_mappings.find(record.region); found != x_mappings.end()) {
        if (found->second != nullptr) x_mapped_bytes -= found->second->memory().size();
        x_mappings.erase(found);
      }
      return;
    case LocalRecord::Type::unmapped:
      return on_unmapped(record.region);
    case LocalRecord::Type::none:
      break;
  }
  fail(unavailable("the local peer wrote a record of no known type"), x_desk.counters.bad_records);
}

void LocalSession::on_message(const LocalRecord& record, Bytes header) {
  if (record.source == LocalRecord::Source::region) return on_shown(record, header);
  const bool is_bounced = record.source == LocalRecord::Source::bounce;
  // The bytes of one message follow it before the next such message comes.
  const bool fits = is_bounced
                        ? record.payload_bytes > 0 && x_incoming.left == 0
                        : record.source == LocalRecord::Source::none && record.payload_bytes == 0;
  if (!fits) {
    return fail(unavailable("the local peer's message has no payload where it should have one"),
                x_desk.counters.bad_records);
  }
  if (is_bounced) {
    x_incoming.left = record.payload_bytes;
    ++x_incoming.number;
  }
  hand_over(record, header);
  if (x_state != State::up || !is_bounced || x_is_taken) return;
  LocalRecord stop;
  stop.type = LocalRecord::Type::stop;
  stop.id = x_incoming.number;
  // Without room all of it comes, and is dropped.
  (void)write(stop);
}

void LocalSession::on_shown(const LocalRecord& record, Bytes header) {
  const auto mapping = mapping_of(record.region);
  if (!x_failure.is_ok()) return;
  const bool is_mapped = mapping && *mapping != nullptr;
  const uint64_t size = is_mapped ? (*mapping)->memory().size() : 0;
  const bool lies_there = record.offset <= size && record.payload_bytes <= size - record.offset;
  const bool fits = record.payload_bytes > 0 && mapping && (lies_there || !is_mapped);
  // A peer shows so many at a time, and waits for releases then.
  const auto releases = std::count_if(x_owed.begin(), x_owed.end(),
                                      [](const Owed& each) { return each.region == 0; });
  const bool is_one_too_many = x_takings.size() + static_cast<size_t>(releases) >= kLocalShownMax;
  if (!fits || is_one_too_many) {
    return fail(unavailable(fits ? "the local peer shows too much at a time"
                                 : "the local peer shows memory that it has not passed"),
                x_desk.counters.bad_records);
  }
  hand_over(record, header);
  if (!x_is_taken) owe_release(record.id);
}

void LocalSession::hand_over(const LocalRecord& record, Bytes header) {
  x_is_taken = false;
  if (!x_desk.handler) return;
  LocalPayload payload(*this, record);
  x_desk.handler(x_link, header, payload);
}

void LocalSession::receive(const LocalRecord& record, std::span<const MutableBytes> into,
                           ReceiveDone done) {
  TARN_CHECK(!x_is_taken);
  TARN_CHECK(total_bytes(into) == record.payload_bytes);
  x_is_taken = true;
  if (x_state != State::up) return x_desk.ended.add(std::move(done), Code::cancelled, 0);
  if (record.source == LocalRecord::Source::none) {
    return x_desk.ended.add(std::move(done), Code::ok, 0);
  }
  if (record.source == LocalRecord::Source::bounce) {
    x_incoming.into.assign(into.begin(), into.end());
    x_incoming.writer.emplace(x_incoming.into);
    x_incoming.done = std::move(done);
    return;
  }
  const auto mapping = mapping_of(record.region);
  TARN_CHECK(mapping.has_value());
  if (*mapping == nullptr) {
    owe_release(record.id);
    return x_desk.ended.add(std::move(done), Code::overloaded, 0);
  }
  Taking& taking = x_takings.emplace_back();
  taking.mapping = *mapping;
  taking.from = taking.mapping->memory().subspan(record.offset, record.payload_bytes);
  taking.into.assign(into.begin(), into.end());
  taking.writer.emplace(taking.into);
  taking.done = std::move(done);
  taking.id = record.id;
  x_taking_bytes += record.payload_bytes;
  if (x_takings.size() == 1) (void)take_on();
}

size_t LocalSession::take_on() {
  size_t done = 0;
  while (!x_takings.empty() && x_budget > 0) {
    ++done;
    if (!advance(x_takings.front())) break;
    x_takings.pop_front();
  }
  return done;
}

// True at the end of the payload.
bool LocalSession::advance(Taking& taking) {
  const size_t step = std::min({taking.from.size(), kTakeStep, x_budget});
  TARN_CHECK(taking.writer->write(taking.from.first(step)));
  taking.from = taking.from.subspan(step);
  x_budget -= step;
  x_taking_bytes -= step;
  x_bell_after_bytes -= std::min<uint64_t>(x_bell_after_bytes, step);
  if (!taking.from.empty()) return false;
  // The peer says so before it lets anybody write there again. A write that changes nothing, as no
  // plain load keeps those of the copy before it.
  const bool is_whole = x_reader->words().closed.fetch_add(0, std::memory_order_acq_rel) == 0;
  x_desk.ended.add(std::move(taking.done), is_whole ? Code::ok : Code::unavailable,
                   taking.writer->crc32c());
  owe_release(taking.id);
  return true;
}

Result<LocalSession::Pinned> LocalSession::pin(const LocalRecord& record) {
  TARN_CHECK(!x_is_taken);
  if (record.source != LocalRecord::Source::region) {
    return unsupported("these bytes lie in no memory that can be mapped: copy instead");
  }
  if (x_state != State::up) return overloaded("the connection is closed");
  const auto passed = mapping_of(record.region);
  TARN_CHECK(passed.has_value());
  const auto& mapping = *passed;
  if (mapping == nullptr) return overloaded("this process has no room to map these bytes");
  uint32_t expected = record.id;
  std::atomic<uint32_t>& word = x_reader->words().shown[record.id % kLocalShownMax];
  if (!word.compare_exchange_strong(expected, record.id | kLocalPinned)) {
    return overloaded("the server takes these bytes back: copy, or ask again");
  }
  x_is_taken = true;
  owe({LocalRecord::Type::pinned, record.id});
  return Pinned{mapping, x_socket, mapping->memory().subspan(record.offset, record.payload_bytes)};
}

std::function<void()> LocalSession::releaser(Pinned pinned, uint32_t id) {
  struct Hold {
    std::optional<Pinned> pinned;
    std::weak_ptr<LocalDesk> desk;
    uint64_t session = 0;
    uint32_t id = 0;

    ~Hold() { let_go(); }
    void let_go() {
      if (!std::exchange(pinned, std::nullopt)) return;
      const auto alive = desk.lock();
      if (alive != nullptr && alive->on_view_end) alive->on_view_end(session, id);
    }
  };
  auto hold = std::make_shared<Hold>();
  hold->pinned = std::move(pinned);
  hold->desk = x_shared;
  hold->session = x_number;
  hold->id = id;
  return [hold = std::move(hold)] { hold->let_go(); };
}

void LocalSession::on_data(const LocalRecord& record) {
  const bool is_stop = record.length == 0;
  const bool is_wanted = x_incoming.writer.has_value();
  const bool fits = is_stop ? x_incoming.left > 0 && !is_wanted : record.length <= x_incoming.left;
  const Bytes from = x_reader->bounce(fits ? record.length : 0);
  if (!fits || from.size() != record.length) {
    return fail(unavailable("the local peer sends bytes that belong to no message"),
                x_desk.counters.bad_records);
  }
  if (is_stop) {
    x_incoming.left = 0;
    return;
  }
  if (is_wanted) TARN_CHECK(x_incoming.writer->write(from));
  x_reader->take_bounce(from.size());
  x_incoming.left -= from.size();
  x_budget -= std::min(x_budget, from.size());
  if (x_incoming.left > 0 || !is_wanted) return;
  x_desk.ended.add(std::move(x_incoming.done), Code::ok, x_incoming.writer->crc32c());
  x_incoming.done = nullptr;
  x_incoming.writer.reset();
}

}  // namespace tarn::fabric
