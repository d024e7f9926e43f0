// Tells ThreadSanitizer what gRPC orders. Debian's gRPC and abseil carry no instrumentation, their
// locks are futexes of their own and their queues lock-free, so without this every object that gRPC
// hands from one of its threads to another looks like a race of ours. Linked into each test of a
// tsan build: the dynamic linker then takes these functions before the libraries', and they call
// the libraries' in turn.

#include <dlfcn.h>

#include <cstddef>
#include <cstdint>

extern "C" {

void __tsan_acquire(void* address);
void __tsan_release(void* address);

// absl::Duration and absl::Time as they are passed: by value, in two registers.
struct AbseilTime {
  int64_t high;
  uint32_t low;
};

// What grpc_completion_queue_next takes and gives.
struct GrpcTime {
  int64_t seconds;
  int32_t nanoseconds;
  int clock;
};
struct GrpcEvent {
  int type;
  int success;
  void* tag;
};

int grpc_call_start_batch(void* call, const void* ops, size_t count, void* tag, void* reserved);
GrpcEvent grpc_completion_queue_next(void* queue, GrpcTime deadline, void* reserved);

void absl_lock(void* mutex) __asm__("_ZN4absl7debian35Mutex4LockEv");
void absl_unlock(void* mutex) __asm__("_ZN4absl7debian35Mutex6UnlockEv");
bool absl_try_lock(void* mutex) __asm__("_ZN4absl7debian35Mutex7TryLockEv");
void absl_wait(void* condition, void* mutex) __asm__("_ZN4absl7debian37CondVar4WaitEPNS0_5MutexE");
bool absl_wait_for(void* condition, void* mutex, AbseilTime span) __asm__(
    "_ZN4absl7debian37CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE");
bool absl_wait_until(void* condition, void* mutex, AbseilTime time) __asm__(
    "_ZN4absl7debian37CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE");

void schedule_on_done(void* call, bool inline_on_done) __asm__(
    "_ZN4grpc8internal18ServerCallbackCall14ScheduleOnDoneEb");
}

namespace {

template <typename Function>
Function* library(Function*, const char* symbol) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, symbol));
}

// gRPC's queues of completions are lock-free, so all of them are taken for one.
char g_queues;

}  // namespace

int grpc_call_start_batch(void* call, const void* ops, size_t count, void* tag, void* reserved) {
  static const auto next = library(&grpc_call_start_batch, "grpc_call_start_batch");
  __tsan_release(&g_queues);
  return next(call, ops, count, tag, reserved);
}

GrpcEvent grpc_completion_queue_next(void* queue, GrpcTime deadline, void* reserved) {
  static const auto next = library(&grpc_completion_queue_next, "grpc_completion_queue_next");
  __tsan_release(&g_queues);
  const GrpcEvent event = next(queue, deadline, reserved);
  __tsan_acquire(&g_queues);
  return event;
}

void absl_lock(void* mutex) {
  static const auto call = library(&absl_lock, "_ZN4absl7debian35Mutex4LockEv");
  call(mutex);
  __tsan_acquire(mutex);
}

void absl_unlock(void* mutex) {
  static const auto call = library(&absl_unlock, "_ZN4absl7debian35Mutex6UnlockEv");
  __tsan_release(mutex);
  call(mutex);
}

bool absl_try_lock(void* mutex) {
  static const auto call = library(&absl_try_lock, "_ZN4absl7debian35Mutex7TryLockEv");
  const bool got = call(mutex);
  if (got) __tsan_acquire(mutex);
  return got;
}

void absl_wait(void* condition, void* mutex) {
  static const auto call = library(&absl_wait, "_ZN4absl7debian37CondVar4WaitEPNS0_5MutexE");
  __tsan_release(mutex);
  call(condition, mutex);
  __tsan_acquire(mutex);
}

bool absl_wait_for(void* condition, void* mutex, AbseilTime span) {
  static const auto call = library(
      &absl_wait_for, "_ZN4absl7debian37CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE");
  __tsan_release(mutex);
  const bool timed_out = call(condition, mutex, span);
  __tsan_acquire(mutex);
  return timed_out;
}

bool absl_wait_until(void* condition, void* mutex, AbseilTime time) {
  static const auto call = library(
      &absl_wait_until, "_ZN4absl7debian37CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE");
  __tsan_release(mutex);
  const bool timed_out = call(condition, mutex, time);
  __tsan_acquire(mutex);
  return timed_out;
}

// A server's call has ended: whoever dropped its last reference, perhaps inside the library, sees
// what the reactor's callbacks did before they asked for the next operation.
void schedule_on_done(void* call, bool inline_on_done) {
  static const auto next =
      library(&schedule_on_done, "_ZN4grpc8internal18ServerCallbackCall14ScheduleOnDoneEb");
  __tsan_acquire(&g_queues);
  next(call, inline_on_done);
}
