#include "router/cluster/controller.h"

#include <algorithm>
#include <map>
#include <utility>

#include "common/auth/ticket.h"
#include "common/base/check.h"
#include "common/base/fault_point.h"
#include "common/base/log.h"
#include "common/base/thread_name.h"

namespace tarn::cluster {
namespace {

bool is_serving(const ring::Member* member) {
  return member != nullptr &&
         (member->state == ring::MemberState::up || member->state == ring::MemberState::draining);
}

}  // namespace

Controller::Metrics::Metrics(metrics::Registry& registry)
    : epoch(registry.gauge("tarn_config_epoch", "Epoch of the config that this router runs.")),
      is_controller(registry.gauge("tarn_config_controller", "1 while it is the controller.")),
      is_reachable(registry.gauge("tarn_config_authority_reachable",
                                  "1 while the last call to the authority went through.")),
      is_pending(
          registry.gauge("tarn_config_pending", "1 while a change waits for the authority.")),
      changes(registry.counter("tarn_config_changes_total", "Epochs that this router has made.")),
      failures(registry.counter("tarn_config_failures_total",
                                "Changes that lost a race or did not reach the authority.")) {}

Controller::Controller(ControllerParts parts, ControllerOptions options)
    : x_parts(parts),
      x_options(std::move(options)),
      x_metrics(parts.registry),
      x_planner(x_options.timing, parts.clock.now()),
      x_retry_at(parts.clock.now()) {}

Controller::~Controller() {
  close();
}

void Controller::start() {
  TARN_CHECK(!x_thread.joinable());
  x_parts.authority.start([this] { wake(); });
  x_thread = std::thread([this] { run(); });
}

void Controller::close() {
  {
    MutexLock lock(x_mutex);
    x_is_closing = true;
    x_wake.notify_all();
  }
  if (x_thread.joinable()) x_thread.join();
  x_parts.authority.stop();
}

void Controller::wake() {
  MutexLock lock(x_mutex);
  x_is_woken = true;
  x_wake.notify_all();
}

void Controller::run() {
  set_thread_name("controller");
  while (true) {
    round();
    MutexLock lock(x_mutex);
    if (!x_is_woken && !x_is_closing) x_wake.wait_for(x_mutex, kControllerRound);
    x_is_woken = false;
    if (x_is_closing) return;
  }
}

void Controller::round() {
  follow();
  const bool is_controller = x_parts.authority.holds_lock();
  if (is_controller && !x_was_controller) {
    log::info("this router is the controller of {}", x_options.cluster);
    x_planner.restart_timers(x_parts.clock.now());
  }
  x_was_controller = is_controller;
  propose();
  measure();
}

void Controller::measure() {
  const ConfigSnapshot config = x_parts.view.current();
  x_metrics.epoch.set(config == nullptr ? 0 : static_cast<double>(config->epoch.value));
  x_metrics.is_controller.set(x_was_controller ? 1 : 0);
  x_metrics.is_reachable.set(x_parts.authority.reachable() ? 1 : 0);
  x_metrics.is_pending.set(pending_change().empty() ? 0 : 1);
}

void Controller::follow() {
  const auto stored = x_parts.authority.latest();
  if (stored == nullptr || !stored->state) return;
  if (std::exchange(x_followed, stored->revision) == stored->revision) return;
  {
    MutexLock lock(x_mutex);
    for (const member::NamedSpace& space : stored->state->spaces)
      note_space(space);
  }
  const ConfigSnapshot before = x_parts.view.current();
  const ring::ClusterConfig& now = stored->state->config;
  if (before != nullptr && now.epoch <= before->epoch) return;
  const Status published = x_parts.view.publish(now);
  if (!published.is_ok()) {
    log::error("config of epoch {}: {}", now.epoch.value, published.to_string());
    return;
  }
  tell_changes(before.get(), now);
}

void Controller::propose() {
  const auto stored = x_parts.authority.latest();
  if (stored == nullptr) return;
  const bool is_controller = x_parts.authority.holds_lock();
  // Without the authority nobody is the controller; then each router says what waits.
  if (!is_controller && x_parts.authority.reachable()) return set_pending("");
  const Instant now = x_parts.clock.now();
  if (!stored->state) {
    if (is_controller && now >= x_retry_at) propose_first(stored->revision);
    return;
  }
  const auto change = x_planner.plan(*stored->state, x_parts.servers.all(), now);
  set_pending(change && !x_parts.authority.reachable() ? change->words : "");
  if (!is_controller || now < x_retry_at) return;
  if (!change) return write_spaces(*stored);
  const auto swapped = swap(change->next, stored->revision);
  if (!swapped) return note_failure(swapped.status(), change->words);
  x_metrics.changes.add();
  log::info("epoch {}: {}", change->next.config.epoch.value, change->words);
  if (TARN_FAULT_POINT("controller.crash_after_swap")) return;
  set_pending("");
  follow();
}

void Controller::propose_first(uint64_t revision) {
  member::ClusterState state;
  state.config.cluster = x_options.cluster;
  state.config.epoch = Epoch{1};
  auto key = auth::make_ticket_key(1, 0);
  if (!key) return note_failure(key.status(), "the first config");
  state.config.ticket_keys.push_back(std::move(key).value());
  const auto swapped = swap(state, revision);
  if (!swapped) return note_failure(swapped.status(), "the first config");
  log::info("cluster {} begins", x_options.cluster);
  follow();
}

// Under the same epoch: nobody's work depends on it.
void Controller::write_spaces(const member::StoredState& stored) {
  std::vector<member::NamedSpace> spaces = stored.state->spaces;
  {
    MutexLock lock(x_mutex);
    for (const member::NamedSpace& space : x_spaces) {
      if (spaces.size() >= member::kNamedSpacesMax) break;
      if (std::find(spaces.begin(), spaces.end(), space) == spaces.end()) spaces.push_back(space);
    }
  }
  if (spaces.size() == stored.state->spaces.size()) return;
  member::ClusterState next = *stored.state;
  next.spaces = std::move(spaces);
  const auto swapped = swap(next, stored.revision);
  if (!swapped) note_failure(swapped.status(), "");
}

Result<uint64_t> Controller::swap(const member::ClusterState& next, uint64_t expected) {
  TARN_CHECK(next.config.epoch.value > 0);
  const Instant start = x_parts.clock.now();
  auto swapped = x_parts.authority.compare_and_swap(next, expected);
  // Longer than the call may take: it was us who stood still, and heartbeats may lie unread.
  const Instant end = x_parts.clock.now();
  if (end - start < member::kAuthorityTimeout + x_options.timing.interval) {
    x_planner.note_waiting(end);
  }
  return swapped;
}

void Controller::note_failure(const Status& status, const std::string& words) {
  x_metrics.failures.add();
  log::warn("{}: {}", words.empty() ? "spaces" : words, status.to_string());
  // A lost race, or an outcome that nobody knows: look again before the next attempt.
  if (!x_parts.authority.load().has_value()) {
    set_pending(words);
    x_retry_at = x_parts.clock.now() + kAuthorityPause;
  }
  x_planner.note_waiting(x_parts.clock.now());
}

Result<Epoch> Controller::change(const std::function<Status(ring::ClusterConfig&)>& edit) {
  for (int attempt = 0; attempt < kChangeAttempts; ++attempt) {
    TARN_ASSIGN_OR_RETURN(member::StoredState stored, x_parts.authority.load());
    if (!stored.state) return unavailable("the cluster has no config yet");
    member::ClusterState next = *std::move(stored.state);
    TARN_RETURN_IF_ERROR(edit(next.config));
    ++next.config.epoch.value;
    const auto swapped = x_parts.authority.compare_and_swap(next, stored.revision);
    if (swapped) {
      wake();
      return next.config.epoch;
    }
    if (swapped.error().code() != Code::conflict) return swapped.error();
  }
  return overloaded("the config changes too fast: try again");
}

void Controller::remember_space(const member::NamedSpace& space) {
  MutexLock lock(x_mutex);
  note_space(space);
}

std::vector<block::SpaceSpec> Controller::spaces(const std::string& tenant) const {
  MutexLock lock(x_mutex);
  std::vector<block::SpaceSpec> out;
  for (const member::NamedSpace& space : x_spaces) {
    if (space.tenant == tenant) out.push_back(space.spec);
  }
  return out;
}

std::optional<block::SpaceSpec> Controller::find_space(const std::string& tenant,
                                                       const SpaceId& id) const {
  for (block::SpaceSpec& spec : spaces(tenant)) {
    if (block::space_id(spec) == id) return std::move(spec);
  }
  return std::nullopt;
}

void Controller::note_space(const member::NamedSpace& space) {
  if (x_spaces.size() >= kSpacesMax) return;
  size_t of_tenant = 0;
  for (const member::NamedSpace& known : x_spaces) {
    if (known == space) return;
    of_tenant += known.tenant == space.tenant ? 1 : 0;
  }
  if (of_tenant < kTenantSpacesMax) x_spaces.push_back(space);
}

std::string Controller::pending_change() const {
  MutexLock lock(x_mutex);
  return x_pending;
}

void Controller::set_pending(std::string words) {
  MutexLock lock(x_mutex);
  if (x_pending == words) return;
  if (!words.empty()) log::warn("waits for the authority: {}", words);
  x_pending = std::move(words);
}

void Controller::tell_changes(const ring::ClusterConfig* before, const ring::ClusterConfig& after) {
  const int64_t unix_ms = x_parts.clock.unix_ms();
  for (const ring::Member& member : after.members) {
    const bool was = before != nullptr && is_serving(ring::find_member(*before, member.id));
    const bool is = is_serving(&member);
    if (was == is) continue;
    const EventKind kind = is ? EventKind::server_up : EventKind::server_lost;
    x_parts.events.tell({kind, member.name, "", after.epoch, unix_ms});
  }
  x_parts.events.tell({EventKind::epoch, "", "", after.epoch, unix_ms});
}

}  // namespace tarn::cluster
