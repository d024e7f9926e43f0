#include "server/lane/send_pace.h"

#include <algorithm>

#include "common/base/check.h"
#include "common/base/units.h"

namespace tarn::lane {
namespace {

// What makes a sample: so many bytes, or so long a time with at least as many.
constexpr uint64_t kSampleBytes = 4 * kMiB;
constexpr uint64_t kSampleBytesLeast = kMiB;
constexpr Nanos kSampleTime = std::chrono::milliseconds(50);
constexpr double kSampleWeight = 0.3;
// The first may have waited for the connection's wire-up.
constexpr uint32_t kSamplesNeeded = 2;
constexpr Nanos kForgetAfter = std::chrono::seconds(5);

}  // namespace

void SendPace::on_asked(uint64_t bytes, Instant now) {
  if (x_owed == 0) {
    if (now - x_sampled > kForgetAfter) x_samples = 0;
    x_since = now;
    x_sent = 0;
  }
  x_owed += bytes;
}

void SendPace::on_sent(uint64_t bytes, Instant now) {
  TARN_CHECK(x_owed >= bytes);
  x_owed -= bytes;
  x_sent += bytes;
  const bool is_long = now - x_since >= kSampleTime || x_owed == 0;
  if (x_sent >= kSampleBytes || (is_long && x_sent >= kSampleBytesLeast)) take_sample(now);
}

void SendPace::on_dropped(uint64_t bytes) {
  TARN_CHECK(x_owed >= bytes);
  x_owed -= bytes;
}

void SendPace::take_sample(Instant now) {
  const double seconds = std::max(1e-6, std::chrono::duration<double>(now - x_since).count());
  const double seen = static_cast<double>(x_sent) / seconds;
  const bool is_first = x_samples == 0;
  x_bytes_per_s = is_first ? seen : (1 - kSampleWeight) * x_bytes_per_s + kSampleWeight * seen;
  x_samples = std::min(x_samples + 1, kSamplesNeeded);
  x_sampled = x_since = now;
  x_sent = 0;
}

Nanos SendPace::estimate(uint64_t bytes, Instant now) const {
  if (x_samples < kSamplesNeeded) return Nanos(0);
  if (x_owed == 0 && now - x_sampled > kForgetAfter) return Nanos(0);
  TARN_DCHECK(x_bytes_per_s > 0);
  const double seconds = static_cast<double>(x_owed + bytes) / x_bytes_per_s;
  const double most = 3600;
  return std::chrono::duration_cast<Nanos>(std::chrono::duration<double>(std::min(seconds, most)));
}

}  // namespace tarn::lane
