#include "sdk/cpp/src/worker.h"

#include <utility>

#include "common/base/check.h"
#include "common/base/fault_point.h"
#include "common/base/log.h"
#include "common/base/thread_name.h"
#include "common/base/units.h"
#include "sdk/cpp/src/rpc_channels.h"

namespace tarn::sdk {
namespace {

using std::chrono::milliseconds;

// Between two attempts to register.
constexpr Nanos kBeatPauseFirst = milliseconds(10);
constexpr Nanos kBeatPauseMost = milliseconds(200);
// A router that does not answer a beat for this long is left for another.
constexpr Nanos kAnswerMost = milliseconds(1000);

bool is_final(Code code) {
  return code == Code::invalid_argument || code == Code::unauthenticated ||
         code == Code::permission_denied || code == Code::exists || code == Code::unsupported;
}

Status check_spec(const WorkerSpec& spec) {
  if (spec.name.empty() || spec.name.size() > kNameBytesMax) {
    return invalid_argument("worker.name: 1 to 128 bytes");
  }
  if (spec.capacity == 0) return invalid_argument("worker.capacity: is 0");
  return Status::ok();
}

}  // namespace

WorkerBeats::WorkerBeats(std::shared_ptr<Core> core, Beat beat)
    : x_core(std::move(core)), x_beat(std::move(beat)) {}

Result<std::shared_ptr<WorkerBeats>> WorkerBeats::start(const std::shared_ptr<Core>& core,
                                                        const SpaceId& space,
                                                        const WorkerSpec& spec) {
  TARN_RETURN_IF_ERROR(check_spec(spec));
  if (core->is_forked()) return unsupported(kForkedText);
  Beat beat;
  beat.space = space;
  beat.spec = spec;
  const auto leave_if_forked = [](WorkerBeats* each) {
    if (!each->x_core->is_forked()) std::default_delete<WorkerBeats>()(each);
  };
  std::shared_ptr<WorkerBeats> beats(new WorkerBeats(core, std::move(beat)), leave_if_forked);
  beats->x_thread = std::thread([raw = beats.get()] { raw->run(); });
  beats->x_watch = std::thread([raw = beats.get()] { raw->watch(); });
  TARN_RETURN_IF_ERROR(beats->wait_for_first(core->deadline_of({})));
  return beats;
}

WorkerBeats::~WorkerBeats() {
  {
    const MutexLock lock(x_mutex);
    x_stopped = true;
    // The last beat is answered within moments, or not at all.
    if (x_answer_by != kNever) x_answer_by = system_clock().now() + milliseconds(200);
    x_changed.notify_all();
  }
  if (x_thread.joinable()) x_thread.join();
  if (x_watch.joinable()) x_watch.join();
}

Status WorkerBeats::wait_for_first(Instant deadline) {
  const MutexLock lock(x_mutex);
  while (!x_has_first) {
    const Nanos left = deadline - system_clock().now();
    if (left <= Nanos(0)) break;
    x_changed.wait_for(x_mutex, left);
  }
  if (x_has_first) return x_first;
  return x_first.is_ok() ? deadline_exceeded("no router answers") : x_first;
}

void WorkerBeats::set_load(uint32_t running, uint32_t queued) {
  const MutexLock lock(x_mutex);
  x_beat.running = running;
  x_beat.queued = queued;
}

void WorkerBeats::set_draining(bool draining) {
  const MutexLock lock(x_mutex);
  x_is_news |= x_beat.draining != draining;
  x_beat.draining = draining;
  x_changed.notify_all();
}

void WorkerBeats::run() {
  set_thread_name("tarn-worker");
  Nanos rest = kBeatPauseFirst;
  while (true) {
    const auto stream = BeatStream::open(x_core->channels());
    const Status why = beat_on(*stream);
    if (x_is_connected.exchange(false)) rest = kBeatPauseFirst;
    if (why.is_ok()) return stream->finish();
    note(why);
    x_core->channels().avoid(stream->router());
    if (!pause(rest)) return;
    rest = std::min<Nanos>(rest * 2, kBeatPauseMost);
  }
}

// Until the worker has registered once, an answer that no router will change is its answer.
void WorkerBeats::note(const Status& status) {
  log::debug("the worker's beats ended: {}", status.to_string());
  const MutexLock lock(x_mutex);
  x_stream = nullptr;
  if (x_has_first) return;
  x_first = status;
  x_has_first = is_final(status.code());
  x_changed.notify_all();
}

Status WorkerBeats::beat_on(BeatStream& stream) {
  while (true) {
    {
      const MutexLock lock(x_mutex);
      x_stream = x_stopped ? nullptr : &stream;
      if (x_stopped) return Status::ok();
      x_answer_by = system_clock().now() + kAnswerMost;
    }
    const bool fails = TARN_FAULT_POINT("sdk.worker_beat");
    const auto answer =
        fails ? Result<BeatAnswer>(unavailable("the beat is lost")) : stream.send(next_beat());
    {
      const MutexLock lock(x_mutex);
      x_answer_by = kNever;
      x_stream = nullptr;
      if (!answer) return answer.error();
      x_should_drain.store(answer->drain);
      x_is_connected.store(true);
      x_first = Status::ok();
      x_has_first = true;
      x_changed.notify_all();
    }
    if (!pause(answer->interval)) return Status::ok();
  }
}

Beat WorkerBeats::next_beat() {
  const MutexLock lock(x_mutex);
  x_is_news = false;
  return x_beat;
}

// False when stopped; ends early when there is news to tell.
bool WorkerBeats::pause(Nanos time) {
  const Instant until = system_clock().now() + time;
  const MutexLock lock(x_mutex);
  while (!x_stopped && !x_is_news) {
    const Nanos left = until - system_clock().now();
    if (left <= Nanos(0)) break;
    x_changed.wait_for(x_mutex, left);
  }
  return !x_stopped;
}

// Cancels a stream whose router does not answer: its reads have no deadline of their own.
void WorkerBeats::watch() {
  set_thread_name("tarn-worker-w");
  const MutexLock lock(x_mutex);
  while (!x_stopped || x_stream != nullptr) {
    if (x_stream != nullptr && system_clock().now() >= x_answer_by) {
      x_stream->cancel();
      x_answer_by = kNever;
    }
    x_changed.wait_for(x_mutex, milliseconds(100));
  }
}

}  // namespace tarn::sdk

namespace tarn {

Worker::Worker(std::shared_ptr<Impl> impl) : x_impl(std::move(impl)) {}

void Worker::set_load(uint32_t running, uint32_t queued) {
  if (x_impl != nullptr) x_impl->beats->set_load(running, queued);
}

void Worker::set_draining(bool draining) {
  if (x_impl != nullptr) x_impl->beats->set_draining(draining);
}

bool Worker::should_drain() const {
  return x_impl != nullptr && x_impl->beats->should_drain();
}

bool Worker::connected() const {
  return x_impl != nullptr && x_impl->beats->is_connected();
}

}  // namespace tarn
