#pragma once

#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "common/metrics/registry.h"

namespace tarn::metrics {

// The histogram of one stage of one operation: tarn_stage_seconds{op="get",stage="lookup"}. Ask
// once and keep it.
inline Histogram& stage_histogram(Registry& registry, std::string_view op, std::string_view stage) {
  return registry.histogram("tarn_stage_seconds", "Time that an operation spent in one stage.",
                            {{"op", std::string(op)}, {"stage", std::string(stage)}});
}

// Times stages that follow each other, with one clock read at each boundary, so that together they
// make up the whole: timer.finish(lookup), then timer.finish(copy). What is in progress when it is
// destroyed is not recorded. One-thread, or handed on with its operation.
class StageTimer {
 public:
  explicit StageTimer(const Clock& clock = system_clock())
      : x_clock(&clock), x_began(clock.now()), x_stage_began(x_began) {}

  // Ends the stage in progress, records its duration, and begins the next.
  void finish(Histogram& stage) {
    const Instant now = x_clock->now();
    stage.record(now - x_stage_began);
    x_stage_began = now;
  }

  // The same without a record, for time that belongs to no stage.
  void skip() { x_stage_began = x_clock->now(); }

  // From construction to the end of the last stage.
  Nanos total() const { return x_stage_began - x_began; }

 private:
  const Clock* x_clock;
  Instant x_began;
  Instant x_stage_began;
};

// Records how long its scope took, however it is left. One-thread.
class ScopedStage {
 public:
  explicit ScopedStage(Histogram& stage, const Clock& clock = system_clock())
      : x_stage(stage), x_timer(clock) {}
  ~ScopedStage() { x_timer.finish(x_stage); }
  ScopedStage(const ScopedStage&) = delete;
  ScopedStage& operator=(const ScopedStage&) = delete;

 private:
  Histogram& x_stage;
  StageTimer x_timer;
};

}  // namespace tarn::metrics
