#include "sdk/python/src/lmcache_connector.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <span>
#include <utility>

#include "common/base/check.h"
#include "common/base/thread_name.h"
#include "common/block/sha256.h"

namespace tarn::python {
namespace {

constexpr auto kProbeInterval = std::chrono::seconds(1);
constexpr uint32_t kProbeTimeoutMs = 1000;
constexpr size_t kExistsMax = 8192;

// After these whoever asks next would fail as well, and wait for it.
bool is_away(Outcome outcome) {
  return outcome == Outcome::unavailable || outcome == Outcome::deadline_exceeded ||
         outcome == Outcome::unauthenticated || outcome == Outcome::permission_denied;
}

LmcacheCompletion failure(const LmcacheJob& job, std::string error) {
  return {job.id, false, std::move(error), std::vector<bool>(job.names.size(), false)};
}

Transfer start(Space& space, const LmcacheJob& job, const CallOptions& options) {
  if (job.kind == LmcacheJob::Kind::set) {
    std::vector<PutItem> items(job.names.size());
    for (size_t i = 0; i < items.size(); ++i) {
      items[i].hash = job.names[i];
      items[i].slices = {job.slices[i]};
    }
    return space.put_kv(items, options);
  }
  std::vector<GetItem> items(job.names.size());
  for (size_t i = 0; i < items.size(); ++i) {
    items[i].hash = job.names[i];
    items[i].slices = {job.slices[i]};
  }
  return space.get_kv(items, options);
}

}  // namespace

LmcacheConnector::LmcacheConnector(LmcacheSettings settings)
    : x_settings(std::move(settings)), x_event_fd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  x_threads.emplace_back([this] { keep_up(); });
  for (size_t i = 0; i < kLmcacheThreads; ++i) {
    x_threads.emplace_back([this] { work(); });
  }
}

uint64_t LmcacheConnector::submit(LmcacheJob job) {
  TARN_CHECK(job.kind == LmcacheJob::Kind::exists || job.slices.size() == job.names.size());
  const MutexLock lock(x_mutex);
  job.id = ++x_last_id;
  const uint64_t id = job.id;
  if (x_closed || x_jobs.size() >= kLmcacheJobsMax) {
    finish(failure(job, x_closed ? "the connector is closed" : "too many batches wait"));
    return id;
  }
  x_jobs.push_back(std::move(job));
  x_changed.notify_all();
  return id;
}

std::vector<LmcacheCompletion> LmcacheConnector::drain() {
  const MutexLock lock(x_mutex);
  eventfd_t count = 0;
  (void)eventfd_read(x_event_fd, &count);
  return std::exchange(x_ended, {});
}

std::string LmcacheConnector::take_notice() {
  const MutexLock lock(x_mutex);
  return std::exchange(x_notice, {});
}

void LmcacheConnector::close() {
  {
    const MutexLock lock(x_mutex);
    if (x_closed) return;
    x_closed = true;
    for (const LmcacheJob& job : x_jobs)
      finish(failure(job, "the connector is closed"));
    x_jobs.clear();
    x_changed.notify_all();
  }
  for (std::thread& thread : x_threads)
    thread.join();
  if (x_event_fd >= 0) ::close(x_event_fd);
}

void LmcacheConnector::work() {
  set_thread_name("tarn-lmcache");
  while (true) {
    LmcacheJob job;
    {
      const MutexLock lock(x_mutex);
      while (x_jobs.empty() && !x_closed)
        x_changed.wait(x_mutex);
      if (x_closed) return;
      job = std::move(x_jobs.front());
      x_jobs.pop_front();
    }
    LmcacheCompletion completion = run(job);
    const MutexLock lock(x_mutex);
    finish(std::move(completion));
  }
}

void LmcacheConnector::keep_up() {
  set_thread_name("tarn-link");
  while (true) {
    {
      const MutexLock lock(x_mutex);
      while (x_is_up && !x_closed)
        x_changed.wait(x_mutex);
      if (x_closed) return;
    }
    const Expected<Done> contacted = contact();
    const MutexLock lock(x_mutex);
    if (contacted) {
      x_is_up = true;
      if (std::exchange(x_was_told_away, false)) note("Tarn is back and used again");
      continue;
    }
    if (!std::exchange(x_was_told_away, true)) {
      note("Tarn is away, going on without it: " + contacted.error().message);
    }
    if (!x_closed) x_changed.wait_for(x_mutex, kProbeInterval);
  }
}

Expected<Done> LmcacheConnector::contact() {
  if (!x_client) {
    auto client = Client::connect(x_settings.client);
    if (!client) return client.error();
    x_client = *std::move(client);
  }
  const CallOptions options{.timeout_ms = kProbeTimeoutMs};
  auto opened = x_client->open_space(x_settings.space, options);
  if (!opened) return opened.error();
  const BlockHash probe = lmcache_block_name("is anybody there");
  auto answered = opened->exists({&probe, 1}, options);
  if (!answered) return answered.error();
  const MutexLock lock(x_mutex);
  x_space = *std::move(opened);
  return Done{};
}

LmcacheCompletion LmcacheConnector::run(const LmcacheJob& job) {
  std::optional<Space> up = space();
  if (!up) return failure(job, "Tarn is away");
  return job.kind == LmcacheJob::Kind::exists ? ask(*up, job) : move(*up, job);
}

LmcacheCompletion LmcacheConnector::move(Space& space, const LmcacheJob& job) {
  Transfer transfer = start(space, job, x_settings.call);
  const auto waited = transfer.wait();
  if (!waited) {
    failed(waited.error().outcome, waited.error().message);
    transfer.cancel();
    return failure(job, waited.error().message);
  }
  LmcacheCompletion completion = failure(job, {});
  const std::span<const BlockOutcome> outcomes = transfer.outcomes();
  for (size_t i = 0; i < outcomes.size(); ++i) {
    const BlockOutcome& block = outcomes[i];
    completion.done[i] = block.outcome == Outcome::ok || block.outcome == Outcome::exists ||
                         block.outcome == Outcome::kept_less;
    if (completion.done[i] || block.outcome == Outcome::miss) continue;
    failed(block.outcome, block.message);
    if (completion.error.empty()) completion.error = block.message;
  }
  completion.ok = job.kind == LmcacheJob::Kind::get ? completion.error.empty()
                                                    : !std::ranges::count(completion.done, false);
  return completion;
}

LmcacheCompletion LmcacheConnector::ask(Space& space, const LmcacheJob& job) {
  LmcacheCompletion completion = failure(job, {});
  completion.done.clear();
  for (size_t first = 0; first < job.names.size(); first += kExistsMax) {
    const size_t count = std::min(kExistsMax, job.names.size() - first);
    auto found = space.exists(std::span(job.names).subspan(first, count), x_settings.call);
    if (!found) {
      failed(found.error().outcome, found.error().message);
      return failure(job, found.error().message);
    }
    completion.done.insert(completion.done.end(), found->begin(), found->end());
  }
  completion.ok = true;
  return completion;
}

void LmcacheConnector::finish(LmcacheCompletion completion) {
  x_ended.push_back(std::move(completion));
  if (x_event_fd >= 0) (void)eventfd_write(x_event_fd, 1);
}

std::optional<Space> LmcacheConnector::space() {
  const MutexLock lock(x_mutex);
  return x_is_up ? x_space : std::nullopt;
}

void LmcacheConnector::failed(Outcome outcome, const std::string& message) {
  if (!is_away(outcome)) return;
  const MutexLock lock(x_mutex);
  x_is_up = false;
  if (!std::exchange(x_was_told_away, true)) {
    note("Tarn is away, going on without it: " + message);
  }
  x_changed.notify_all();
}

void LmcacheConnector::note(std::string notice) {
  x_notice = std::move(notice);
  if (x_event_fd >= 0) (void)eventfd_write(x_event_fd, 1);
}

BlockHash lmcache_block_name(std::string_view key) {
  const block::Digest256 digest = block::sha256(key);
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

}  // namespace tarn::python
