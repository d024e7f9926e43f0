#pragma once

#include <cstdint>
#include <string>

#include "common/base/ids.h"
#include "router/cluster/subscribers.h"

namespace tarn::cluster {

enum class EventKind : uint8_t { worker_up, worker_lost, server_up, server_lost, epoch };

// What happened to a worker, a storage server or the config. Value type.
struct Event {
  EventKind kind = EventKind::epoch;
  std::string name;    // of the worker or server
  std::string tenant;  // the worker's; others never hear of it
  Epoch epoch;
  int64_t unix_ms = 0;
};

// Tells events to whoever listens at the moment. Thread-safe.
class Events {
 public:
  using Subscription = Subscribers<Event>::Subscription;

  [[nodiscard]] Subscription subscribe(Subscribers<Event>::Call call) {
    return x_subscribers.add(std::move(call));
  }
  void tell(const Event& event) {
    x_subscribers.call([&event] { return &event; });
  }

 private:
  Subscribers<Event> x_subscribers;
};

}  // namespace tarn::cluster
