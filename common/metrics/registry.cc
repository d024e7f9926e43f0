#include "common/metrics/registry.h"

#include <algorithm>
#include <type_traits>

#include "common/base/check.h"
#include "common/base/names.h"

namespace tarn::metrics {
namespace {

template <typename M>
bool has_right_ending(std::string_view name) {
  if (std::is_same_v<M, Counter>) return name.ends_with("_total");
  if (std::is_same_v<M, Histogram>) return name.ends_with("_seconds");
  return !name.ends_with("_total");
}

// `le` is Prometheus's own label of a histogram's buckets.
bool are_good_names(const Labels& labels) {
  return std::all_of(labels.begin(), labels.end(), [](const auto& label) {
    return is_snake_case(label.first) && label.first != "le";
  });
}

bool have_same_names(const Labels& a, const Labels& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const auto& x, const auto& y) { return x.first == y.first; });
}

template <typename M, typename Metric>
bool holds(const Metric& metric) {
  return std::holds_alternative<std::unique_ptr<M>>(metric);
}

Labels all_other(Labels labels) {
  for (auto& [name, value] : labels)
    value = "other";
  return labels;
}

struct Read {
  Value operator()(const std::unique_ptr<Counter>& counter) const { return counter->value(); }
  Value operator()(const std::unique_ptr<Gauge>& gauge) const { return gauge->value(); }
  Value operator()(const std::unique_ptr<Histogram>& h) const { return h->snapshot(); }
};

}  // namespace

// A name with its series; never empty.
struct Registry::Entry {
  std::string help;
  std::map<Labels, Metric> series;
};

Registry::Registry() = default;
Registry::~Registry() = default;

template <typename M>
M& Registry::metric(std::string_view name, std::string_view help, const Labels& labels) {
  TARN_CHECK(name.substr(0, 5) == "tarn_" && is_snake_case(name));
  TARN_CHECK(has_right_ending<M>(name));
  TARN_CHECK(are_good_names(labels));
  TARN_CHECK(!help.empty() && help.find_first_of("\\\n") == std::string_view::npos);
  const MutexLock lock(x_mutex);
  auto family = x_families.find(name);
  if (family == x_families.end()) {
    family = x_families.emplace(name, std::make_unique<Entry>()).first;
    family->second->help = help;
  }
  auto& series = family->second->series;
  TARN_CHECK(series.empty() || holds<M>(series.begin()->second));
  auto found = series.find(labels);
  if (found == series.end()) {
    TARN_CHECK(series.empty() || have_same_names(series.begin()->first, labels));
    const Labels key = series.size() < kFamilySeriesMax ? labels : all_other(labels);
    found = series.find(key);
    if (found == series.end()) found = series.emplace(key, std::make_unique<M>()).first;
  }
  return *std::get<std::unique_ptr<M>>(found->second);
}

Counter& Registry::counter(std::string_view name, std::string_view help, const Labels& labels) {
  return metric<Counter>(name, help, labels);
}

Gauge& Registry::gauge(std::string_view name, std::string_view help, const Labels& labels) {
  return metric<Gauge>(name, help, labels);
}

Histogram& Registry::histogram(std::string_view name, std::string_view help, const Labels& labels) {
  return metric<Histogram>(name, help, labels);
}

std::vector<Family> Registry::collect() const {
  const MutexLock lock(x_mutex);
  std::vector<Family> families;
  families.reserve(x_families.size());
  for (const auto& [name, entry] : x_families) {
    Family& family = families.emplace_back(Family{name, entry->help, {}});
    for (const auto& [labels, metric] : entry->series) {
      family.samples.push_back({labels, std::visit(Read(), metric)});
    }
  }
  return families;
}

}  // namespace tarn::metrics
