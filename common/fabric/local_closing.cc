#include "common/fabric/local_closing.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <type_traits>

#include "common/base/check.h"
#include "common/base/fault_point.h"
#include "common/base/mutex.h"
#include "common/base/thread_name.h"

namespace tarn::fabric {
namespace {

constexpr size_t kLittleBytes = 16 << 20;

// A file, or a mapping of one.
struct Leaving {
  int fd = -1;
  void* base = nullptr;
  size_t bytes = 0;
};

// What waits, for all ports of the process. Thread-safe. Lives for ever: a thread that is held up
// outlives main().
class Closing {
 public:
  // False when too many wait. `needs_thread`: the caller is to start one.
  bool add(const Leaving& what, bool& needs_thread) {
    const MutexLock lock(x_mutex);
    if (x_count == x_waiting.size()) return false;
    x_waiting[x_count++] = what;
    needs_thread = x_threads < kClosersMax;
    if (needs_thread) ++x_threads;
    return true;
  }

  // The next one; nothing ends the thread.
  std::optional<Leaving> next() {
    const MutexLock lock(x_mutex);
    TARN_CHECK(x_threads > 0);
    if (x_count > 0) return x_waiting[--x_count];
    --x_threads;
    return std::nullopt;
  }

  void thread_failed() {
    const MutexLock lock(x_mutex);
    --x_threads;
  }

  // A thread has one in hand, or has just closed its last.
  size_t count() {
    const MutexLock lock(x_mutex);
    return x_count + x_threads;
  }

 private:
  Mutex x_mutex;
  std::array<Leaving, kClosingMax> x_waiting TARN_GUARDED_BY(x_mutex){};
  size_t x_count TARN_GUARDED_BY(x_mutex) = 0;
  size_t x_threads TARN_GUARDED_BY(x_mutex) = 0;
};
static_assert(std::is_trivially_destructible_v<Closing>);

Closing& closing() {
  static Closing all;
  return all;
}

// Its maker may turn the lingering on again meanwhile.
void let_go(const Leaving& what) {
  (void)TARN_FAULT_POINT("fabric.local_close");
  if (what.base != nullptr) {
    TARN_CHECK(::munmap(what.base, what.bytes) == 0);
    return;
  }
  const linger none{0, 0};
  (void)::setsockopt(what.fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
  ::close(what.fd);
}

// Who starts it may be kept on a processor of its own, and is not to share that with this.
void leave_the_pinned() {
  cpu_set_t all;
  if (::sched_getaffinity(::getpid(), sizeof(all), &all) != 0) return;
  (void)::sched_setaffinity(0, sizeof(all), &all);
}

void* let_all_go(void*) {
  set_thread_name("tarn-closer");
  leave_the_pinned();
  while (const auto what = closing().next())
    let_go(*what);
  return nullptr;
}

void let_go_elsewhere(const Leaving& what) {
  bool needs_thread = false;
  if (!closing().add(what, needs_thread)) return let_go(what);
  if (!needs_thread) return;
  pthread_t thread{};
  // Without one it waits for the next.
  if (::pthread_create(&thread, nullptr, let_all_go, nullptr) != 0) {
    return closing().thread_failed();
  }
  ::pthread_detach(thread);
}

}  // namespace

void close_passed(int fd) {
  TARN_CHECK(fd >= 0);
  if (::fcntl(fd, F_GET_SEALS) < 0) return close_elsewhere(fd);
  ::close(fd);
}

void close_elsewhere(int fd) {
  TARN_CHECK(fd >= 0);
  let_go_elsewhere({.fd = fd});
}

void unmap_passed(const void* base, size_t bytes) {
  TARN_CHECK(base != nullptr && bytes > 0);
  const Leaving what{.base = const_cast<void*>(base), .bytes = bytes};
  if (bytes > kLittleBytes) return let_go_elsewhere(what);
  let_go(what);
}

size_t files_to_close() {
  return closing().count();
}

}  // namespace tarn::fabric
