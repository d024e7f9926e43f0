#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "common/base/mutex.h"
#include "common/base/status.h"

namespace tarn::sdk {

// Jobs that wait for a thread; one more is overloaded.
inline constexpr size_t kBackgroundJobsMax = 1024;
// So that a few servers that do not answer leave a thread for the routers.
inline constexpr size_t kBackgroundThreads = 4;

// The threads "tarn-connect" of a client: they make the calls that may block, each of which has its
// own deadline, so that the io thread never does. Thread-safe. Life: start with the first job,
// stop.
class Background {
 public:
  Background() = default;
  ~Background() { stop(); }

  // Returns: ok, overloaded, cancelled (stopped).
  Status submit(std::function<void()> job);

  // Drops what waits and joins the threads; a job that runs is awaited. Idempotent.
  void stop();

 private:
  void run();

  Mutex x_mutex;
  CondVar x_changed;
  std::deque<std::function<void()>> x_jobs TARN_GUARDED_BY(x_mutex);
  std::vector<std::thread> x_threads TARN_GUARDED_BY(x_mutex);
  size_t x_idle TARN_GUARDED_BY(x_mutex) = 0;
  bool x_stopped TARN_GUARDED_BY(x_mutex) = false;
};

}  // namespace tarn::sdk
