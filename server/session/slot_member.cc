#include "server/session/slot_member.h"

#include <algorithm>

#include "common/base/check.h"
#include "common/base/fault_point.h"
#include "common/rpc/convert.h"

namespace tarn::session {
namespace {

Status stale(uint64_t promised, uint64_t asked) {
  return stale_epoch("the slot has promised epoch " + std::to_string(promised) + "; " +
                     std::to_string(asked) + " is too old");
}

template <typename Response>
void set_outcome(Response& response, const Status& status) {
  response.set_outcome(rpc::to_outcome(status.code()));
}

void set_end(LogHead& head, const v1::LogEntry& last) {
  head.last_index = last.index();
  head.last_epoch = last.epoch();
}

template <typename Entries>
uint64_t bytes_of(const Entries& entries) {
  uint64_t bytes = 0;
  for (const v1::LogEntry& entry : entries)
    bytes += entry.ByteSizeLong();
  return bytes;
}

// Entries of a message must follow each other, or the log would get holes.
bool is_run(const google::protobuf::RepeatedPtrField<v1::LogEntry>& entries, uint64_t first) {
  for (const auto& entry : entries) {
    if (entry.index() != first++) return false;
  }
  return true;
}

}  // namespace

Result<LogHead> SlotMember::promise_locked(uint64_t epoch) {
  TARN_ASSIGN_OR_RETURN(LogHead head, x_log.head(x_slot));
  if (head.promised_epoch > epoch) return stale(head.promised_epoch, epoch);
  if (head.promised_epoch == epoch) return head;
  head.promised_epoch = epoch;
  TARN_RETURN_IF_ERROR(x_log.commit(x_slot, {.head = head}));
  return head;
}

Result<LogHead> SlotMember::promise(uint64_t epoch) {
  const MutexLock lock(x_mutex);
  return promise_locked(epoch);
}

Result<LogHead> SlotMember::head() const {
  const MutexLock lock(x_mutex);
  return x_log.head(x_slot);
}

Result<uint64_t> SlotMember::epoch_at(uint64_t index) const {
  const MutexLock lock(x_mutex);
  return epoch_locked(index);
}

Result<uint64_t> SlotMember::epoch_locked(uint64_t index) const {
  if (index == 0) return uint64_t{0};
  TARN_ASSIGN_OR_RETURN(const auto found, x_log.read(x_slot, index, 1));
  if (!found.empty() && found[0].index() == index) return found[0].epoch();
  TARN_ASSIGN_OR_RETURN(const auto snapshot, x_log.snapshot(x_slot));
  if (snapshot.index() == index) return snapshot.epoch();
  return not_found("the log has no entry " + std::to_string(index));
}

Status SlotMember::check_previous(const v1::ReplicateRequest& request, const LogHead& head) const {
  const uint64_t from = request.from_index();
  if (from == 0 || !is_run(request.entries(), from)) {
    return invalid_argument(
        "entries: indexes must rise by one from from_index, which is at least 1");
  }
  if (from > head.last_index + 1 || from < head.first_index) {
    return conflict("the log holds " + std::to_string(head.first_index) + " to " +
                    std::to_string(head.last_index));
  }
  const auto previous = epoch_locked(from - 1);
  if (!previous.has_value()) return conflict(previous.error().message());
  if (*previous != request.previous_epoch())
    return conflict("the entry before is of another epoch");
  return Status::ok();
}

Status SlotMember::replace_locked(const v1::ReplicateRequest& request, LogHead head) {
  const uint64_t first = request.snapshot().index() + 1;
  if (!is_run(request.entries(), first)) {
    return invalid_argument("entries: indexes must rise by one after the snapshot");
  }
  LogChange change;
  change.erase_from = 0;
  change.erase_to = UINT64_MAX;
  change.snapshot = request.snapshot();
  change.entries.assign(request.entries().begin(), request.entries().end());
  head.first_index = first;
  head.last_index = request.snapshot().index();
  head.last_epoch = request.snapshot().epoch();
  if (!change.entries.empty()) set_end(head, change.entries.back());
  change.head = head;
  x_entry_bytes.reset();
  return x_log.commit(x_slot, change);
}

Status SlotMember::replicate_locked(const v1::ReplicateRequest& request) {
  TARN_ASSIGN_OR_RETURN(LogHead head, x_log.head(x_slot));
  if (head.promised_epoch > request.epoch()) return stale(head.promised_epoch, request.epoch());
  const bool is_new_epoch = head.promised_epoch < request.epoch();
  head.promised_epoch = request.epoch();
  head.complete_learners.clear();
  if (request.has_snapshot()) return replace_locked(request, head);
  TARN_RETURN_IF_ERROR(check_previous(request, head));
  LogChange change;
  change.erase_from = request.from_index();
  change.erase_to = head.last_index + 1;
  change.entries.assign(request.entries().begin(), request.entries().end());
  const bool changes_nothing = change.entries.empty() && change.erase_from >= change.erase_to;
  if (changes_nothing && !is_new_epoch) return Status::ok();
  head.last_index = request.from_index() - 1;
  head.last_epoch = request.previous_epoch();
  if (!change.entries.empty()) set_end(head, change.entries.back());
  change.head = head;
  if (x_entry_bytes) *x_entry_bytes += bytes_of(change.entries);
  TARN_RETURN_IF_ERROR(x_log.commit(x_slot, change));
  return compact_locked(request.from_index() - 1);
}

v1::ReplicateResponse SlotMember::replicate(const v1::ReplicateRequest& request) {
  const MutexLock lock(x_mutex);
  const Status status = replicate_locked(request);
  v1::ReplicateResponse response;
  set_outcome(response, status);
  response.set_message(status.message());
  if (const auto head = x_log.head(x_slot)) {
    response.set_epoch(head->promised_epoch);
    response.set_last_index(head->last_index);
  }
  return response;
}

v1::ConfirmResponse SlotMember::confirm(const v1::ConfirmRequest& request) {
  const MutexLock lock(x_mutex);
  v1::ConfirmResponse response;
  const auto head = x_log.head(x_slot);
  if (!head.has_value()) {
    set_outcome(response, head.error());
    return response;
  }
  response.set_epoch(head->promised_epoch);
  const bool is_newest = head->promised_epoch <= request.epoch();
  response.set_outcome(is_newest ? v1::OUTCOME_OK : v1::OUTCOME_STALE_EPOCH);
  return response;
}

v1::ReadLogResponse SlotMember::read_log(const v1::ReadLogRequest& request) {
  const MutexLock lock(x_mutex);
  v1::ReadLogResponse response;
  const auto promised = promise_locked(request.epoch());
  set_outcome(response, promised.status());
  const auto head = x_log.head(x_slot);
  if (!head.has_value()) {
    set_outcome(response, head.error());
    return response;
  }
  response.set_epoch(head->promised_epoch);
  response.set_first_index(head->first_index);
  response.set_last_index(head->last_index);
  response.set_last_epoch(head->last_epoch);
  if (!promised.has_value() || request.from_index() == 0) return response;
  const auto snapshot = x_log.snapshot(x_slot);
  const auto entries = x_log.read(x_slot, head->first_index, SIZE_MAX);
  if (!snapshot.has_value() || !entries.has_value()) {
    set_outcome(response, !snapshot.has_value() ? snapshot.error() : entries.error());
    return response;
  }
  *response.mutable_snapshot() = *snapshot;
  for (const auto& entry : *entries)
    *response.add_entries() = entry;
  return response;
}

Result<v1::LogEntry> SlotMember::append(uint64_t epoch, v1::LogEntry entry) {
  const MutexLock lock(x_mutex);
  TARN_ASSIGN_OR_RETURN(LogHead head, promise_locked(epoch));
  entry.set_index(head.last_index + 1);
  entry.set_epoch(epoch);
  set_end(head, entry);
  if (x_entry_bytes) *x_entry_bytes += entry.ByteSizeLong();
  TARN_RETURN_IF_ERROR(x_log.commit(x_slot, {.head = head, .entries = {entry}}));
  if (TARN_FAULT_POINT("session.after_local_fsync")) return unavailable("fault point");
  return entry;
}

Result<v1::LogEntry> SlotMember::restamp_last(uint64_t epoch) {
  const MutexLock lock(x_mutex);
  TARN_ASSIGN_OR_RETURN(LogHead head, promise_locked(epoch));
  if (head.last_index < head.first_index) return v1::LogEntry();
  TARN_ASSIGN_OR_RETURN(auto entries, x_log.read(x_slot, head.last_index, 1));
  if (entries.empty()) return corrupt("session log: the last entry is missing");
  v1::LogEntry last = entries[0];
  if (last.epoch() == epoch) return last;
  last.set_epoch(epoch);
  set_end(head, last);
  TARN_RETURN_IF_ERROR(x_log.commit(x_slot, {.head = head, .entries = {last}}));
  return last;
}

Status SlotMember::install(uint64_t epoch, const v1::ReadLogResponse& from) {
  const MutexLock lock(x_mutex);
  TARN_ASSIGN_OR_RETURN(const LogHead head, promise_locked(epoch));
  v1::ReplicateRequest request;
  *request.mutable_snapshot() = from.snapshot();
  *request.mutable_entries() = from.entries();
  return replace_locked(request, head);
}

Result<v1::ReplicateRequest> SlotMember::whole(uint64_t epoch) {
  const MutexLock lock(x_mutex);
  TARN_ASSIGN_OR_RETURN(const LogHead head, x_log.head(x_slot));
  TARN_ASSIGN_OR_RETURN(const auto snapshot, x_log.snapshot(x_slot));
  TARN_ASSIGN_OR_RETURN(const auto entries, x_log.read(x_slot, head.first_index, SIZE_MAX));
  v1::ReplicateRequest request;
  request.set_slot(x_slot.value);
  request.set_epoch(epoch);
  *request.mutable_snapshot() = snapshot;
  for (const auto& entry : entries)
    *request.add_entries() = entry;
  return request;
}

Result<LogState> SlotMember::state_at(uint64_t epoch, uint64_t index) const {
  const MutexLock lock(x_mutex);
  TARN_ASSIGN_OR_RETURN(const LogHead head, x_log.head(x_slot));
  if (head.promised_epoch > epoch) return stale(head.promised_epoch, epoch);
  return state_locked(index);
}

Result<LogState> SlotMember::state_locked(uint64_t index) const {
  TARN_ASSIGN_OR_RETURN(const auto snapshot, x_log.snapshot(x_slot));
  TARN_ASSIGN_OR_RETURN(const auto entries, x_log.read(x_slot, snapshot.index() + 1, SIZE_MAX));
  LogState state;
  state.table.restore(snapshot);
  state.unix_ms = snapshot.unix_ms();
  for (const auto& session : snapshot.sessions())
    state.unix_ms = std::max(state.unix_ms, session.manifest().updated_unix_ms());
  for (const auto& entry : entries) {
    if (entry.index() > index) break;
    (void)state.table.apply(entry.command(), entry.unix_ms());
    state.unix_ms = std::max(state.unix_ms, entry.unix_ms());
  }
  return state;
}

// Entries that were replaced meanwhile count too, until the log is compacted.
Result<uint64_t> SlotMember::entry_bytes_locked(const LogHead& head) {
  if (x_entry_bytes) return *x_entry_bytes;
  TARN_ASSIGN_OR_RETURN(const auto entries, x_log.read(x_slot, head.first_index, SIZE_MAX));
  x_entry_bytes = bytes_of(entries);
  return *x_entry_bytes;
}

Status SlotMember::set_complete_learners(std::vector<uint32_t> learners) {
  const MutexLock lock(x_mutex);
  TARN_ASSIGN_OR_RETURN(LogHead head, x_log.head(x_slot));
  if (head.complete_learners == learners) return Status::ok();
  head.complete_learners = std::move(learners);
  return x_log.commit(x_slot, {.head = head});
}

Status SlotMember::compact(uint64_t committed) {
  const MutexLock lock(x_mutex);
  return compact_locked(committed);
}

Status SlotMember::compact_locked(uint64_t committed) {
  TARN_ASSIGN_OR_RETURN(LogHead head, x_log.head(x_slot));
  if (committed < head.first_index) return Status::ok();
  TARN_ASSIGN_OR_RETURN(const uint64_t bytes, entry_bytes_locked(head));
  const bool is_long = committed >= head.first_index + kLogEntriesMax || bytes > kLogBytesMax;
  if (!is_long) return Status::ok();
  TARN_CHECK(committed <= head.last_index);
  TARN_ASSIGN_OR_RETURN(const LogState state, state_locked(committed));
  TARN_ASSIGN_OR_RETURN(const uint64_t epoch, epoch_locked(committed));
  LogChange change;
  // Expiry is judged by the log's own time, so that every member keeps the same sessions.
  change.snapshot = state.table.snapshot(state.unix_ms);
  change.snapshot->set_unix_ms(state.unix_ms);
  change.snapshot->set_index(committed);
  change.snapshot->set_epoch(epoch);
  change.erase_from = head.first_index;
  change.erase_to = committed + 1;
  head.first_index = committed + 1;
  change.head = head;
  x_entry_bytes.reset();
  return x_log.commit(x_slot, change);
}

}  // namespace tarn::session
