#include "server/flash/admission/admission.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "common/base/check.h"
#include "common/base/units.h"

namespace tarn::flash {
namespace {

constexpr Nanos kHour = std::chrono::hours(1);
constexpr double kSecondsPerDay = 24 * 3600;
// However small the drive, a burst of this is no wear.
constexpr double kBucketMin = 64.0 * kMiB;
// One key is remembered for so many bytes of the drives.
constexpr uint64_t kBytesPerKey = 256 * kKiB;
constexpr uint64_t kKeysMin = 64 * 1024;
constexpr uint64_t kKeysMax = 8 * 1024 * 1024;
// A gauge has to show something for drives that nobody writes to.
constexpr double kLifeDaysMax = 100 * 365;

double seconds(Nanos time) {
  return std::chrono::duration<double>(time).count();
}

}  // namespace

std::string_view cause_name(Admission::Cause cause) {
  constexpr std::array<std::string_view, Admission::kCauses> kNames = {"budget", "tenant_share",
                                                                       "first_sight"};
  return kNames[static_cast<size_t>(cause)];
}

Admission::Admission(const AdmissionOptions& options)
    : x_options(options),
      x_clock(*options.clock),
      x_bytes_per_s(static_cast<double>(options.capacity_bytes) * options.writes_per_day /
                    kSecondsPerDay),
      x_bucket_bytes(std::max(kBucketMin, x_bytes_per_s * seconds(kHour))),
      x_seen(std::clamp(options.capacity_bytes / kBytesPerKey, kKeysMin, kKeysMax)),
      x_level(x_bucket_bytes),
      x_filled(x_clock.now()) {
  TARN_CHECK(options.writes_per_day > 0);
  x_hour.began = x_last_hour.began = x_filled;
  if (options.registry == nullptr) return;
  metrics::Registry& registry = *options.registry;
  const std::string mode = options.mode == AdmissionMode::enforce ? "enforce" : "shadow";
  for (size_t i = 0; i < kCauses; ++i)
    x_refused_counters[i] = &registry.counter(
        "tarn_flash_refused_total",
        "Blocks that the endurance budget kept from flash, or would have.",
        {{"cause", std::string(cause_name(static_cast<Cause>(i)))}, {"mode", mode}});
  x_admitted_bytes =
      &registry.counter("tarn_flash_admitted_bytes_total", "Payload bytes let through to flash.");
  x_life_days = &registry.gauge("tarn_flash_life_days",
                                "Days that the drives last if written to as in the last hour.");
  x_budget = &registry.gauge("tarn_flash_budget_bytes", "Bytes that may be written at once.");
}

void Admission::refill(Instant now) {
  x_level = std::min(x_bucket_bytes, x_level + x_bytes_per_s * seconds(now - x_filled));
  x_filled = now;
  if (now - x_hour.began < kHour) return;
  x_last_hour = std::exchange(x_hour, Hour{});
  x_hour.began = now;
}

bool Admission::is_refused(const Candidate& candidate, Cause& cause) {
  const bool was_seen =
      candidate.is_asked_for || x_seen.see(block::hash_value(candidate.key)) || candidate.was_read;
  if (x_level < static_cast<double>(candidate.bytes)) {
    cause = Cause::budget;
    return true;
  }
  if (x_level > x_bucket_bytes / 2) return false;
  const uint64_t tenants = std::max<uint64_t>(1, x_hour.by_tenant.size());
  const auto found = x_hour.by_tenant.find(candidate.key.tenant);
  const uint64_t used = found == x_hour.by_tenant.end() ? 0 : found->second;
  cause = Cause::tenant_share;
  if (tenants > 1 && static_cast<double>(used * tenants) > x_bucket_bytes) return true;
  cause = Cause::first_sight;
  return !was_seen;
}

Status Admission::refuse(uint64_t bytes, Cause cause) const {
  const double missing = static_cast<double>(bytes) - x_level;
  const auto wait = static_cast<int64_t>(std::ceil(std::max(0.0, missing) / x_bytes_per_s));
  return overloaded("flash: the endurance budget of the drives (" + std::string(cause_name(cause)) +
                    ") does not allow it; in " + std::to_string(std::max<int64_t>(1, wait)) +
                    " s it may");
}

Status Admission::admit(const Candidate& candidate) {
  if (x_options.mode == AdmissionMode::off) return Status::ok();
  const MutexLock lock(x_mutex);
  const Instant now = x_clock.now();
  refill(now);
  Cause cause = Cause::budget;
  if (is_refused(candidate, cause)) {
    ++x_refused[static_cast<size_t>(cause)];
    metrics::Counter* const counter = x_refused_counters[static_cast<size_t>(cause)];
    if (counter != nullptr) counter->add();
    if (x_options.mode == AdmissionMode::enforce) return refuse(candidate.bytes, cause);
  }
  // Never below empty: a debt from shadow mode would be nobody's.
  x_level = std::max(0.0, x_level - static_cast<double>(candidate.bytes));
  x_hour.bytes += candidate.bytes;
  x_hour.by_tenant[candidate.key.tenant] += candidate.bytes;
  if (x_admitted_bytes != nullptr) {
    x_admitted_bytes->add(candidate.bytes);
    x_life_days->set(life_days_now(now));
    x_budget->set(x_level);
  }
  return Status::ok();
}

double Admission::life_days_now(Instant now) const {
  const double written = static_cast<double>(x_hour.bytes + x_last_hour.bytes);
  const double time = std::max(seconds(kHour), seconds(now - x_last_hour.began));
  if (written == 0) return kLifeDaysMax;
  return std::min(kLifeDaysMax, x_options.warranty_days * x_bytes_per_s / (written / time));
}

double Admission::life_days() const {
  const MutexLock lock(x_mutex);
  return life_days_now(x_clock.now());
}

uint64_t Admission::refused(Cause cause) const {
  const MutexLock lock(x_mutex);
  return x_refused[static_cast<size_t>(cause)];
}

uint64_t Admission::budget_bytes() const {
  const MutexLock lock(x_mutex);
  return static_cast<uint64_t>(x_level);
}

}  // namespace tarn::flash
