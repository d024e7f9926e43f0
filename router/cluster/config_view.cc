#include "router/cluster/config_view.h"

#include <utility>

#include "common/base/check.h"
#include "common/base/result.h"

namespace tarn::cluster {

ConfigView::Subscription::Subscription(Subscription&& other) noexcept
    : x_view(std::exchange(other.x_view, nullptr)), x_id(other.x_id) {}

ConfigView::Subscription& ConfigView::Subscription::operator=(Subscription&& other) noexcept {
  if (this != &other) {
    end();
    x_view = std::exchange(other.x_view, nullptr);
    x_id = other.x_id;
  }
  return *this;
}

ConfigView::Subscription::~Subscription() {
  end();
}

void ConfigView::Subscription::end() {
  if (x_view != nullptr) std::exchange(x_view, nullptr)->unsubscribe(x_id);
}

ConfigView::~ConfigView() {
  MutexLock calls(x_calls);
  TARN_CHECK(x_subscribers.empty());
}

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
  MutexLock calls(x_calls);
  if (const ConfigSnapshot now = current()) subscriber(now);
  const uint64_t id = x_next_id++;
  x_subscribers.emplace(id, std::move(subscriber));
  return {this, id};
}

Status ConfigView::publish(ring::ClusterConfig config) {
  TARN_RETURN_IF_ERROR(ring::validate(config));
  TARN_ASSIGN_OR_RETURN(ring::Ring ring, ring::Ring::build(config));
  MutexLock calls(x_calls);
  const ConfigSnapshot before = current();
  if (before && config.epoch <= before->epoch) return Status::ok();
  const auto next = std::make_shared<const ring::ClusterConfig>(std::move(config));
  {
    MutexLock lock(x_mutex);
    x_current = next;
    x_ring = std::make_shared<const ring::Ring>(std::move(ring));
  }
  for (const auto& [id, subscriber] : x_subscribers)
    subscriber(next);
  return Status::ok();
}

void ConfigView::unsubscribe(uint64_t id) {
  MutexLock calls(x_calls);
  x_subscribers.erase(id);
}

}  // namespace tarn::cluster
