#include "common/metrics/endpoint.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <exception>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <prometheus/collectable.h>
#include <prometheus/exposer.h>
#include <prometheus/text_serializer.h>

#include "common/base/check.h"
#include "common/base/fault_point.h"
#include "common/base/mutex.h"
#include "common/base/thread_name.h"

namespace tarn::metrics {
namespace {

constexpr double kNanosPerSecond = 1e9;

prometheus::ClientMetric::Histogram to_prometheus(const HistogramSnapshot& snapshot) {
  prometheus::ClientMetric::Histogram out;
  for (size_t i = 0; i < kBucketBoundsNs.size(); ++i) {
    out.sample_count += snapshot.counts[i];
    out.bucket.push_back(
        {out.sample_count, static_cast<double>(kBucketBoundsNs[i]) / kNanosPerSecond});
  }
  out.sample_count += snapshot.counts.back();
  out.sample_sum = static_cast<double>(snapshot.sum_ns) / kNanosPerSecond;
  return out;
}

// Writes a sample's value where its type stands in Prometheus's struct, and names that type.
struct Convert {
  prometheus::ClientMetric& out;

  prometheus::MetricType operator()(uint64_t count) const {
    out.counter.value = static_cast<double>(count);
    return prometheus::MetricType::Counter;
  }
  prometheus::MetricType operator()(double value) const {
    out.gauge.value = value;
    return prometheus::MetricType::Gauge;
  }
  prometheus::MetricType operator()(const HistogramSnapshot& snapshot) const {
    out.histogram = to_prometheus(snapshot);
    return prometheus::MetricType::Histogram;
  }
};

std::vector<prometheus::MetricFamily> to_prometheus(const std::vector<Family>& families) {
  std::vector<prometheus::MetricFamily> out;
  for (const Family& family : families) {
    TARN_CHECK(!family.samples.empty());
    prometheus::MetricFamily& to = out.emplace_back();
    to.name = family.name;
    to.help = family.help;
    for (const Sample& sample : family.samples) {
      prometheus::ClientMetric& metric = to.metric.emplace_back();
      for (const auto& [name, value] : sample.labels)
        metric.label.push_back({name, value});
      to.type = std::visit(Convert{metric}, sample.value);
    }
  }
  return out;
}

class Adapter : public prometheus::Collectable {
 public:
  explicit Adapter(const Registry& registry) : x_registry(registry) {}

  std::vector<prometheus::MetricFamily> Collect() const override {
    return to_prometheus(x_registry.collect());
  }

 private:
  const Registry& x_registry;
};

// HOST:PORT and nothing that the HTTP library would read as more than one (it takes lists, and
// letters after the port).
bool is_address(std::string_view address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const std::string_view host = address.substr(0, colon);
  const std::string_view port = address.substr(colon + 1);
  const bool is_bracketed = host.front() == '[' && host.back() == ']';
  const bool has_colon = host.find(':') != std::string_view::npos;
  return host.find_first_of(",+ \t") == std::string_view::npos && is_bracketed == has_colon &&
         !port.empty() && port.size() <= 5 &&
         port.find_first_not_of("0123456789") == std::string_view::npos;
}

std::vector<std::string> options(const std::string& address) {
  return {"listening_ports",    address,
          "num_threads",        std::to_string(kEndpointThreads),
          "request_timeout_ms", std::to_string(kEndpointTimeoutMs),
          "enable_keep_alive",  "no"};
}

Status cannot_listen(const std::string& address, std::string_view reason) {
  return unavailable("metrics endpoint " + address + ": cannot listen: " + std::string(reason) +
                     " (is the port taken, or the host not of this machine?)");
}

// Connects to a listening socket and lets go at once, which ends the poll() of its owner.
void knock(const std::string& address, uint16_t port) {
  std::string host = address.substr(0, address.rfind(':'));
  if (host.front() == '[') host = host.substr(1, host.size() - 2);
  addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), std::to_string(port).c_str(), nullptr, &found) != 0) return;
  const int fd = ::socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd >= 0) {
    // In progress, done or refused: all the same here.
    (void)::connect(fd, found->ai_addr, found->ai_addrlen);
    ::close(fd);
  }
  ::freeaddrinfo(found);
}

// How long the exposer may be in its way out before it is woken (again).
constexpr Millis kKnockAfter{5};

}  // namespace

// The exposer goes first: its threads use the adapter.
struct Endpoint::Server {
  std::string address;
  std::shared_ptr<Adapter> adapter;
  std::unique_ptr<prometheus::Exposer> exposer;
};

std::string to_text(const Registry& registry) {
  const prometheus::TextSerializer serializer;
  return serializer.Serialize(to_prometheus(registry.collect()));
}

Result<std::unique_ptr<Endpoint>> Endpoint::open(const std::string& address,
                                                 const Registry& registry) {
  if (!is_address(address)) {
    return invalid_argument("metrics endpoint \"" + address + "\" is not HOST:PORT");
  }
  if (TARN_FAULT_POINT("metrics.open")) return cannot_listen(address, "fault point metrics.open");
  auto server = std::make_unique<Server>();
  server->address = address;
  server->adapter = std::make_shared<Adapter>(registry);
  try {
    server->exposer = std::make_unique<prometheus::Exposer>(options(address));
    server->exposer->RegisterCollectable(server->adapter);
  } catch (const std::exception& error) {
    return cannot_listen(address, error.what());
  }
  const std::vector<int> ports = server->exposer->GetListeningPorts();
  if (ports.empty()) return cannot_listen(address, "no port was opened");
  TARN_CHECK(ports[0] > 0 && ports[0] <= UINT16_MAX);
  return std::unique_ptr<Endpoint>(
      new Endpoint(std::move(server), static_cast<uint16_t>(ports[0])));
}

Endpoint::Endpoint(std::unique_ptr<Server> server, uint16_t port)
    : x_server(std::move(server)), x_port(port) {}

// The HTTP library sees that it shall stop only when its poll() returns, after up to two seconds:
// too long for the restart of a server. A connection ends the poll().
Endpoint::~Endpoint() {
  Mutex mutex;
  CondVar changed;
  bool stopped = false;
  std::thread stopper([&] {
    set_thread_name("metrics_stop");
    x_server->exposer.reset();
    const MutexLock lock(mutex);
    stopped = true;
    changed.notify_one();
  });
  {
    const MutexLock lock(mutex);
    while (!stopped) {
      if (!changed.wait_for(mutex, kKnockAfter)) knock(x_server->address, x_port);
    }
  }
  stopper.join();
}

}  // namespace tarn::metrics
