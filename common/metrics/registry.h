#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "common/base/mutex.h"
#include "common/metrics/metric.h"

namespace tarn::metrics {

// Label names and values; their order does not matter.
using Labels = std::map<std::string, std::string>;

// What a counter, a gauge or a histogram held at one moment.
using Value = std::variant<uint64_t, double, HistogramSnapshot>;

struct Sample {
  Labels labels;
  Value value;
};

// All series of one name.
struct Family {
  std::string name;
  std::string help;
  std::vector<Sample> samples;
};

// Series that one name may have. Label values can come from outside (a tenant's name), so what is
// beyond shares one series whose label values are all "other"; the family's total stays right.
inline constexpr size_t kFamilySeriesMax = 1024;

// All metrics of one process (or of one server, where a process holds several). Asking for a metric
// takes a lock and may allocate: do it once, at start or when a tenant first appears, and keep the
// reference, which lives as long as the registry. The same name and labels give the same metric.
//
// Names are `tarn_` and snake_case; a counter's ends in `_total`, a histogram's in `_seconds`, a
// gauge's never in `_total` (docs/METRICS.md). A name that breaks this, or that comes back as
// another type or with other label names, is a mistake in the program and ends the process.
// Thread-safe.
class Registry {
 public:
  Registry();
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  Counter& counter(std::string_view name, std::string_view help, const Labels& labels = {});
  Gauge& gauge(std::string_view name, std::string_view help, const Labels& labels = {});
  Histogram& histogram(std::string_view name, std::string_view help, const Labels& labels = {});

  // Every family with its values now, by name.
  std::vector<Family> collect() const;

 private:
  using Metric =
      std::variant<std::unique_ptr<Counter>, std::unique_ptr<Gauge>, std::unique_ptr<Histogram>>;
  struct Entry;

  template <typename M>
  M& metric(std::string_view name, std::string_view help, const Labels& labels);

  mutable Mutex x_mutex;
  std::map<std::string, std::unique_ptr<Entry>, std::less<>> x_families TARN_GUARDED_BY(x_mutex);
};

}  // namespace tarn::metrics
