#include "sdk/cpp/src/background.h"

#include <utility>

#include "common/base/check.h"
#include "common/base/thread_name.h"

namespace tarn::sdk {

Status Background::submit(std::function<void()> job) {
  TARN_CHECK(job != nullptr);
  const MutexLock lock(x_mutex);
  if (x_stopped) return cancelled("the client is closing");
  if (x_jobs.size() >= kBackgroundJobsMax) return overloaded("too many calls wait for routers");
  x_jobs.push_back(std::move(job));
  if (x_idle < x_jobs.size() && x_threads.size() < kBackgroundThreads) {
    x_threads.emplace_back([this] { run(); });
  }
  x_changed.notify_one();
  return Status::ok();
}

void Background::stop() {
  std::vector<std::thread> threads;
  {
    const MutexLock lock(x_mutex);
    x_stopped = true;
    x_jobs.clear();
    threads.swap(x_threads);
    x_changed.notify_all();
  }
  for (std::thread& thread : threads)
    thread.join();
}

void Background::run() {
  set_thread_name("tarn-connect");
  while (true) {
    std::function<void()> job;
    {
      const MutexLock lock(x_mutex);
      ++x_idle;
      while (x_jobs.empty() && !x_stopped)
        x_changed.wait(x_mutex);
      --x_idle;
      if (x_stopped) return;
      job = std::move(x_jobs.front());
      x_jobs.pop_front();
    }
    job();
  }
}

}  // namespace tarn::sdk
