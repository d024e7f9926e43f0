#include "server/session/slot_primary.h"

#include <algorithm>

#include "common/base/check.h"
#include "common/base/fault_point.h"
#include "common/rpc/convert.h"

namespace tarn::session {
namespace {

// A clock that is not the machine's may reach the deadline without anybody's notice.
constexpr Nanos kLookEvery = Millis(100);
// A full slot looks for sessions that have expired no more often than this.
constexpr Nanos kMeasureEvery = std::chrono::seconds(1);
// Commands of the slot wait for a lesson no longer than this.
constexpr Millis kLessonMax{2000};

v1::SessionResult failed(const SlotView& view, const Status& status) {
  v1::SessionResult result;
  result.set_outcome(rpc::to_outcome(status.code()));
  result.set_message(status.message());
  result.set_epoch(view.epoch);
  return result;
}

Status unreachable(ServerId member, const Status& why) {
  return unavailable("session slot: member " + std::to_string(member.value) +
                     " did not answer: " + why.message());
}

// The outcome of an answered call as a status: a member that has promised a higher epoch fences
// this primary.
template <typename Response>
Status outcome_of(const Response& response, const char* what) {
  const Code code = rpc::from_outcome(response.outcome());
  if (code == Code::ok) return Status::ok();
  return {code, std::string("session slot: a member refused to ") + what};
}

// A log that ends before the slot's present history began was given up by an operator.
bool is_given_up(const SlotView& view, uint64_t last_epoch) {
  return last_epoch < view.entry.begun.value;
}

// Bytes that the command adds to the slot's sessions, at most.
uint64_t growth_of(const v1::SessionCommand& command) {
  constexpr uint64_t kDates = 64;  // versions, dates and request id
  switch (command.op_case()) {
    case v1::SessionCommand::kCreate:
    case v1::SessionCommand::kAppend:
    case v1::SessionCommand::kFork:
      return command.ByteSizeLong() + kDates;
    case v1::SessionCommand::kTruncate:
      return command.truncate().tail().size();
    default:
      return 0;
  }
}

bool is_longer(const v1::ReadLogResponse& a, const LogHead& b) {
  return std::pair(a.last_epoch(), a.last_index()) > std::pair(b.last_epoch, b.last_index);
}

}  // namespace

// Without whom this primary acknowledges nothing: the other synced members, and the learners that
// were `told` they are complete.
std::vector<ServerId> SlotPrimary::required(const SlotView& view,
                                            const std::vector<uint32_t>& told) {
  std::vector<ServerId> members;
  for (const ServerId id : view.entry.synced) {
    if (id != view.self) members.push_back(id);
  }
  for (const ServerId id : view.entry.learners) {
    if (std::find(told.begin(), told.end(), id.value) != told.end()) members.push_back(id);
  }
  return members;
}

Status SlotPrimary::send(ServerId to, const v1::ReplicateRequest& request) {
  auto response = x_needs.peers.replicate(to, request, x_deadline);
  if (!response.has_value()) return unreachable(to, response.error());
  if (response->outcome() == v1::OUTCOME_CONFLICT) {
    TARN_ASSIGN_OR_RETURN(auto everything, x_member.whole(request.epoch()));
    everything.set_complete(request.complete());
    response = x_needs.peers.replicate(to, everything, x_deadline);
    if (!response.has_value()) return unreachable(to, response.error());
  }
  return outcome_of(*response, "take the log");
}

Status SlotPrimary::adopt_longest(const SlotView& view, const LogHead& own) {
  const bool begins_anew = is_given_up(view, own.last_epoch) && own.last_index > 0;
  LogHead longest = begins_anew ? LogHead{} : own;
  ServerId holder = view.self;
  v1::ReadLogRequest ask;
  ask.set_slot(x_slot.value);
  ask.set_epoch(view.epoch);
  for (const ServerId id : view.entry.synced) {
    if (id == view.self) continue;
    const auto response = x_needs.peers.read_log(id, ask, x_deadline);
    if (!response.has_value()) return unreachable(id, response.error());
    TARN_RETURN_IF_ERROR(outcome_of(*response, "show its log"));
    if (is_given_up(view, response->last_epoch())) continue;
    if (!is_longer(*response, longest)) continue;
    longest.last_epoch = response->last_epoch();
    longest.last_index = response->last_index();
    holder = id;
  }
  // A log without entries replaces what was given up; spread_tail() does so on the others.
  if (holder == view.self) return begins_anew ? x_member.install(view.epoch, {}) : Status::ok();
  ask.set_from_index(1);
  const auto log = x_needs.peers.read_log(holder, ask, x_deadline);
  if (!log.has_value()) return unreachable(holder, log.error());
  TARN_RETURN_IF_ERROR(outcome_of(*log, "send its log"));
  return x_member.install(view.epoch, *log);
}

Status SlotPrimary::spread_tail(const SlotView& view, const v1::LogEntry& tail) {
  TARN_ASSIGN_OR_RETURN(const LogHead head, x_member.head());
  v1::ReplicateRequest request;
  request.set_slot(x_slot.value);
  request.set_epoch(view.epoch);
  const bool has_tail = tail.index() != 0;
  request.set_from_index(has_tail ? tail.index() : head.last_index + 1);
  TARN_ASSIGN_OR_RETURN(const uint64_t previous, x_member.epoch_at(request.from_index() - 1));
  request.set_previous_epoch(previous);
  if (has_tail) *request.add_entries() = tail;
  for (const ServerId id : required(view, x_complete_learners))
    TARN_RETURN_IF_ERROR(send(id, request));
  return Status::ok();
}

Status SlotPrimary::take_over(const SlotView& view) {
  TARN_ASSIGN_OR_RETURN(const LogHead own, x_member.promise(view.epoch));
  x_complete_learners = own.complete_learners;
  TARN_RETURN_IF_ERROR(adopt_longest(view, own));
  TARN_ASSIGN_OR_RETURN(const v1::LogEntry tail, x_member.restamp_last(view.epoch));
  TARN_RETURN_IF_ERROR(spread_tail(view, tail));
  TARN_ASSIGN_OR_RETURN(const LogHead head, x_member.head());
  TARN_ASSIGN_OR_RETURN(LogState state, x_member.state_at(view.epoch, head.last_index));
  x_table = std::move(state.table);
  x_last_ms = std::max(x_last_ms, state.unix_ms);
  drop_expired();
  x_ready_epoch = view.epoch;
  x_ready_entry = view.entry;
  x_needs.metrics.takeovers.add();
  return Status::ok();
}

Status SlotPrimary::check_primary(const SlotView& view) const {
  if (!view.is_primary()) {
    return unavailable("session slot " + std::to_string(x_slot.value) + ": the primary is server " +
                       std::to_string(view.entry.primary.value));
  }
  const auto& synced = view.entry.synced;
  if (std::find(synced.begin(), synced.end(), view.self) == synced.end()) {
    return unavailable("session slot " + std::to_string(x_slot.value) +
                       ": its last copy is lost; an operator must decide (tarn slot show)");
  }
  return Status::ok();
}

Status SlotPrimary::ready(const SlotView& view) {
  TARN_RETURN_IF_ERROR(check_primary(view));
  if (x_ready_epoch == view.epoch) return Status::ok();
  if (x_ready_epoch > view.epoch) return stale_epoch("this server has moved on to a later epoch");
  return take_over(view);
}

// The clock of an earlier primary may have been ahead of ours. What had expired for it must not
// come back, nor may a member that compacts the log judge otherwise than we do.
int64_t SlotPrimary::now_ms() const {
  return std::max(x_needs.clock.unix_ms(), x_last_ms);
}

void SlotPrimary::drop_expired() {
  x_last_ms = now_ms();  // later entries find the same sessions gone
  const v1::SlotSnapshot kept = x_table.snapshot(x_last_ms);
  x_bytes = kept.ByteSizeLong();
  x_measured = x_needs.clock.now();
  x_table.restore(kept);
}

Status SlotPrimary::make_room(const v1::SessionCommand& command) {
  const uint64_t growth = growth_of(command);
  if (growth > kCommandBytesMax) {
    return invalid_argument("session: one change has at most " + std::to_string(kCommandBytesMax) +
                            " bytes");
  }
  const auto is_full = [&]() TARN_REQUIRES(x_turn) {
    return x_bytes + growth > x_needs.slot_bytes_max;
  };
  if (growth == 0 || !is_full()) return Status::ok();
  if (x_needs.clock.now() - x_measured >= kMeasureEvery) drop_expired();
  if (!is_full()) return Status::ok();
  return overloaded("session slot " + std::to_string(x_slot.value) +
                    " is full: its sessions take " + std::to_string(x_bytes) + " of " +
                    std::to_string(x_needs.slot_bytes_max) +
                    " bytes; delete some, or let them expire");
}

Result<v1::SessionResult> SlotPrimary::commit(const SlotView& view,
                                              const v1::SessionCommand& command) {
  v1::LogEntry entry;
  entry.set_unix_ms(now_ms());
  *entry.mutable_command() = command;
  TARN_ASSIGN_OR_RETURN(entry, x_member.append(view.epoch, std::move(entry)));
  TARN_RETURN_IF_ERROR(spread_tail(view, entry));
  x_last_ms = entry.unix_ms();
  x_bytes += growth_of(entry.command());
  const auto result = x_table.apply(entry.command(), entry.unix_ms());
  // The entry is on all members: a snapshot that cannot be written now is written later.
  (void)x_member.compact(entry.index());
  return result;
}

v1::SessionResult SlotPrimary::execute(const SlotView& view, const v1::SessionCommand& command,
                                       Instant deadline) {
  if (const Status status = validate(command); !status.is_ok()) return failed(view, status);
  if (is_read(command)) {
    if (const Status status = confirm(view, deadline); !status.is_ok()) return failed(view, status);
  }
  Status why;
  if (!x_turn.enter(view.epoch, deadline, why)) return failed(view, why);
  x_deadline = deadline;
  auto result = execute_in_turn(view, command);
  x_turn.leave();
  return result;
}

v1::SessionResult SlotPrimary::execute_in_turn(const SlotView& view,
                                               const v1::SessionCommand& command) {
  if (const Status status = ready(view); !status.is_ok()) return failed(view, status);
  auto answered = x_table.answer(command, now_ms());
  if (!answered) {
    if (const Status status = make_room(command); !status.is_ok()) return failed(view, status);
    auto committed = commit(view, command);
    if (!committed.has_value()) {
      x_ready_epoch = 0;
      return failed(view, committed.error());
    }
    if (TARN_FAULT_POINT("session.before_answer")) return failed(view, unavailable("fault point"));
    answered = *committed;
  }
  answered->set_epoch(view.epoch);
  return *answered;
}

Status SlotPrimary::list(const SlotView& view, const v1::ListSlotRequest& request, Instant deadline,
                         const std::function<bool(const v1::Manifest&)>& visit) {
  Status why;
  if (!x_turn.enter(view.epoch, deadline, why)) return why;
  x_deadline = deadline;
  const Status status = list_in_turn(view, request, visit);
  x_turn.leave();
  return status;
}

// True while the table of an earlier epoch still is what this slot holds: neither the config nor
// anybody who spoke to us has made another server its primary since.
bool SlotPrimary::is_table_current(const SlotView& view) const {
  if (x_ready_epoch == 0 || x_ready_entry != view.entry) return false;
  const auto head = x_member.head();
  return head.has_value() && head->promised_epoch == x_ready_epoch;
}

// A new epoch changes few slots, and a list asks all of them: it takes over only those.
Status SlotPrimary::list_in_turn(const SlotView& view, const v1::ListSlotRequest& request,
                                 const std::function<bool(const v1::Manifest&)>& visit) {
  TARN_RETURN_IF_ERROR(check_primary(view));
  if (!is_table_current(view)) TARN_RETURN_IF_ERROR(ready(view));
  x_table.list(request, now_ms(), visit);
  return Status::ok();
}

// A learner that was told it is complete may be the primary of a later epoch, and need nobody that
// is synced now: it is asked too.
Status SlotPrimary::confirm_round(const SlotView& view, Instant deadline) {
  TARN_ASSIGN_OR_RETURN(const LogHead head, x_member.head());
  v1::ConfirmRequest ask;
  ask.set_slot(x_slot.value);
  ask.set_epoch(view.epoch);
  for (const ServerId id : required(view, head.complete_learners)) {
    const auto response = x_needs.peers.confirm(id, ask, deadline);
    if (!response.has_value()) return unreachable(id, response.error());
    TARN_RETURN_IF_ERROR(outcome_of(*response, "confirm the epoch"));
  }
  return outcome_of(x_member.confirm(ask), "confirm the epoch");
}

// Waits for a round that begins after this call. None: the next round is the caller's to run.
std::optional<Status> SlotPrimary::join_round(Instant deadline) {
  const MutexLock lock(x_round_mutex);
  uint64_t mine = x_rounds_begun + 1;  // a round that runs now began before this read
  while (true) {
    if (x_rounds_ended >= mine && !x_round_ran_out) return x_round_status;
    if (x_rounds_ended >= mine) mine = x_rounds_begun + 1;
    if (x_rounds_begun == x_rounds_ended) break;
    const Nanos left = deadline - x_needs.clock.now();
    if (left.count() <= 0) return unavailable("session slot: no time was left for a confirmation");
    x_round_ended.wait_for(x_round_mutex, std::min<Nanos>(left, kLookEvery));
  }
  ++x_rounds_begun;
  return std::nullopt;
}

void SlotPrimary::end_round(const Status& status, Instant deadline) {
  const MutexLock lock(x_round_mutex);
  TARN_CHECK(x_rounds_begun == x_rounds_ended + 1);
  x_rounds_ended = x_rounds_begun;
  x_round_status = status;
  x_round_ran_out = !status.is_ok() && x_needs.clock.now() >= deadline;
  x_round_ended.notify_all();
}

Status SlotPrimary::confirm(const SlotView& view, Instant deadline) {
  if (!view.is_primary()) return unavailable("session slot: this server is not its primary");
  if (auto shared = join_round(deadline)) return *shared;
  Status status = confirm_round(view, deadline);
  end_round(status, deadline);
  return status;
}

Status SlotPrimary::teach_learners(const SlotView& view) {
  if (view.entry.learners.empty() || !view.is_primary()) return Status::ok();
  Status why;
  const Instant deadline = x_needs.clock.now() + kLessonMax;
  if (!x_turn.enter(view.epoch, deadline, why)) return why;
  x_deadline = deadline;
  const Status status = teach_in_turn(view);
  x_turn.leave();
  return status;
}

Status SlotPrimary::teach_in_turn(const SlotView& view) {
  TARN_RETURN_IF_ERROR(ready(view));
  Status worst;
  for (const ServerId id : view.entry.learners) {
    const Status status = teach(view, id);
    if (!status.is_ok()) worst = status;
  }
  return worst;
}

Status SlotPrimary::teach(const SlotView& view, ServerId learner) {
  const auto& told = x_complete_learners;
  if (std::find(told.begin(), told.end(), learner.value) == told.end()) {
    TARN_ASSIGN_OR_RETURN(const auto everything, x_member.whole(view.epoch));
    TARN_RETURN_IF_ERROR(send(learner, everything));
    // First every append needs it, then it is told so: never the other way round.
    auto more = told;
    more.push_back(learner.value);
    TARN_RETURN_IF_ERROR(x_member.set_complete_learners(more));
    x_complete_learners = std::move(more);
  }
  // Said again in every round: the learner may have restarted, or the epoch may be another.
  v1::ReplicateRequest word;
  TARN_ASSIGN_OR_RETURN(const LogHead head, x_member.head());
  word.set_slot(x_slot.value);
  word.set_epoch(view.epoch);
  word.set_from_index(head.last_index + 1);
  word.set_previous_epoch(head.last_epoch);
  word.set_complete(true);
  return send(learner, word);
}

}  // namespace tarn::session
