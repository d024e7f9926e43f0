#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "common/base/mutex.h"
#include "common/base/status.h"
#include "common/ring/config.h"
#include "common/ring/ring.h"

namespace tarn::cluster {

using ConfigSnapshot = std::shared_ptr<const ring::ClusterConfig>;

// The config that this router runs, for everyone in it who wants to know. Thread-safe. Life: made
// empty; published into by the one who follows the authority; must outlive its subscriptions.
// Invariant: epochs only rise. Limit: subscribers run on the publisher's thread and must be quick.
class ConfigView {
 public:
  using Subscriber = std::function<void(const ConfigSnapshot&)>;

  // Ends the calls to one subscriber with its own life; on return of its destructor none runs.
  // Never to be destroyed from within a subscriber.
  class Subscription {
   public:
    Subscription() = default;
    Subscription(Subscription&& other) noexcept;
    Subscription& operator=(Subscription&& other) noexcept;
    ~Subscription();

   private:
    friend class ConfigView;
    Subscription(ConfigView* view, uint64_t id) : x_view(view), x_id(id) {}
    void end();

    ConfigView* x_view = nullptr;
    uint64_t x_id = 0;
  };

  ConfigView() = default;
  ~ConfigView();
  ConfigView(const ConfigView&) = delete;
  ConfigView& operator=(const ConfigView&) = delete;

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
  void unsubscribe(uint64_t id);

  mutable Mutex x_mutex;  // over what current() gives; held for copies only
  ConfigSnapshot x_current TARN_GUARDED_BY(x_mutex);
  std::shared_ptr<const ring::Ring> x_ring TARN_GUARDED_BY(x_mutex);

  Mutex x_calls;  // held while subscribers run; taken before x_mutex
  uint64_t x_next_id TARN_GUARDED_BY(x_calls) = 1;
  std::map<uint64_t, Subscriber> x_subscribers TARN_GUARDED_BY(x_calls);
};

}  // namespace tarn::cluster
