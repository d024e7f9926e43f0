#include "server/thread/inbox.h"

#include <utility>

namespace tarn::thread {

Status Inbox::post(Task task) {
  return add(std::move(task), kCapacity);
}

Status Inbox::post_news(Task task) {
  return add(std::move(task), kCapacity + kReserved);
}

void Inbox::post_answer(Task task) {
  {
    const MutexLock lock(x_mutex);
    x_tasks.push_back(std::move(task));
  }
  x_event.signal();
}

Status Inbox::add(Task task, size_t capacity) {
  {
    const MutexLock lock(x_mutex);
    if (x_closed) return unavailable("the server is closing");
    if (x_tasks.size() >= capacity) return overloaded("too much waits for this thread");
    x_tasks.push_back(std::move(task));
  }
  x_event.signal();
  return Status::ok();
}

size_t Inbox::run_all() {
  {
    const MutexLock lock(x_mutex);
    if (x_tasks.empty()) return 0;
    x_event.clear();
    x_running.swap(x_tasks);
  }
  for (Task& task : x_running)
    task();
  const size_t count = x_running.size();
  x_running.clear();
  return count;
}

void Inbox::close() {
  const MutexLock lock(x_mutex);
  x_closed = true;
}

}  // namespace tarn::thread
