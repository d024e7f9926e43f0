#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/mutex.h"
#include "common/base/result.h"
#include "router/pool/cost.h"

namespace tarn::pool {

// Limits of one router's pool.
inline constexpr size_t kWorkersMax = 4096;
inline constexpr size_t kExcludedMax = 256;
inline constexpr uint32_t kWorkerCapacityMax = 65536;
// Taken for a worker that has not said how fast it is.
inline constexpr double kPrefillTokensPerS = 1000;

// What a worker says of itself in each beat.
struct WorkerBeat {
  std::string name;
  std::string endpoint;
  SpaceId space;
  uint32_t capacity = 1;
  uint32_t running = 0;
  uint32_t queued = 0;
  double prefill_tokens_per_s = 0;
  bool draining = false;
  std::string host;
};

struct WorkerView {
  WorkerBeat beat;
  std::string tenant;
  Millis silent{0};
  bool is_alive = false;
  bool is_drained = false;  // by an operator or its tenant
};

struct RouteQuestion {
  std::string tenant;
  SpaceId space;
  uint32_t new_tokens = 0;
  std::vector<std::string> exclude;
  FetchCost fetch;
};

struct RouteAnswer {
  std::string worker;
  std::string endpoint;
  uint64_t queue_us = 0;
  uint64_t fetch_us = 0;
  uint32_t cached_tokens = 0;
};

// The workers that are registered with this router, and the choice among them by cost alone: what
// waits at a worker, and what it would take to have the prefix there. Which worker served the
// session before is not known here. State is in memory: workers register again with the next
// router. Thread-safe.
class WorkerPool {
 public:
  // `lost` and `up` are told of each worker that comes and goes, by tenant and name, with the pool
  // free to be called.
  using Listener = std::function<void(const std::string& tenant, const std::string& name)>;
  struct Listeners {
    Listener up;
    Listener lost;
  };

  WorkerPool(const Clock& clock, Millis dead_after, Listeners listeners);

  // A stream begins that will beat for one worker. Returns its number for the calls below.
  uint64_t enter();

  // A newer stream of the same worker takes it over. Returns: whether the worker shall drain;
  // invalid_argument naming the field; exists when a newer stream has the worker; overloaded.
  Result<bool> beat(uint64_t stream, const std::string& tenant, const WorkerBeat& beat);

  // The stream has ended, and so has the worker unless a newer stream has it.
  void leave(uint64_t stream);

  // Tells of workers that have fallen silent; to be called every so often.
  void sweep();

  // An empty tenant stands for an operator and all tenants' workers. Returns: ok, not_found.
  Status drain(const std::string& tenant, const std::string& name);
  std::vector<WorkerView> list(const std::string& tenant) const;

  // The cheapest worker of the tenant and space that is alive, not draining and not excluded; the
  // least recently chosen of equals. Returns: the answer, unavailable when there is none,
  // invalid_argument.
  Result<RouteAnswer> route(const RouteQuestion& question);

 private:
  using Key = std::pair<std::string, std::string>;  // tenant, name

  struct Worker {
    WorkerBeat beat;
    uint64_t stream = 0;
    Instant last_heard;
    bool is_drained = false;
    bool is_told_up = false;
    // Requests sent here since it last spoke; it does not count them itself yet.
    uint32_t sent = 0;
    uint64_t chosen_at = 0;
  };

  bool is_alive(const Worker& worker, Instant now) const;
  bool may_serve(const Key& key, const Worker& worker, const RouteQuestion& question) const
      TARN_REQUIRES(x_mutex);
  Result<Worker*> admit(const Key& key, uint64_t stream) TARN_REQUIRES(x_mutex);

  const Clock& x_clock;
  const Millis x_dead_after;
  const Listeners x_listeners;
  mutable Mutex x_mutex;
  std::map<Key, Worker> x_workers TARN_GUARDED_BY(x_mutex);
  uint64_t x_next_stream TARN_GUARDED_BY(x_mutex) = 1;
  uint64_t x_choices TARN_GUARDED_BY(x_mutex) = 0;
};

}  // namespace tarn::pool
