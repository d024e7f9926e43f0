#include "router/cluster/config_view.h"

#include <utility>

#include "common/base/check.h"
#include "common/base/result.h"

namespace tarn::cluster {

ConfigSnapshot ConfigView::current() const {
  MutexLock lock(x_mutex);
  return x_current;
}

std::shared_ptr<const ring::Ring> ConfigView::current_ring() const {
  MutexLock lock(x_mutex);
  return x_ring;
}

ConfigView::Subscription ConfigView::subscribe(Subscriber subscriber) {
  TARN_CHECK(subscriber != nullptr);
  return x_subscribers.add(subscriber, [this, &subscriber] {
    if (const ConfigSnapshot now = current()) subscriber(now);
  });
}

Status ConfigView::publish(ring::ClusterConfig config) {
  TARN_RETURN_IF_ERROR(ring::validate(config));
  TARN_ASSIGN_OR_RETURN(ring::Ring ring, ring::Ring::build(config));
  const ConfigSnapshot next = std::make_shared<const ring::ClusterConfig>(std::move(config));
  const auto next_ring = std::make_shared<const ring::Ring>(std::move(ring));
  x_subscribers.call([&]() -> const ConfigSnapshot* {
    MutexLock lock(x_mutex);
    if (x_current && next->epoch <= x_current->epoch) return nullptr;
    x_current = next;
    x_ring = next_ring;
    return &next;
  });
  return Status::ok();
}

}  // namespace tarn::cluster
