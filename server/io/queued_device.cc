#include "server/io/queued_device.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/base/check.h"
#include "common/base/fault_point.h"
#include "common/base/log.h"

namespace tarn::io {
namespace {

constexpr Nanos kReadersStay = Millis(20);
constexpr Nanos kCloseWait = Millis(1000);
// A drive that gives a part, or asks to be asked again, gets as many chances.
constexpr uint8_t kTriesMax = 16;

bool is_aligned(uint64_t value) {
  return value % kIoAlignBytes == 0;
}

bool is_piece(uint64_t bytes, uint64_t most) {
  return bytes > 0 && is_aligned(bytes) && bytes <= most;
}

bool fails_by_fault(IoKind kind) {
  switch (kind) {
    case IoKind::read:
      return TARN_FAULT_POINT("io.read");
    case IoKind::write:
      return TARN_FAULT_POINT("io.write");
    case IoKind::flush:
      return TARN_FAULT_POINT("io.flush");
    case IoKind::discard:
      return TARN_FAULT_POINT("io.discard");
  }
  return false;
}

std::vector<uint32_t> all_free(size_t count) {
  std::vector<uint32_t> free(count);
  for (size_t i = 0; i < count; ++i)
    free[i] = static_cast<uint32_t>(count - 1 - i);
  return free;
}

}  // namespace

Status check_limits(const DeviceLimits& limits) {
  if (limits.operations_max == 0 || limits.depth == 0)
    return invalid_argument("device limits: no operation would ever begin");
  if (!is_piece(limits.write_piece_bytes, limits.write_bytes_beside_reads) ||
      limits.write_bytes_beside_reads > limits.write_bytes_alone ||
      !is_piece(limits.write_piece_bytes, limits.depth_bytes) ||
      !is_piece(limits.read_piece_bytes, limits.depth_bytes) ||
      !is_piece(limits.discard_piece_bytes, UINT32_MAX))
    return invalid_argument(
        "device limits: pieces are multiples of 4096 bytes, and no larger than what may fly");
  if (std::ranges::find(limits.weights, 0u) != limits.weights.end())
    return invalid_argument("device limits: a weight is 0");
  return Status::ok();
}

QueuedDevice::QueuedDevice(QueuedDeviceOptions options, fabric::Event event)
    : x_options(std::move(options)),
      x_event(std::move(event)),
      x_operations(x_options.limits.operations_max),
      x_free(all_free(x_operations.size())),
      x_pieces(x_options.limits.depth + 1),  // a flush has a place of its own
      x_free_pieces(all_free(x_pieces.size())),
      x_waiting{IoList(x_operations), IoList(x_operations), IoList(x_operations)},
      x_flushes(x_operations),
      x_running_flushes(x_operations),
      x_shares(x_options.limits.weights) {
  TARN_CHECK(check_limits(x_options.limits).is_ok());
}

Status QueuedDevice::read(uint64_t offset, std::span<std::byte> into, IoOptions options,
                          IoDone done) {
  IoOperation wanted;
  wanted.kind = IoKind::read;
  wanted.offset = offset;
  wanted.memory = into.data();
  wanted.bytes = into.size();
  wanted.options = std::move(options);
  wanted.done = std::move(done);
  return take(std::move(wanted));
}

Status QueuedDevice::write(uint64_t offset, std::span<const std::byte> from, IoOptions options,
                           IoDone done) {
  IoOperation wanted;
  wanted.kind = IoKind::write;
  wanted.offset = offset;
  // Pieces of both directions are of one type; those of a write are only ever read from.
  wanted.memory = const_cast<std::byte*>(from.data());
  wanted.bytes = from.size();
  wanted.options = std::move(options);
  wanted.done = std::move(done);
  return take(std::move(wanted));
}

Status QueuedDevice::flush(IoOptions options, IoDone done) {
  IoOperation wanted;
  wanted.kind = IoKind::flush;
  wanted.options = std::move(options);
  wanted.done = std::move(done);
  for (const IoOperation& each : x_operations)
    if (each.in_use && each.kind == IoKind::write) ++wanted.waits_for;
  return take(std::move(wanted));
}

Status QueuedDevice::discard(uint64_t offset, uint64_t bytes, IoOptions options, IoDone done) {
  IoOperation wanted;
  wanted.kind = IoKind::discard;
  wanted.offset = offset;
  wanted.bytes = bytes;
  wanted.options = std::move(options);
  wanted.done = std::move(done);
  return take(std::move(wanted));
}

Status QueuedDevice::check(const IoOperation& wanted) const {
  const bool is_change = wanted.kind == IoKind::write || wanted.kind == IoKind::flush;
  if (is_change && !x_health.writable.is_ok()) return x_health.writable;
  if (wanted.kind == IoKind::flush) return Status::ok();
  const auto refused = [&](const char* why) {
    return invalid_argument(x_options.drive + ": " + std::string(kind_name(wanted.kind)) + " of " +
                            std::to_string(wanted.bytes) + " bytes at " +
                            std::to_string(wanted.offset) + ": " + why);
  };
  if (wanted.bytes == 0 || !is_aligned(wanted.offset) || !is_aligned(wanted.bytes) ||
      !is_aligned(reinterpret_cast<uintptr_t>(wanted.memory)))
    return refused("not aligned to 4096 bytes, or empty");
  if (wanted.offset > x_options.capacity_bytes ||
      wanted.bytes > x_options.capacity_bytes - wanted.offset)
    return refused("past the end of the drive");
  return Status::ok();
}

Status QueuedDevice::take(IoOperation wanted) {
  TARN_RETURN_IF_ERROR(check(wanted));
  if (x_free.empty()) return overloaded(x_options.drive + ": too many operations wait");
  const uint32_t index = x_free.back();
  x_free.pop_back();
  wanted.in_use = true;
  wanted.sequence = ++x_sequence;
  x_next_deadline = std::min(x_next_deadline, wanted.options.deadline);
  if (wanted.kind == IoKind::read) ++x_reads;
  x_operations[index] = std::move(wanted);
  list_of(x_operations[index]).append(index);
  ++x_health.waiting;
  return Status::ok();
}

IoList& QueuedDevice::list_of(const IoOperation& operation) {
  if (operation.kind != IoKind::flush)
    return x_waiting[static_cast<size_t>(operation.options.queue)];
  return operation.in_flight > 0 ? x_running_flushes : x_flushes;
}

size_t QueuedDevice::poll() {
  TARN_CHECK(!x_is_polling);
  x_is_polling = true;
  collect();
  tell_late();
  begin_all();
  x_is_polling = false;
  return std::exchange(x_told, 0);
}

bool QueuedDevice::has_rest(const IoOperation& operation) const {
  return operation.begun_bytes < operation.bytes;
}

uint64_t QueuedDevice::next_piece_bytes(const IoOperation& operation) const {
  const DeviceLimits& limits = x_options.limits;
  const uint64_t most = operation.kind == IoKind::read    ? limits.read_piece_bytes
                        : operation.kind == IoKind::write ? limits.write_piece_bytes
                                                          : limits.discard_piece_bytes;
  return std::min(most, operation.bytes - operation.begun_bytes);
}

bool QueuedDevice::is_reading() const {
  return x_reads > 0 || x_options.clock->now() - x_last_read < kReadersStay;
}

// Its queue does not take part now, and others go on.
bool QueuedDevice::is_held_back(const IoOperation& operation) const {
  if (operation.kind == IoKind::discard) return x_discards_in_flight > 0;
  if (operation.kind != IoKind::write) return false;
  const DeviceLimits& limits = x_options.limits;
  const uint64_t most = is_reading() ? limits.write_bytes_beside_reads : limits.write_bytes_alone;
  return x_write_bytes_in_flight + next_piece_bytes(operation) > most;
}

// Where it has none, its queue keeps its turn until there is some: many small pieces of others do
// not pass by a large one for ever.
bool QueuedDevice::has_room(const IoOperation& operation) const {
  const size_t flushes = x_running_flushes.is_empty() ? 0 : 1;
  if (pieces_in_flight() - flushes >= x_options.limits.depth) return false;
  if (operation.kind == IoKind::discard) return true;
  return x_bytes_in_flight + next_piece_bytes(operation) <= x_options.limits.depth_bytes;
}

void QueuedDevice::begin_all() {
  begin_flush();
  for (;;) {
    PerQueue<bool> waits{};
    for (size_t i = 0; i < kIoQueueCount; ++i)
      waits[i] = !x_waiting[i].is_empty() && !is_held_back(x_operations[x_waiting[i].first()]);
    if (std::ranges::find(waits, true) == waits.end()) break;
    const IoQueue queue = x_shares.next(waits);
    const uint32_t index = x_waiting[static_cast<size_t>(queue)].first();
    if (!has_room(x_operations[index])) break;
    begin_piece(index);
  }
  submit();
}

void QueuedDevice::begin_piece(uint32_t index) {
  IoOperation& operation = x_operations[index];
  IoPiece piece;
  piece.kind = operation.kind;
  piece.operation = index;
  piece.offset = operation.offset + operation.begun_bytes;
  piece.bytes = next_piece_bytes(operation);
  if (operation.memory != nullptr) piece.memory = operation.memory + operation.begun_bytes;
  if (operation.begun_bytes == 0) --x_health.waiting;
  operation.begun_bytes += piece.bytes;
  ++operation.in_flight;
  x_shares.charge(operation.options.queue,
                  operation.kind == IoKind::discard ? kIoAlignBytes : piece.bytes);
  if (!has_rest(operation)) list_of(operation).remove(index);
  put_in_flight(piece);
}

// One at a time: the system tells a lost write to one of those who ask together, and to the others
// that all is well.
void QueuedDevice::begin_flush() {
  if (!x_running_flushes.is_empty()) return;
  uint32_t first = kNoIndex;
  while (!x_flushes.is_empty() && x_operations[x_flushes.first()].waits_for == 0) {
    const uint32_t index = x_flushes.first();
    x_flushes.remove(index);
    x_operations[index].in_flight = 1;
    x_running_flushes.append(index);
    --x_health.waiting;
    if (first == kNoIndex) first = index;
  }
  if (first == kNoIndex) return;
  IoPiece piece;
  piece.kind = IoKind::flush;
  piece.operation = first;
  put_in_flight(piece);
}

void QueuedDevice::put_in_flight(IoPiece piece) {
  TARN_CHECK(!x_free_pieces.empty());
  piece.slot = x_free_pieces.back();
  x_free_pieces.pop_back();
  x_pieces[piece.slot] = piece;
  account(piece, true);
  start(piece);
}

void QueuedDevice::account(const IoPiece& piece, bool begins) {
  if (piece.kind == IoKind::discard) x_discards_in_flight += begins ? 1u : -1u;
  if (piece.memory == nullptr) return;
  x_bytes_in_flight += begins ? piece.bytes : -piece.bytes;
  if (piece.kind == IoKind::write) x_write_bytes_in_flight += begins ? piece.bytes : -piece.bytes;
}

void QueuedDevice::ended(uint32_t slot, int64_t result) {
  TARN_CHECK(slot < x_pieces.size() && x_pieces[slot].slot == slot);
  IoPiece piece = x_pieces[slot];
  if (result >= 0 && fails_by_fault(piece.kind)) result = -EIO;
  account(piece, false);
  if (goes_on(piece, result)) {
    x_pieces[slot] = piece;
    account(piece, true);
    start(piece);
    return;
  }
  x_pieces[slot].slot = kNoIndex;
  x_free_pieces.push_back(slot);
  const int error = static_cast<int>(result < 0 ? -result : 0);
  const bool is_short =
      result >= 0 && static_cast<uint64_t>(result) < piece.bytes && piece.memory != nullptr;
  if (piece.kind == IoKind::flush) {
    finish_flush(error == 0 ? Status::ok() : io_error(piece, error, x_options.drive));
    return;
  }
  finish_piece(piece, is_short ? -1 : error);
}

// Whether the piece, or what is left of it, is to be asked for again.
bool QueuedDevice::goes_on(IoPiece& piece, int64_t result) {
  const bool is_interrupted = result == -EAGAIN || result == -EINTR;
  const bool is_short =
      piece.memory != nullptr && result > 0 && static_cast<uint64_t>(result) < piece.bytes;
  if (!is_interrupted && !is_short) return false;
  if (x_operations[piece.operation].told || ++piece.tries >= kTriesMax) return false;
  if (is_short) {
    const uint64_t whole = static_cast<uint64_t>(result) / kIoAlignBytes * kIoAlignBytes;
    piece.offset += whole;
    piece.memory += whole;
    piece.bytes -= whole;
    if (whole > 0) piece.tries = 0;
  }
  return true;
}

// `error` is an errno, 0 for none, -1 for a drive that gives too little.
void QueuedDevice::finish_piece(const IoPiece& piece, int error) {
  IoOperation& operation = x_operations[piece.operation];
  TARN_CHECK(operation.in_use && operation.in_flight > 0);
  --operation.in_flight;
  if (error != 0) {
    if (operation.outcome.is_ok())
      operation.outcome = io_error(piece, std::max(error, 0), x_options.drive);
    drop_rest(piece.operation);
  }
  if (operation.in_flight == 0 && !has_rest(operation)) finish(piece.operation);
}

void QueuedDevice::finish_flush(const Status& outcome) {
  if (!outcome.is_ok()) stop_writing(outcome);
  while (!x_running_flushes.is_empty()) {
    const uint32_t index = x_running_flushes.first();
    x_running_flushes.remove(index);
    x_operations[index].in_flight = 0;
    x_operations[index].outcome = outcome;
    finish(index);
  }
}

// What was asked of the drive and has not begun is not asked any more.
void QueuedDevice::drop_rest(uint32_t index) {
  IoOperation& operation = x_operations[index];
  if (operation.listed && operation.in_flight > 0 && operation.kind == IoKind::flush) return;
  if (operation.listed) {
    list_of(operation).remove(index);
    if (operation.begun_bytes == 0) --x_health.waiting;
  }
  operation.begun_bytes = operation.bytes;
}

void QueuedDevice::finish(uint32_t index) {
  IoOperation ended = std::exchange(x_operations[index], IoOperation{});
  TARN_CHECK(!ended.listed && ended.in_flight == 0);
  x_free.push_back(index);
  if (ended.kind == IoKind::write) write_has_ended(ended.sequence);
  if (ended.kind == IoKind::read) {
    --x_reads;
    x_last_read = x_options.clock->now();
  }
  if (!ended.outcome.is_ok() && ended.outcome.code() != Code::cancelled &&
      ended.outcome.code() != Code::deadline_exceeded)
    ++x_health.errors;
  if (ended.told) {
    --x_health.late;
    x_health.late_bytes -= ended.bytes;
  }
  if (!ended.told) {
    ++x_told;
    ended.done(std::move(ended.outcome));
  }
  if (ended.options.freed) ended.options.freed();
}

void QueuedDevice::write_has_ended(uint64_t sequence) {
  for (uint32_t i = x_flushes.first(); i != kNoIndex; i = x_operations[i].next)
    if (x_operations[i].sequence > sequence) --x_operations[i].waits_for;
}

// Never again: pages that the system could not write count as clean from now on, so a flush that
// works says nothing about them.
void QueuedDevice::stop_writing(const Status& why) {
  x_health.writable =
      unavailable("suspect: a flush has failed, so nothing more is written: " + why.message());
  log::error("{}", x_health.writable.message());
  for (uint32_t index = 0; index < x_operations.size(); ++index) {
    IoOperation& operation = x_operations[index];
    const bool is_change = operation.kind == IoKind::write || operation.kind == IoKind::flush;
    const bool is_running = operation.kind == IoKind::flush && operation.in_flight > 0;
    if (!operation.in_use || !operation.listed || !is_change || is_running) continue;
    operation.outcome = x_health.writable;
    drop_rest(index);
    if (operation.in_flight == 0) finish(index);
  }
}

void QueuedDevice::tell_late() {
  const Instant now = x_options.clock->now();
  if (now < x_next_deadline) return;
  x_next_deadline = kNever;
  for (uint32_t index = 0; index < x_operations.size(); ++index) {
    const IoOperation& operation = x_operations[index];
    if (!operation.in_use || operation.told) continue;
    if (operation.options.deadline <= now) {
      tell_late(index);
    } else {
      x_next_deadline = std::min(x_next_deadline, operation.options.deadline);
    }
  }
}

void QueuedDevice::tell_late(uint32_t index) {
  IoOperation& operation = x_operations[index];
  drop_rest(index);
  Status late =
      deadline_exceeded(x_options.drive + ": " + std::string(kind_name(operation.kind)) + " at " +
                        std::to_string(operation.offset) + ": the drive has not answered in time");
  if (operation.in_flight == 0) {
    operation.outcome = std::move(late);
    finish(index);
    return;
  }
  operation.told = true;
  ++x_health.late;
  x_health.late_bytes += operation.bytes;
  ++x_told;
  const IoDone done = std::exchange(operation.done, nullptr);
  done(std::move(late));
}

DeviceHealth QueuedDevice::health() const {
  DeviceHealth health = x_health;
  health.in_flight = pieces_in_flight();
  return health;
}

void QueuedDevice::cancel_waiting() {
  for (uint32_t index = 0; index < x_operations.size(); ++index) {
    IoOperation& operation = x_operations[index];
    if (!operation.in_use) continue;
    drop_rest(index);
    if (operation.in_flight > 0) continue;
    operation.outcome = cancelled(x_options.drive + ": the device is being closed");
    finish(index);
  }
}

void QueuedDevice::close() {
  TARN_CHECK(!x_is_polling);
  const Instant end = system_clock().now() + kCloseWait;
  cancel_waiting();
  while (!is_idle() && system_clock().now() < end) {
    pollfd wait = {x_event.fd(), POLLIN, 0};
    ::poll(&wait, 1, 10);
    collect();
    cancel_waiting();
    submit();
  }
  if (!is_idle()) keep_for_ever();
}

// The drive may still write to this memory, whenever it comes back.
void QueuedDevice::keep_for_ever() {
  static auto* const kept = std::make_unique<std::vector<IoOperation>>().release();
  log::error("{}: {} operations never ended; their memory stays taken", x_options.drive,
             x_operations.size() - x_free.size());
  for (IoOperation& operation : x_operations) {
    if (!operation.in_use) continue;
    if (!operation.told)
      operation.done(cancelled(x_options.drive + ": closed before the drive has answered"));
    operation.done = nullptr;
    kept->push_back(std::move(operation));
  }
}

}  // namespace tarn::io
