#pragma once

#include <memory>

#include "common/base/mutex.h"
#include "common/base/status.h"
#include "common/ring/config.h"
#include "common/ring/ring.h"
#include "router/cluster/subscribers.h"

namespace tarn::cluster {

using ConfigSnapshot = std::shared_ptr<const ring::ClusterConfig>;

// The config that this router runs, for everyone in it who wants to know. Thread-safe. Life: made
// empty; published into by the one who follows the authority; must outlive its subscriptions.
// Invariant: epochs only rise. Limit: subscribers run on the publisher's thread and must be quick.
class ConfigView {
 public:
  using Subscriber = Subscribers<ConfigSnapshot>::Call;
  using Subscription = Subscribers<ConfigSnapshot>::Subscription;

  // The latest config; null until there is a first one. Never blocks for long.
  ConfigSnapshot current() const;
  // The ring of the latest config; null until there is one.
  std::shared_ptr<const ring::Ring> current_ring() const;

  // Calls `subscriber` with each config from now on, in order of epochs and one at a time; at once
  // with the current one if there is one.
  [[nodiscard]] Subscription subscribe(Subscriber subscriber);

  // Makes the config current and tells the subscribers. A config that is not newer is ignored.
  // Returns: ok, invalid_argument for one that ring::validate refuses (the old one stays).
  Status publish(ring::ClusterConfig config);

 private:
  mutable Mutex x_mutex;  // held for copies only, within the calls to subscribers
  ConfigSnapshot x_current TARN_GUARDED_BY(x_mutex);
  std::shared_ptr<const ring::Ring> x_ring TARN_GUARDED_BY(x_mutex);
  Subscribers<ConfigSnapshot> x_subscribers;
};

}  // namespace tarn::cluster
