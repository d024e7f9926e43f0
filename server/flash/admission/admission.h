#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/status.h"
#include "common/block/key.h"
#include "common/metrics/registry.h"
#include "server/flash/admission/sight_sketch.h"

namespace tarn::flash {

enum class AdmissionMode : uint8_t {
  off,      // everything is written
  shadow,   // likewise, but what would have been refused is counted
  enforce,  // what would wear the drives out is refused
};

struct AdmissionOptions {
  AdmissionMode mode = AdmissionMode::shadow;
  uint64_t capacity_bytes = 0;  // of all drives
  double writes_per_day = 1;    // that they are rated for, of their capacity (DWPD)
  uint32_t warranty_days = 5 * 365;
  metrics::Registry* registry = nullptr;  // outlives it; null: no metrics
  const Clock* clock = &system_clock();
};

// A block that might be written to flash.
struct Candidate {
  const block::BlockKey& key;
  uint64_t bytes = 0;
  bool is_asked_for = false;  // by a put of class flash; else dram lets it go
  bool was_read = false;      // since it came to dram
};

// Who may write to the drives, so that they last as long as their maker says. A bucket fills with
// what the rating allows and holds an hour of it. While it is more than half full everything goes
// to flash; below that only what was seen before (read, or let go by dram once before), and of
// each tenant no more than its even share; empty, nothing. Thread-safe.
class Admission {
 public:
  enum class Cause : uint8_t { budget, tenant_share, first_sight };
  static constexpr size_t kCauses = 3;

  explicit Admission(const AdmissionOptions& options);

  // Returns: ok, and the bytes are counted as written; overloaded, and the text says for how long.
  Status admit(const Candidate& candidate);

  // Days that the drives last if they are written to as in the last hour; the warranty's days are
  // what the rating gives.
  double life_days() const;
  uint64_t refused(Cause cause) const;  // or would have been
  uint64_t budget_bytes() const;

 private:
  struct Hour {
    Instant began{0};
    uint64_t bytes = 0;
    std::map<TenantId, uint64_t> by_tenant;
  };

  void refill(Instant now) TARN_REQUIRES(x_mutex);
  bool is_refused(const Candidate& candidate, Cause& cause) TARN_REQUIRES(x_mutex);
  Status refuse(uint64_t bytes, Cause cause) const TARN_REQUIRES(x_mutex);
  double life_days_now(Instant now) const TARN_REQUIRES(x_mutex);

  const AdmissionOptions x_options;
  const Clock& x_clock;
  const double x_bytes_per_s;
  const double x_bucket_bytes;
  mutable Mutex x_mutex;
  SightSketch x_seen TARN_GUARDED_BY(x_mutex);
  double x_level TARN_GUARDED_BY(x_mutex);
  Instant x_filled TARN_GUARDED_BY(x_mutex);
  Hour x_hour TARN_GUARDED_BY(x_mutex);
  Hour x_last_hour TARN_GUARDED_BY(x_mutex);
  std::array<uint64_t, kCauses> x_refused TARN_GUARDED_BY(x_mutex){};
  std::array<metrics::Counter*, kCauses> x_refused_counters{};
  metrics::Counter* x_admitted_bytes = nullptr;
  metrics::Gauge* x_life_days = nullptr;
  metrics::Gauge* x_budget = nullptr;
};

std::string_view cause_name(Admission::Cause cause);

}  // namespace tarn::flash
