#include "server/session/slot_store.h"

#include <algorithm>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/thread_name.h"
#include "common/base/units.h"
#include "common/block/key.h"
#include "common/metrics/stage_timer.h"
#include "common/ring/position.h"
#include "common/rpc/convert.h"
#include "common/rpc/session_command.h"

namespace tarn::session {
namespace {

constexpr uint32_t kListLimitMax = 1000;
constexpr char kBusy[] = "the server works on as many session commands as it may";

// One of the commands that the server works on, for as long as it lives.
class Counted {
 public:
  explicit Counted(std::atomic<int>& running) : x_running(running) { x_number = ++running; }
  ~Counted() { --x_running; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  bool fits() const { return x_number <= kCommandsMax; }

 private:
  std::atomic<int>& x_running;
  int x_number;
};

v1::SessionResult refusal(Code code, std::string message, uint64_t epoch) {
  v1::SessionResult result;
  result.set_outcome(rpc::to_outcome(code));
  result.set_message(std::move(message));
  result.set_epoch(epoch);
  return result;
}

bool holds(const std::vector<ServerId>& members, ServerId id) {
  return std::find(members.begin(), members.end(), id) != members.end();
}

void add_summary(const v1::Manifest& manifest, v1::ListSessionsResponse& list) {
  auto* summary = list.add_sessions();
  summary->set_session_id(manifest.session_id());
  summary->set_space(manifest.space());
  summary->set_version(manifest.version());
  summary->set_block_count(block_count(manifest));
  summary->set_token_count(manifest.token_count());
  summary->set_pinned(manifest.pinned());
  summary->set_updated_unix_ms(manifest.updated_unix_ms());
  summary->set_parent(manifest.parent());
}

// The first `limit` of all slots' sessions, in order of id; each slot gave its own first ones.
void merge(v1::ListSessionsResponse& list, uint32_t limit) {
  auto& sessions = *list.mutable_sessions();
  std::sort(sessions.begin(), sessions.end(),
            [](const auto& a, const auto& b) { return a.session_id() < b.session_id(); });
  if (static_cast<uint32_t>(sessions.size()) <= limit) return;
  sessions.DeleteSubrange(static_cast<int>(limit), sessions.size() - static_cast<int>(limit));
  list.set_next(sessions[static_cast<int>(limit) - 1].session_id());
}

}  // namespace

Result<std::unique_ptr<SlotStore>> SlotStore::open(SlotStoreOptions options) {
  TARN_CHECK(options.clock != nullptr);
  std::unique_ptr<SlotStore> store(new SlotStore(std::move(options)));
  SlotLogHooks hooks;
  hooks.on_fsync = [&metrics = store->x_metrics](Nanos took) { metrics.fsync.record(took); };
  hooks.on_suspect = [raw = store.get()](const Status& why) {
    raw->x_metrics.log_suspect.set(1);
    if (raw->x_options.on_suspect) raw->x_options.on_suspect(why);
  };
  TARN_ASSIGN_OR_RETURN(auto log, SlotLog::open(store->x_options.folder, std::move(hooks)));
  store->adopt(std::move(log));
  return store;
}

SlotStore::SlotStore(SlotStoreOptions options)
    : x_options(std::move(options)),
      x_metrics(x_options.registry != nullptr ? *x_options.registry : x_own_registry) {}

void SlotStore::adopt(std::unique_ptr<SlotLog> log) {
  x_log = std::move(log);
  x_slots.reserve(kSessionSlots);
  const SlotPrimary::Needs needs{x_options.peers, *x_options.clock, x_metrics,
                                 x_options.slot_bytes_max};
  for (uint32_t i = 0; i < kSessionSlots; ++i)
    x_slots.push_back(std::make_unique<Slot>(SlotId{i}, *x_log, needs));
  if (x_options.teach_interval.count() > 0) x_thread = std::thread([this] { run(); });
}

SlotStore::~SlotStore() {
  {
    const MutexLock lock(x_mutex);
    x_stopping = true;
  }
  x_wake.notify_all();
  if (x_thread.joinable()) x_thread.join();
}

void SlotStore::set_config(std::shared_ptr<const ring::ClusterConfig> config, ServerId self) {
  TARN_CHECK(config != nullptr);
  const MutexLock lock(x_mutex);
  if (x_config.cluster && x_config.cluster->epoch > config->epoch) return;
  if (x_config.cluster) keep_caught_up(*x_config.cluster, *config);
  x_config = {std::move(config), self};
  for (const auto& slot : x_slots)
    slot->primary.set_newest_epoch(x_config.cluster->epoch.value);
  x_wake.notify_all();
}

void SlotStore::forget_config() {
  const MutexLock lock(x_mutex);
  x_config = {};
}

// Where nothing of the slot changed from one epoch to the next, the primary that told us we hold
// the whole log still acknowledges nothing without us. Across epochs that we did not see it may
// have: it tells us again.
void SlotStore::keep_caught_up(const ring::ClusterConfig& before,
                               const ring::ClusterConfig& after) {
  if (after.epoch.value != before.epoch.value + 1) return;
  for (uint32_t i = 0; i < kSessionSlots; ++i) {
    if (before.slots[i] != after.slots[i]) continue;
    uint64_t told = before.epoch.value;
    x_slots[i]->complete_epoch.compare_exchange_strong(told, after.epoch.value);
  }
}

SlotStore::Config SlotStore::config() const {
  const MutexLock lock(x_mutex);
  return x_config;
}

SlotView SlotStore::view_of(const Config& config, uint32_t slot) const {
  TARN_CHECK(slot < kSessionSlots);
  if (!config.cluster) return {};
  return {config.cluster->epoch.value, config.self, config.cluster->slots[slot]};
}

v1::SessionResult SlotStore::execute(const v1::SessionCommand& command, Instant deadline) {
  const Counted counted(x_running);
  const metrics::ScopedStage timed(x_metrics.seconds_of(command), *x_options.clock);
  auto result = counted.fits() ? execute_counted(command, deadline)
                               : refusal(Code::overloaded, kBusy, command.epoch());
  if (result.outcome() == v1::OUTCOME_OVERLOADED) x_metrics.overloaded.add();
  return result;
}

v1::SessionResult SlotStore::execute_counted(const v1::SessionCommand& command, Instant deadline) {
  const Config now = config();
  if (!now.cluster) return refusal(Code::unavailable, "the server has no config yet", 0);
  const uint64_t epoch = now.cluster->epoch.value;
  if (command.epoch() > epoch) {
    return refusal(Code::stale_epoch, "the server still runs epoch " + std::to_string(epoch),
                   epoch);
  }
  const auto position =
      ring::session_position(block::tenant_id(command.tenant()), rpc::session_id_of(command));
  const uint32_t slot = ring::slot_of(position).value;
  return x_slots[slot]->primary.execute(view_of(now, slot), command, deadline);
}

Result<v1::ListSessionsResponse> SlotStore::list(const v1::ListSlotRequest& request,
                                                 Instant deadline) {
  const Counted counted(x_running);
  const metrics::ScopedStage timed(*x_metrics.list, *x_options.clock);
  if (counted.fits()) return list_counted(request, deadline);
  x_metrics.overloaded.add();
  return overloaded(kBusy);
}

Result<v1::ListSessionsResponse> SlotStore::list_counted(const v1::ListSlotRequest& request,
                                                         Instant deadline) {
  const Config now = config();
  if (!now.cluster) return unavailable("the server has no config yet");
  const uint64_t epoch = now.cluster->epoch.value;
  // Servers of two epochs would together leave out a slot that moved between them. A router that
  // names no epoch is older than this field.
  if (request.epoch() != 0 && request.epoch() != epoch) {
    return stale_epoch("the server runs epoch " + std::to_string(epoch) + ", not " +
                       std::to_string(request.epoch()));
  }
  v1::ListSlotRequest bounded = request;
  const bool is_limited = request.limit() != 0 && request.limit() < kListLimitMax;
  bounded.set_limit(is_limited ? request.limit() : kListLimitMax);
  v1::ListSessionsResponse list;
  for (uint32_t i = 0; i < kSessionSlots; ++i) {
    const SlotView view = view_of(now, i);
    if (!view.is_primary()) continue;
    uint32_t taken = 0;
    const auto add = [&](const v1::Manifest& manifest) {
      add_summary(manifest, list);
      return ++taken < bounded.limit() + 1;
    };
    TARN_RETURN_IF_ERROR(x_slots[i]->primary.list(view, bounded, deadline, add));
  }
  merge(list, bounded.limit());
  return list;
}

v1::ReplicateResponse SlotStore::replicate(const v1::ReplicateRequest& request) {
  v1::ReplicateResponse response;
  if (request.slot() >= kSessionSlots) {
    response.set_outcome(v1::OUTCOME_INVALID_ARGUMENT);
    response.set_message("slot: there are only " + std::to_string(kSessionSlots));
    return response;
  }
  Slot& slot = *x_slots[request.slot()];
  response = slot.member.replicate(request);
  if (response.outcome() == v1::OUTCOME_OK && request.complete()) {
    slot.complete_epoch.store(request.epoch());
  }
  return response;
}

v1::ConfirmResponse SlotStore::confirm(const v1::ConfirmRequest& request) {
  v1::ConfirmResponse response;
  response.set_outcome(v1::OUTCOME_INVALID_ARGUMENT);
  if (request.slot() >= kSessionSlots) return response;
  return x_slots[request.slot()]->member.confirm(request);
}

v1::ReadLogResponse SlotStore::read_log(const v1::ReadLogRequest& request) {
  v1::ReadLogResponse response;
  response.set_outcome(v1::OUTCOME_INVALID_ARGUMENT);
  if (request.slot() >= kSessionSlots) return response;
  return x_slots[request.slot()]->member.read_log(request);
}

std::vector<uint32_t> SlotStore::caught_up_slots() const {
  const Config now = config();
  std::vector<uint32_t> slots;
  if (!now.cluster) return slots;
  for (uint32_t i = 0; i < kSessionSlots; ++i) {
    const bool is_learner = holds(now.cluster->slots[i].learners, now.self);
    if (is_learner && x_slots[i]->complete_epoch.load() == now.cluster->epoch.value) {
      slots.push_back(i);
    }
  }
  return slots;
}

void SlotStore::teach_learners() {
  const Config now = config();
  if (!now.cluster) return;
  for (uint32_t turn = 0; turn < kSessionSlots; ++turn) {
    const uint32_t i = x_next_lesson;
    x_next_lesson = (i + 1) % kSessionSlots;
    const SlotView view = view_of(now, i);
    if (!view.is_primary() || view.entry.learners.empty()) continue;
    const Status status = x_slots[i]->primary.teach_learners(view);
    if (!status.is_ok()) log::debug("slot {}: learners wait: {}", i, status.to_string());
    if (config().cluster != now.cluster) return;
  }
}

void SlotStore::run() {
  set_thread_name("tarn-slots");
  while (true) {
    teach_learners();
    const MutexLock lock(x_mutex);
    if (!x_stopping) x_wake.wait_for(x_mutex, x_options.teach_interval);
    if (x_stopping) return;
  }
}

}  // namespace tarn::session
