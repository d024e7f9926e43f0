#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "common/base/mutex.h"
#include "sdk/cpp/include/tarn/tarn.h"

namespace tarn::python {

// Jobs that wait for a thread; one more fails at once.
inline constexpr size_t kLmcacheJobsMax = 1024;
// Jobs under way at once.
inline constexpr size_t kLmcacheThreads = 4;

// One batch that LMCache asked for. Slices are those of its buffers, one for each name.
struct LmcacheJob {
  enum class Kind : uint8_t { set, get, exists };
  uint64_t id = 0;
  Kind kind = Kind::exists;
  std::vector<BlockHash> names;
  std::vector<Slice> slices;
};

// How a batch ended. `done` has one entry for each key: kept, loaded or found.
struct LmcacheCompletion {
  uint64_t id = 0;
  bool ok = false;
  std::string error;
  std::vector<bool> done;
};

struct LmcacheSettings {
  ClientOptions client;
  SpaceSpec space;
  CallOptions call;
};

// The native plugin of LMCache: batches go to threads of its own, and what has ended is told by an
// eventfd. Touches no Python. While Tarn is away, which one thread finds out, batches fail at once.
// Thread-safe. Life: starts its threads when made; close, or the destructor, awaits what is under
// way. The memory of a batch is in use until drain() has returned its completion, or close() has
// ended.
class LmcacheConnector {
 public:
  explicit LmcacheConnector(LmcacheSettings settings);
  ~LmcacheConnector() { close(); }
  LmcacheConnector(const LmcacheConnector&) = delete;
  LmcacheConnector& operator=(const LmcacheConnector&) = delete;

  // Readable when drain() would return something; -1 where the process has no descriptor left.
  int event_fd() const { return x_event_fd; }
  // Never blocks. Returns the batch's id, above 0.
  uint64_t submit(LmcacheJob job);
  std::vector<LmcacheCompletion> drain();
  // Why Tarn went away, or that it is back, once for each change; empty where nothing changed.
  std::string take_notice();
  void close();

 private:
  void work();
  void keep_up();
  Expected<Done> contact();
  LmcacheCompletion run(const LmcacheJob& job);
  LmcacheCompletion move(Space& space, const LmcacheJob& job);
  LmcacheCompletion ask(Space& space, const LmcacheJob& job);
  void finish(LmcacheCompletion completion) TARN_REQUIRES(x_mutex);
  std::optional<Space> space();
  void failed(Outcome outcome, const std::string& message);
  void note(std::string notice) TARN_REQUIRES(x_mutex);

  const LmcacheSettings x_settings;
  const int x_event_fd;
  Mutex x_mutex;
  CondVar x_changed;
  std::deque<LmcacheJob> x_jobs TARN_GUARDED_BY(x_mutex);
  std::vector<LmcacheCompletion> x_ended TARN_GUARDED_BY(x_mutex);
  std::string x_notice TARN_GUARDED_BY(x_mutex);
  uint64_t x_last_id TARN_GUARDED_BY(x_mutex) = 0;
  bool x_is_up TARN_GUARDED_BY(x_mutex) = false;
  bool x_was_told_away TARN_GUARDED_BY(x_mutex) = false;
  bool x_closed TARN_GUARDED_BY(x_mutex) = false;
  std::optional<Client> x_client;  // of the thread that keeps up
  std::optional<Space> x_space TARN_GUARDED_BY(x_mutex);
  std::vector<std::thread> x_threads;
};

// The block's name: SHA-256 of LMCache's key, which may be longer than a name.
BlockHash lmcache_block_name(std::string_view key);

}  // namespace tarn::python
