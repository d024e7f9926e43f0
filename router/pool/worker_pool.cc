#include "router/pool/worker_pool.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "common/auth/identity.h"
#include "common/base/check.h"
#include "common/base/units.h"

namespace tarn::pool {
namespace {

constexpr size_t kEndpointBytesMax = 1024;
// The least that a request ahead is taken to cost, in tokens of prefill.
constexpr uint32_t kRequestTokensMin = 256;

Status check_beat(const WorkerBeat& beat) {
  TARN_RETURN_IF_ERROR(auth::make_identity(auth::Role::server, beat.name).status());
  if (beat.endpoint.empty() || beat.endpoint.size() > kEndpointBytesMax) {
    return invalid_argument("endpoint: must have 1 to 1024 bytes");
  }
  if (beat.capacity == 0 || beat.capacity > kWorkerCapacityMax) {
    return invalid_argument("capacity: must be 1 to 65536");
  }
  if (!std::isfinite(beat.prefill_tokens_per_s) || beat.prefill_tokens_per_s < 0) {
    return invalid_argument("prefill_tokens_per_s: is no speed");
  }
  if (beat.host.size() > kNameBytesMax) return invalid_argument("host: longer than 128 bytes");
  return Status::ok();
}

uint64_t prefill_us(const WorkerBeat& beat, double tokens) {
  const double speed =
      beat.prefill_tokens_per_s > 0 ? beat.prefill_tokens_per_s : kPrefillTokensPerS;
  // An hour is as good as for ever, and the sum of a few fits.
  return static_cast<uint64_t>(std::min(tokens / speed, 3600.0) * 1e6);
}

// Until the request's own prefill could begin: requests that wait, each for about as long as this
// one, and what is running, as far as it takes a share of the worker.
uint64_t queue_us(const WorkerBeat& beat, uint32_t sent, uint32_t new_tokens) {
  const double each = std::max(new_tokens, kRequestTokensMin);
  const double busy = double{0} + beat.running + sent;
  const double ahead = beat.queued + std::max(0.0, busy + 1 - beat.capacity);
  const double share = std::min(1.0, busy / beat.capacity);
  return prefill_us(beat, each * (ahead + share));
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

WorkerPool::WorkerPool(const Clock& clock, Millis dead_after, Listeners listeners)
    : x_clock(clock), x_dead_after(dead_after), x_listeners(std::move(listeners)) {
  TARN_CHECK(x_listeners.up && x_listeners.lost);
}

uint64_t WorkerPool::enter() {
  MutexLock lock(x_mutex);
  return x_next_stream++;
}

Result<WorkerPool::Worker*> WorkerPool::admit(const Key& key, uint64_t stream) {
  const auto found = x_workers.find(key);
  if (found != x_workers.end()) {
    if (found->second.stream > stream) {
      return already_exists("a newer stream beats for worker " + key.second);
    }
    found->second.stream = stream;
    return &found->second;
  }
  if (x_workers.size() >= kWorkersMax) return overloaded("4096 workers are registered");
  Worker& worker = x_workers[key];
  worker.stream = stream;
  return &worker;
}

Result<bool> WorkerPool::beat(uint64_t stream, const std::string& tenant, const WorkerBeat& beat) {
  TARN_CHECK(!tenant.empty());
  TARN_RETURN_IF_ERROR(check_beat(beat));
  bool is_new = false;
  bool is_drained = false;
  {
    MutexLock lock(x_mutex);
    TARN_ASSIGN_OR_RETURN(Worker* const worker, admit({tenant, beat.name}, stream));
    is_new = !std::exchange(worker->is_told_up, true);
    worker->beat = beat;
    worker->last_heard = x_clock.now();
    worker->sent = 0;
    is_drained = worker->is_drained;
  }
  if (is_new) x_listeners.up(tenant, beat.name);
  return is_drained;
}

void WorkerPool::leave(uint64_t stream) {
  std::vector<Key> gone;
  {
    MutexLock lock(x_mutex);
    for (const auto& [key, worker] : x_workers) {
      if (worker.stream == stream && worker.is_told_up) gone.push_back(key);
    }
    std::erase_if(x_workers, [stream](const auto& entry) { return entry.second.stream == stream; });
  }
  for (const Key& key : gone)
    x_listeners.lost(key.first, key.second);
}

void WorkerPool::sweep() {
  std::vector<Key> silent;
  {
    MutexLock lock(x_mutex);
    const Instant now = x_clock.now();
    for (auto& [key, worker] : x_workers) {
      if (is_alive(worker, now) || !std::exchange(worker.is_told_up, false)) continue;
      silent.push_back(key);
    }
  }
  for (const Key& key : silent)
    x_listeners.lost(key.first, key.second);
}

Status WorkerPool::drain(const std::string& tenant, const std::string& name) {
  MutexLock lock(x_mutex);
  bool is_found = false;
  for (auto& [key, worker] : x_workers) {
    if (key.second != name || (!tenant.empty() && key.first != tenant)) continue;
    worker.is_drained = true;
    is_found = true;
  }
  return is_found ? Status::ok() : not_found("no worker " + name);
}

std::vector<WorkerView> WorkerPool::list(const std::string& tenant) const {
  MutexLock lock(x_mutex);
  const Instant now = x_clock.now();
  std::vector<WorkerView> out;
  for (const auto& [key, worker] : x_workers) {
    if (!tenant.empty() && key.first != tenant) continue;
    const auto silent = std::chrono::duration_cast<Millis>(now - worker.last_heard);
    out.push_back({worker.beat, key.first, silent, is_alive(worker, now), worker.is_drained});
  }
  return out;
}

bool WorkerPool::is_alive(const Worker& worker, Instant now) const {
  return now - worker.last_heard < x_dead_after;
}

bool WorkerPool::may_serve(const Key& key, const Worker& worker,
                           const RouteQuestion& question) const {
  return key.first == question.tenant && worker.beat.space == question.space &&
         !worker.beat.draining && !worker.is_drained && !contains(question.exclude, key.second) &&
         is_alive(worker, x_clock.now());
}

Result<RouteAnswer> WorkerPool::route(const RouteQuestion& question) {
  if (question.exclude.size() > kExcludedMax) {
    return invalid_argument("exclude: more than 256 names");
  }
  MutexLock lock(x_mutex);
  Worker* best = nullptr;
  std::tuple<uint64_t, uint64_t> best_rank;
  for (auto& [key, worker] : x_workers) {
    if (!may_serve(key, worker, question)) continue;
    // What would be slower to fetch than to compute is computed.
    const uint64_t prefix_us =
        std::min(question.fetch.fetch_us, prefill_us(worker.beat, question.fetch.cached_tokens));
    const uint64_t cost_us = queue_us(worker.beat, worker.sent, question.new_tokens) + prefix_us +
                             prefill_us(worker.beat, question.new_tokens);
    const std::tuple rank(cost_us, worker.chosen_at);
    if (best == nullptr || rank < best_rank) {
      best = &worker;
      best_rank = rank;
    }
  }
  if (best == nullptr) return unavailable("no worker serves this space now");
  RouteAnswer answer;
  answer.worker = best->beat.name;
  answer.endpoint = best->beat.endpoint;
  answer.queue_us = queue_us(best->beat, best->sent, question.new_tokens);
  answer.fetch_us = question.fetch.fetch_us;
  answer.cached_tokens = question.fetch.cached_tokens;
  ++best->sent;
  best->chosen_at = ++x_choices;
  return answer;
}

}  // namespace tarn::pool
