#pragma once

#include <array>

#include "common/metrics/registry.h"
#include "proto/tarn/v1/sessions.pb.h"

namespace tarn::session {

// What a storage server measures of its sessions. Thread-safe.
class SessionMetrics {
 public:
  explicit SessionMetrics(metrics::Registry& registry)
      : fsync(registry.histogram("tarn_session_fsync_seconds",
                                 "Time until a change of a session log was on disk.")),
        takeovers(registry.counter("tarn_session_takeovers_total",
                                   "Times that this server collected a slot's logs.")),
        overloaded(registry.counter("tarn_session_overloaded_total",
                                    "Session commands refused because too many waited, or "
                                    "because their slot was full.")),
        log_suspect(registry.gauge("tarn_session_log_suspect",
                                   "1 after a failed fsync, until the server has restarted.")) {
    constexpr std::array kNames = {"other",   "",     "",         "create", "append",
                                   "resolve", "fork", "truncate", "update", "delete"};
    for (size_t i = 0; i < kNames.size(); ++i) {
      if (*kNames[i] != '\0') x_seconds[i] = &seconds(registry, kNames[i]);
    }
    list = &seconds(registry, "list");
  }

  // The time that this command took, by its field in SessionCommand.
  metrics::Histogram& seconds_of(const v1::SessionCommand& command) const {
    const auto field = static_cast<size_t>(command.op_case());
    const bool is_known = field < x_seconds.size() && x_seconds[field] != nullptr;
    return *x_seconds[is_known ? field : 0];
  }

  metrics::Histogram& fsync;
  metrics::Counter& takeovers;
  metrics::Counter& overloaded;
  metrics::Gauge& log_suspect;
  metrics::Histogram* list = nullptr;

 private:
  static metrics::Histogram& seconds(metrics::Registry& registry, const char* op) {
    return registry.histogram("tarn_session_seconds",
                              "Time inside the storage server for one session command.",
                              {{"op", op}});
  }

  std::array<metrics::Histogram*, 10> x_seconds{};
};

}  // namespace tarn::session
