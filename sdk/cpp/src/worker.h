#pragma once

#include <atomic>
#include <memory>
#include <thread>

#include "common/base/mutex.h"
#include "sdk/cpp/src/core.h"
#include "sdk/cpp/src/rpc_worker.h"
#include "tarn/tarn.h"

namespace tarn::sdk {

// The thread "tarn-worker" of one registered worker: beats to a router, and registers anew with the
// next one when that falls silent or goes. Thread-safe. Life: start; its end tells the router.
class WorkerBeats {
 public:
  // Waits for the first answer. Returns: ok, invalid_argument, or why no router takes the worker.
  static Result<std::shared_ptr<WorkerBeats>> start(const std::shared_ptr<Core>& core,
                                                    const SpaceId& space, const WorkerSpec& spec);
  ~WorkerBeats();

  void set_load(uint32_t running, uint32_t queued);
  void set_draining(bool draining);
  bool should_drain() const { return x_should_drain.load(); }
  bool is_connected() const { return x_is_connected.load(); }

 private:
  WorkerBeats(std::shared_ptr<Core> core, Beat beat);

  Status wait_for_first(Instant deadline);
  void run();
  void watch();
  // Beats until the stream fails or stop; why it failed.
  Status beat_on(BeatStream& stream);
  void note(const Status& status);
  Beat next_beat();
  bool pause(Nanos time);

  const std::shared_ptr<Core> x_core;
  std::atomic<bool> x_should_drain{false};
  std::atomic<bool> x_is_connected{false};

  Mutex x_mutex;
  CondVar x_changed;
  Beat x_beat TARN_GUARDED_BY(x_mutex);
  Status x_first TARN_GUARDED_BY(x_mutex);  // of the first attempts
  bool x_has_first TARN_GUARDED_BY(x_mutex) = false;
  bool x_is_news TARN_GUARDED_BY(x_mutex) = false;  // a beat is due at once
  bool x_stopped TARN_GUARDED_BY(x_mutex) = false;
  BeatStream* x_stream TARN_GUARDED_BY(x_mutex) = nullptr;
  Instant x_answer_by TARN_GUARDED_BY(x_mutex) = kNever;
  std::thread x_thread;
  std::thread x_watch;
};

}  // namespace tarn::sdk

namespace tarn {

struct Worker::Impl {
  std::shared_ptr<sdk::WorkerBeats> beats;
};

}  // namespace tarn
