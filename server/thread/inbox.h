#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/fabric/event.h"

namespace tarn::thread {

// Work that other threads hand to the one that owns it. Thread-safe for post; run_all is the
// owner's. Limits: kCapacity tasks wait; one more is refused, but for kReserved that nobody would
// repeat, and for answers.
class Inbox {
 public:
  static constexpr size_t kCapacity = 4096;
  static constexpr size_t kReserved = 256;
  using Task = std::function<void()>;

  explicit Inbox(fabric::Event event) : x_event(std::move(event)) {}

  // Returns: ok (it will run), overloaded (full), unavailable (closed). It does not run then.
  Status post(Task task);
  // The same for the cluster's own news, a config or the end of a wire-up: takes kReserved more.
  Status post_news(Task task);
  // What the owner has asked for, and so has bounded itself; taken also once it is closed.
  void post_answer(Task task);

  // Runs what was posted before the call; returns how many. Tasks posted by these wait for the next
  // call.
  size_t run_all();

  // Refuses everything but answers from now on. What waits still runs.
  void close();

  // Readable when something waits, from the post until run_all.
  int event_fd() const { return x_event.fd(); }

 private:
  Status add(Task task, size_t capacity);

  fabric::Event x_event;
  Mutex x_mutex;
  std::vector<Task> x_tasks TARN_GUARDED_BY(x_mutex);
  bool x_closed TARN_GUARDED_BY(x_mutex) = false;
  std::vector<Task> x_running;
};

}  // namespace tarn::thread
