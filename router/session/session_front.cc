#include "router/session/session_front.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/base/fault_point.h"
#include "common/base/units.h"
#include "common/block/key.h"
#include "common/ring/position.h"
#include "common/ring/slots.h"
#include "common/rpc/convert.h"
#include "common/rpc/session_command.h"
#include "router/session/session_ids.h"

namespace tarn::session {
namespace {

constexpr uint32_t kListLimitMax = 1000;
constexpr Millis kPauseMin{5};
constexpr Millis kPauseMax{100};
// A server that has not answered by then is asked again, if anybody still waits.
constexpr Millis kAttemptMax{3000};
// A server that is overloaded is asked so often, over half a second; then the caller may back off.
constexpr int kOverloadedTries = 8;
// Kept back from the caller's deadline, so that it hears why instead of timing out.
constexpr Millis kAnswerMargin{20};

v1::SessionResult failed(const Status& status) {
  v1::SessionResult result;
  result.set_outcome(rpc::to_outcome(status.code()));
  result.set_message(status.message());
  return result;
}

// Nobody decided: the same question may get an answer a moment later, or from another server.
bool is_undecided(Code code) {
  return code == Code::unavailable || code == Code::stale_epoch || code == Code::overloaded ||
         code == Code::deadline_exceeded || code == Code::cancelled;
}

bool has_gone(const SessionCaller& caller) {
  return caller.is_gone && caller.is_gone();
}

template <typename Request>
void need_request_id(Request& request) {
  if (request.request_id().empty()) request.set_request_id(draw_request_id());
}

// The server to ask. Not ok: unavailable, to be waited out, or internal, if no config to come will
// help.
Result<ServerId> primary_of(const ring::ClusterConfig* config, SlotId slot) {
  if (config == nullptr) return unavailable("the router has no config yet");
  const ring::SlotEntry& entry = config->slots[slot.value];
  if (entry.primary == ring::kNoServer) return unavailable("no storage server holds sessions yet");
  if (entry.synced.empty()) {
    return internal_error("session slot " + std::to_string(slot.value) +
                          ": its last copy is lost; an operator must decide (tarn slot show)");
  }
  if (!ring::slot_is_available(*config, slot)) {
    return unavailable("session slot " + std::to_string(slot.value) + ": server " +
                       std::to_string(entry.primary.value) + " is down");
  }
  return entry.primary;
}

}  // namespace

SessionFront::SessionFront(SessionFrontOptions options)
    : x_options(std::move(options)),
      x_retries(x_options.registry->counter(
          "tarn_session_retries_total", "Session operations that the router had to ask again.")),
      x_unavailable(
          x_options.registry->counter("tarn_session_unavailable_total",
                                      "Session operations that nobody could answer in time.")) {
  TARN_CHECK(x_options.config != nullptr && x_options.calls.execute && x_options.calls.list);
  x_subscription = x_options.config->subscribe([this](const cluster::ConfigSnapshot& config) {
    const MutexLock lock(x_mutex);
    x_epoch = config->epoch.value;
    x_changed.notify_all();
  });
}

SessionFront::~SessionFront() {
  x_subscription = {};
}

// Waits for a config after `epoch`, but not longer than it may take a server to follow one. False
// when the deadline has come.
bool SessionFront::wait_for_next(uint64_t epoch, int attempt, Instant deadline) {
  const Instant now = x_options.clock->now();
  const Nanos pause = std::min(kPauseMax, kPauseMin * (1 << std::min(attempt, 5)));
  const Instant end = std::min(now + pause, deadline);
  const MutexLock lock(x_mutex);
  while (x_epoch <= epoch) {
    const Nanos left = end - x_options.clock->now();
    if (left.count() <= 0) break;
    x_changed.wait_for(x_mutex, left);
  }
  return x_options.clock->now() < deadline;
}

Instant SessionFront::attempt_end(Instant deadline) const {
  return std::min(deadline, x_options.clock->now() + kAttemptMax);
}

v1::SessionResult SessionFront::run(const SessionCaller& caller, v1::SessionCommand command) {
  const Instant deadline = caller.deadline - kAnswerMargin;
  const SlotId slot = ring::slot_of(
      ring::session_position(block::tenant_id(caller.tenant), rpc::session_id_of(command)));
  command.set_tenant(caller.tenant);
  for (int attempt = 0;; ++attempt) {
    const cluster::ConfigSnapshot config = x_options.config->current();
    const uint64_t epoch = config ? config->epoch.value : 0;
    const auto primary = primary_of(config.get(), slot);
    Status why = primary.status();
    if (primary.has_value()) {
      command.set_epoch(epoch);
      auto result = x_options.calls.execute(*primary, command, attempt_end(deadline));
      if (TARN_FAULT_POINT("sessions.answer_lost")) result = unavailable("fault point");
      why = result.status();
      if (result.has_value()) {
        const Code code = rpc::from_outcome(result->outcome());
        if (!is_undecided(code)) return *result;
        why = Status(code, result->message());
      }
    }
    // A lost copy will not be found by waiting, and what the server cannot read it never will.
    if (!is_undecided(why.code())) {
      const bool is_lost = !primary.has_value();
      return failed(is_lost ? unavailable(why.message()) : why);
    }
    if (why.code() == Code::overloaded && attempt >= kOverloadedTries) return failed(why);
    if (has_gone(caller)) return failed(cancelled("the caller waits no longer"));
    if (!wait_for_next(epoch, attempt, deadline)) {
      x_unavailable.add();
      return failed(unavailable("session '" + rpc::session_id_of(command) + "': " + why.message()));
    }
    x_retries.add();
  }
}

v1::SessionResult SessionFront::create(const SessionCaller& caller,
                                       v1::CreateSessionRequest request) {
  need_request_id(request);
  if (request.session_id().empty()) {
    request.set_session_id(session_id_for(caller.tenant, request.request_id()));
  }
  v1::SessionCommand command;
  *command.mutable_create() = std::move(request);
  return run(caller, std::move(command));
}

v1::SessionResult SessionFront::append(const SessionCaller& caller,
                                       v1::AppendSessionRequest request) {
  need_request_id(request);
  v1::SessionCommand command;
  *command.mutable_append() = std::move(request);
  return run(caller, std::move(command));
}

v1::SessionResult SessionFront::resolve(const SessionCaller& caller,
                                        const v1::ResolveSessionRequest& request) {
  v1::SessionCommand command;
  *command.mutable_resolve() = request;
  return run(caller, std::move(command));
}

v1::SessionResult SessionFront::truncate(const SessionCaller& caller,
                                         v1::TruncateSessionRequest request) {
  need_request_id(request);
  v1::SessionCommand command;
  *command.mutable_truncate() = std::move(request);
  return run(caller, std::move(command));
}

v1::SessionResult SessionFront::update(const SessionCaller& caller,
                                       v1::UpdateSessionRequest request) {
  need_request_id(request);
  v1::SessionCommand command;
  *command.mutable_update() = std::move(request);
  return run(caller, std::move(command));
}

v1::SessionResult SessionFront::remove(const SessionCaller& caller,
                                       v1::DeleteSessionRequest request) {
  need_request_id(request);
  v1::SessionCommand command;
  *command.mutable_delete_() = std::move(request);
  return run(caller, std::move(command));
}

// The source has moved on, or is gone, since the fork was asked for. If the new session's id stems
// from this very request and the session is there, an earlier try has made it.
v1::SessionResult SessionFront::forked_before(const SessionCaller& caller,
                                              const v1::ForkSessionRequest& request,
                                              v1::SessionResult refusal) {
  if (request.new_session_id() != session_id_for(caller.tenant, request.request_id())) {
    return refusal;
  }
  v1::ResolveSessionRequest ask;
  ask.set_session_id(request.new_session_id());
  auto made = resolve(caller, ask);
  const bool is_it =
      made.outcome() == v1::OUTCOME_OK && made.manifest().parent() == request.session_id();
  return is_it ? made : refusal;
}

v1::SessionResult SessionFront::fork(const SessionCaller& caller, v1::ForkSessionRequest request) {
  need_request_id(request);
  if (request.new_session_id().empty()) {
    request.set_new_session_id(session_id_for(caller.tenant, request.request_id()));
  }
  v1::ResolveSessionRequest ask;
  ask.set_session_id(request.session_id());
  ask.set_space(request.space());
  auto source = resolve(caller, ask);
  // By now its name may be another space's.
  const bool is_gone =
      source.outcome() == v1::OUTCOME_NOT_FOUND || source.outcome() == v1::OUTCOME_INVALID_ARGUMENT;
  if (is_gone) return forked_before(caller, request, source);
  if (source.outcome() != v1::OUTCOME_OK) return source;
  const uint64_t version = source.manifest().version();
  if (request.version() != 0 && request.version() != version) {
    auto refusal =
        failed(conflict("session '" + request.session_id() + "' has version " +
                        std::to_string(version) + ", not " + std::to_string(request.version())));
    refusal.set_version(version);
    return forked_before(caller, request, std::move(refusal));
  }
  v1::SessionCommand command;
  *command.mutable_fork()->mutable_request() = std::move(request);
  *command.mutable_fork()->mutable_source() = std::move(*source.mutable_manifest());
  return run(caller, std::move(command));
}

Result<v1::ListSessionsResponse> SessionFront::list_once(const ring::ClusterConfig& config,
                                                         const SessionCaller& caller,
                                                         v1::ListSlotRequest request) {
  request.set_epoch(config.epoch.value);
  std::set<ServerId> primaries;
  for (uint32_t slot = 0; slot < kSessionSlots; ++slot) {
    TARN_ASSIGN_OR_RETURN(const ServerId primary, primary_of(&config, {slot}));
    primaries.insert(primary);
  }
  std::vector<v1::SessionSummary> sessions;
  bool is_cut = false;
  for (const ServerId server : primaries) {
    TARN_ASSIGN_OR_RETURN(
        const auto part,
        x_options.calls.list(server, request, attempt_end(caller.deadline - kAnswerMargin)));
    sessions.insert(sessions.end(), part.sessions().begin(), part.sessions().end());
    is_cut |= !part.next().empty();
  }
  std::sort(sessions.begin(), sessions.end(),
            [](const auto& a, const auto& b) { return a.session_id() < b.session_id(); });
  // Each server gave its own first ones, so the first of all are among them.
  is_cut |= sessions.size() > request.limit();
  if (sessions.size() > request.limit()) sessions.resize(request.limit());
  v1::ListSessionsResponse response;
  if (is_cut && !sessions.empty()) response.set_next(sessions.back().session_id());
  for (auto& session : sessions)
    *response.add_sessions() = std::move(session);
  return response;
}

Result<v1::ListSessionsResponse> SessionFront::list(const SessionCaller& caller,
                                                    const v1::ListSessionsRequest& request) {
  v1::ListSlotRequest ask;
  ask.set_tenant(caller.tenant);
  ask.set_prefix(request.prefix());
  ask.set_after(request.after());
  const bool is_limited = request.limit() != 0 && request.limit() < kListLimitMax;
  const uint32_t limit = is_limited ? request.limit() : kListLimitMax;
  ask.set_limit(limit);
  const Instant deadline = caller.deadline - kAnswerMargin;
  for (int attempt = 0;; ++attempt) {
    const cluster::ConfigSnapshot config = x_options.config->current();
    const uint64_t epoch = config ? config->epoch.value : 0;
    Status why = unavailable("the router has no config yet");
    if (config) {
      auto listed = list_once(*config, caller, ask);
      // Under another config a slot may have moved from a server that was yet to be asked to one
      // that already was.
      const bool is_current = x_options.config->current() == config;
      if (listed.has_value() && is_current) return listed;
      if (!listed.has_value() && !is_undecided(listed.error().code())) {
        return listed.error().code() == Code::internal ? unavailable(listed.error().message())
                                                       : listed.error();
      }
      why = listed.has_value() ? unavailable("the config is changing") : listed.error();
    }
    if (has_gone(caller)) return cancelled("the caller waits no longer");
    if (!wait_for_next(epoch, attempt, deadline)) return unavailable(why.message());
    x_retries.add();
  }
}

}  // namespace tarn::session
